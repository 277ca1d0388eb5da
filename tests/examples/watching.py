"""Run an example as it stands, look on, and repeat each of its updates in our own loop."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

import netaug
from netaug import AugmentConfig
from netaug.config import TrainConfig
from netaug.data.batch import ClassificationBatch, Normalizer
from netaug.elastic import Pass, Supernet
from netaug.tasks.base import Losses, Task
from netaug.train.metrics import Tally
from netaug.train.trainer import Trainer
from tests.train.fakes import fake_data

FOLDER = Path(__file__).parents[2] / "examples"
Criterion = Callable[[Tensor, Tensor], Tensor]


def load(name: str) -> ModuleType:
    """An example as a module; they are scripts, not a package."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Update:
    """One optimizer step of an example: what it was asked, what it saw, and the gradients it came to."""

    step: int
    progress: float
    state: dict[str, Tensor]
    batch: tuple[Tensor, Tensor] | None = None
    gradients: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Watch:
    """What an example did with the supernet it made."""

    supernet: Supernet | None = None
    updates: list[Update] = field(default_factory=list)
    orders: list[dict[str, Tensor]] = field(default_factory=list)
    averages: list[Supernet] = field(default_factory=list)


@contextmanager
def watched() -> Iterator[Watch]:
    """Look over an example's shoulder: at its supernet, batches and gradients, whoever runs the steps."""
    watch = Watch()
    augment, passes, take, sort = netaug.augment, Supernet.passes, Pass.take, Supernet.sort_channels

    def watched_augment(model: nn.Module, example: Tensor) -> Supernet:
        # not the defaults: an example that forgets pass_.weight or pass_.take must not go unnoticed
        watch.supernet = augment(model, example, AugmentConfig(alpha=0.5, batch_share=0.6))
        return watch.supernet

    def watched_passes(self: Supernet, step: int, progress: float) -> Iterator[Pass]:
        watch.updates.append(Update(step, progress, copy.deepcopy(self.state_dict())))
        return passes(self, step, progress)

    def watched_take(self: Pass, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        watch.updates[-1].batch = images, labels
        return take(self, images, labels)

    def watched_sort(
        self: Supernet, optimizer: torch.optim.Optimizer, averages: Sequence[Supernet] = ()
    ) -> dict[str, Tensor]:
        watch.averages.extend(averages)
        watch.orders.append(sort(self, optimizer, averages))
        return watch.orders[-1]

    def stepped(*_: object) -> None:
        assert watch.supernet is not None
        watch.updates[-1].gradients = gradients(watch.supernet)

    hook = register_optimizer_step_post_hook(stepped)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(netaug, "augment", watched_augment)
            patch.setattr(Supernet, "passes", watched_passes)
            patch.setattr(Pass, "take", watched_take)
            patch.setattr(Supernet, "sort_channels", watched_sort)
            yield watch
    finally:  # of a test that fails too: it would watch all others of its process
        hook.remove()


def gradients(supernet: Supernet) -> dict[str, Tensor]:
    """A copy of those that are there."""
    return {n: p.grad.clone() for n, p in supernet.named_parameters() if p.grad is not None}


class _Criterion(Task[Tensor, ClassificationBatch]):
    """An example's loss, and no metrics."""

    def __init__(self, criterion: Criterion) -> None:
        self._criterion = criterion

    def losses(self, outputs: Tensor, targets: Tensor) -> Losses:
        return Losses(self._criterion(outputs, targets))

    def sums(self, outputs: Tensor, targets: Tensor, losses: Losses) -> Tensor:
        return torch.zeros(1)

    def metrics(self, sums: Tensor) -> dict[str, float]:
        return {}


class _AsIs:
    """Examples normalize their own images."""

    device = torch.device("cpu")

    def __call__(self, images: Tensor) -> Tensor:
        return images


class OurLoop:
    """Our trainer, asked for the gradients of single updates.

    Args:
        network: Any supernet of the example's network.
        criterion: The example's.
        steps: Updates of the example's whole training.
    """

    def __init__(self, network: Supernet, criterion: Criterion, steps: int) -> None:
        self._network = copy.deepcopy(network).train()
        config, normalizer = TrainConfig(epochs=1, warmup_epochs=0), cast(Normalizer, _AsIs())
        self._trainer = Trainer(self._network, fake_data(steps), _Criterion(criterion), normalizer, config)

    def gradients(self, update: Update) -> dict[str, Tensor]:
        """From the weights and the batch of the example."""
        assert update.batch is not None
        self._network.load_state_dict(update.state)
        batch = ClassificationBatch(*update.batch, torch.arange(len(update.batch[0])))
        self._trainer.step(update.step, batch, Tally(self._trainer.task, self._network))
        return gradients(self._network)


def assert_like_our_loop(watch: Watch, criterion: Criterion, steps: int) -> None:
    """Every update of the example has, to the bit, the gradients of our trainer from the same weights and batch."""
    assert watch.supernet is not None
    assert [(u.step, u.progress) for u in watch.updates] == [(step, step / steps) for step in range(steps)]
    ours = OurLoop(watch.supernet, criterion, steps)
    for update in watch.updates:
        expected = ours.gradients(update)
        assert update.gradients.keys() == expected.keys()
        differ = [name for name in expected if not torch.equal(update.gradients[name], expected[name])]
        assert not differ, f"at step {update.step}"
    widened = [name for name in watch.updates[0].gradients if name.startswith("added.")]
    assert any(watch.updates[0].gradients[name].any() for name in widened)
