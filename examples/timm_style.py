"""Train with NetAug in a script in timm's style: `python examples/timm_style.py`, under a minute on a CPU.

The average is one of the whole supernet, since sorting exchanges channels between the tiny network and what NetAug
adds. Without sorting, `ModelEmaV3(supernet.base)` does, updated from `supernet.base`.
"""

import timm
import torch
from sklearn.datasets import load_digits
from timm.data import Mixup
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3, accuracy, random_seed
from torch.utils.data import DataLoader, TensorDataset

import netaug


def main(epochs: int = 4, images: int = 1500, mixup: float = 0.0) -> torch.nn.Module:
    """Return the average of the trained network."""
    random_seed(0)
    pixels, labels = (torch.tensor(array[:images]) for array in load_digits(return_X_y=True))
    pixels = torch.nn.functional.interpolate((pixels / 16).float().view(-1, 1, 8, 8), size=32)
    loader = DataLoader(TensorDataset(pixels, labels), batch_size=50, shuffle=True, drop_last=True)

    model = timm.create_model("test_efficientnet", num_classes=10, in_chans=1)
    supernet = netaug.augment(model, pixels[:2])
    optimizer = create_optimizer_v2(supernet, opt="sgd", lr=0.05, weight_decay=4e-5, momentum=0.9)
    schedule, _ = create_scheduler_v2(
        optimizer, "cosine", epochs, step_on_epochs=False, updates_per_epoch=len(loader)
    )
    average = ModelEmaV3(supernet, decay=0.95)
    # Both passes see the same mix. Off by default: networks that under-fit seldom want it.
    mix = Mixup(mixup_alpha=mixup, label_smoothing=0.1, num_classes=10) if mixup else None
    criterion = SoftTargetCrossEntropy() if mix else LabelSmoothingCrossEntropy(0.1)

    step, total = 0, epochs * len(loader)
    for epoch in range(epochs):
        if supernet.sorts(epoch / epochs):
            supernet.sort_channels(optimizer, averages=[average.module])
        supernet.train()
        for x_all, y_all in loader:
            x_all, y_all = mix(x_all, y_all) if mix else (x_all, y_all)
            optimizer.zero_grad()
            for pass_ in supernet.passes(step, progress=step / total):
                x, y = pass_.take(x_all, y_all)
                (pass_.weight * criterion(supernet(x), y)).backward()
            optimizer.step()
            step += 1
            average.update(supernet, step=step)
            schedule.step_update(step)
        top1 = accuracy(average.module.base(pixels), labels)[0].item()  # .base is the network itself
        print(f"epoch {epoch}: {top1:.1f} % of the training images right")
    return average.module.extract()


if __name__ == "__main__":
    main()
