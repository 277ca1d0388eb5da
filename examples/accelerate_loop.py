"""Train with NetAug in Hugging Face Accelerate, on scikit-learn's digits.

Run `python examples/accelerate_loop.py`, or `accelerate launch` it on several devices. What `prepare` returns may be
a wrapper that knows nothing of passes or widths. Call the wrapper, so that gradients meet and mixed precision applies;
ask the supernet, which is the same network, for all the rest.

On several devices added weights need a gradient in every step. If augmentation ends before the training does (an
`expand_until` below 1, or a network whose blocks have no hidden channels), give `Accelerator` the handler
`DistributedDataParallelKwargs(find_unused_parameters=True)`.
"""

from contextlib import nullcontext

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

import netaug


def main(epochs: int = 5, images: int = 1500) -> nn.Module:
    """Return the trained network."""
    accelerator = Accelerator()
    torch.manual_seed(0)  # the same on all devices
    pixels, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(pixels / 16).float().view(-1, 1, 8, 8), torch.tensor(labels))

    network = netaug.create_model("micronet", num_classes=10, in_chans=1)
    supernet = netaug.augment(network, torch.randn(2, 1, 8, 8))
    model, optimizer, train = accelerator.prepare(
        supernet,
        torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, nesterov=True),
        DataLoader(Subset(data, range(images)), batch_size=50, shuffle=True),
    )
    step, total = 0, epochs * len(train)
    for epoch in range(epochs):
        if supernet.sorts(step / total):
            supernet.sort_channels(optimizer)
        model.train()
        for images_NCHW, labels_N in train:
            optimizer.zero_grad()
            for pass_ in supernet.passes(step, progress=step / total):
                x, y = pass_.take(images_NCHW, labels_N)
                with nullcontext() if pass_.last else accelerator.no_sync(model):  # devices meet once
                    accelerator.backward(pass_.weight * F.cross_entropy(model(x), y))
            optimizer.step()
            step += 1
        accelerator.print(f"epoch {epoch} done")
    return supernet.extract()


if __name__ == "__main__":
    main()
