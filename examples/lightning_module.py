"""Train with NetAug in Lightning, on scikit-learn's digits: `python examples/lightning_module.py`, seconds on a CPU.

`NetAug` lets Lightning optimize: clipping, accumulation and precision work as ever, and both graphs are in memory until
the one backward. `NetAugByHand` has one graph at a time, and what Lightning automates to write. Same gradients.
"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import netaug


class NetAug(lightning.LightningModule):
    def __init__(self, model: nn.Module, example: torch.Tensor) -> None:
        super().__init__()
        self.supernet = netaug.augment(model, example)

    def losses(self, batch):  # lazily: a loss has to be computed while its pass is the current one
        progress = self.global_step / self.trainer.estimated_stepping_batches  # both count updates
        for pass_ in self.supernet.passes(self.global_step, progress):
            x, y = pass_.take(*batch)
            yield pass_.weight * nn.functional.cross_entropy(self.supernet(x), y)

    def training_step(self, batch, batch_idx):
        return sum(self.losses(batch))

    def on_train_epoch_start(self):
        if self.supernet.sorts(self.current_epoch / self.trainer.max_epochs):
            self.supernet.sort_channels(self.optimizers(use_pl_optimizer=False))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, nesterov=True)


class NetAugByHand(NetAug):
    automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        for loss in self.losses(batch):
            self.manual_backward(loss)
        optimizer.step()


def main(epochs: int = 5, images: int = 1500, module: type[NetAug] = NetAug) -> nn.Module:
    lightning.seed_everything(0)
    pixels, labels = (torch.tensor(array[:images]) for array in load_digits(return_X_y=True))
    train = DataLoader(TensorDataset((pixels / 16).float().view(-1, 1, 8, 8), labels), 50, shuffle=True)
    task = module(netaug.create_model("micronet", num_classes=10, in_chans=1), torch.randn(2, 1, 8, 8))
    lightning.Trainer(max_epochs=epochs, logger=False, enable_checkpointing=False).fit(task, train)
    return task.supernet.extract()


if __name__ == "__main__":
    main()
