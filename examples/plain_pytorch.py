"""Train with NetAug in plain PyTorch on scikit-learn's digits: `python examples/plain_pytorch.py`, seconds on a CPU."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

import netaug


def digits(images: int) -> tuple[DataLoader, DataLoader]:
    """Return batches of images [N, 1, 8, 8] and labels [N], for training and for evaluation."""
    pixels, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(pixels / 16).float().view(-1, 1, 8, 8), torch.tensor(labels))
    train, val = Subset(data, range(images)), Subset(data, range(1500, 1797))
    return DataLoader(train, batch_size=50, shuffle=True), DataLoader(val, batch_size=297)


@torch.no_grad()
def percent_right(model: nn.Module, loader: DataLoader) -> float:
    """Return the top-1 accuracy in percent."""
    model.eval()
    hits = torch.cat([model(images).argmax(1) == labels for images, labels in loader])
    return 100 * hits.float().mean().item()


def main(epochs: int = 5, images: int = 1500) -> nn.Module:
    """Return the trained network."""
    torch.manual_seed(0)
    train, val = digits(images)
    total = epochs * len(train)

    model = netaug.create_model("micronet", num_classes=10, in_chans=1)  # or any nn.Module of yours
    supernet = netaug.augment(model, torch.randn(2, 1, 8, 8))
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    step = 0
    for epoch in range(epochs):
        if supernet.sorts(step / total):
            supernet.sort_channels(optimizer)  # not before: untrained channels have no importance
        supernet.train()
        for images_NCHW, labels_N in train:
            optimizer.zero_grad()
            for pass_ in supernet.passes(step, progress=step / total):  # your network, then one wider network
                x, y = pass_.take(images_NCHW, labels_N)
                loss = pass_.weight * F.cross_entropy(supernet(x), y)
                loss.backward()  # in the loop: the gradients add, and only one graph is in memory at a time
            optimizer.step()
            schedule.step()
            step += 1
        print(f"epoch {epoch}: {percent_right(supernet.base, val):.1f} % right")  # .base is your network
    return supernet.extract()  # a copy of it: your class, your state_dict keys, nothing added


if __name__ == "__main__":
    main()
