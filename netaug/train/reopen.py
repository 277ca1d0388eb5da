"""Opens the supernet of a finished run, and measures and extracts its wider networks."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import netaug
from netaug.core.errors import CheckpointError, RunFolderError
from netaug.data import Data, Normalizer
from netaug.data.batch import Batch
from netaug.elastic import Supernet, augment
from netaug.elastic.recalibrate import has_statistics, recalibrate
from netaug.reparameterize.training_layers import training_layers
from netaug.runs.checkpoints import Checkpoints
from netaug.runs.folder import RunFolder, find_weights, read_config
from netaug.tasks.base import Task
from netaug.tasks.evaluate import evaluate
from netaug.tasks.registry import task_kind
from netaug.weights.metadata import ModelCard, fill, load_weights
from netaug.weights.resized import size_changes

_log = logging.getLogger("netaug")


def open_supernet(
    run: Path, trusted: Collection[str] = (), side: int | None = None
) -> tuple[Supernet, ModelCard]:
    """Rebuild the trained supernet of a run folder.

    Args:
        run: Written by `netaug train` with NetAug on; its newest checkpoint holds the weights of all widths.
        trusted: Factories ``package.module:function`` that the run may name.
        side: Height = width of the input in pixels, for which multiply-accumulates are counted and the card is; None is
            that of the training.

    Returns:
        The supernet on the CPU, at base widths and in evaluation mode, and the card of its base network.

    Raises:
        RunFolderError: It is not a run folder, the run is a baseline, or its checkpoint is gone.
        CheckpointError: A file is damaged, or the checkpoint does not fit the supernet.
    """
    if run.is_file():
        raise RunFolderError(
            f"'{run}' is one network; networks of other widths come from a whole run.",
            got="a file",
            allowed="a folder that `netaug train` wrote",
        )
    weights = find_weights(run)
    config = read_config(run)
    if not config.netaug.enabled:
        raise RunFolderError(
            f"'{run}' is a baseline: its network has one width only.",
            got="netaug.enabled false",
            fix="give a run trained with NetAug",
        )
    if training_layers(config.reparameterize, config.deepen, config.train.seed).layers:
        raise RunFolderError(
            f"'{run}' was trained with branches or deeper layers, which its wider networks have too.",
            got=f"reparameterize.branches {config.reparameterize.branches}, deepen.ratio {config.deepen.ratio:g}",
            allowed="a run with neither of them, for networks of other widths; the base network is in the run folder",
        )
    checkpoint, content = _newest_checkpoint(run)
    base, card = load_weights(weights, trusted)
    card = replace(card, image_size=side or card.image_size)
    example = torch.zeros(2, card.in_chans, card.image_size, card.image_size)
    supernet = augment(base, example, config.netaug.augment_config(config.train.seed))
    fill(supernet, _tensors(checkpoint, content["network"]), checkpoint)
    trained = supernet.base.state_dict()
    if any(not torch.equal(trained[name], tensor) for name, tensor in base.state_dict().items()):
        _log.warning("%s holds other base weights than %s; widths use the former", checkpoint, weights)
    return supernet.eval(), card


def _newest_checkpoint(run: Path) -> tuple[Path, dict[str, Any]]:
    folder = RunFolder(run).checkpoints
    newest = Checkpoints(folder).newest()
    if newest is None:
        raise RunFolderError(
            f"'{run}' no longer has the weights of the wider networks.",
            got=f"no checkpoint in '{folder}', which holds them",
            fix="train again, and keep that folder",
        )
    return newest


def _tensors(checkpoint: Path, state: Any) -> dict[str, Tensor]:
    if isinstance(state, Mapping) and all(isinstance(value, Tensor) for value in state.values()):
        return dict(state)
    raise CheckpointError(f"'{checkpoint}' holds no network.", got=type(state).__name__)


@dataclass(frozen=True)
class WidthBench:
    """Recalibrates and measures networks of a trained supernet.

    Args:
        supernet: On the normalizer's device.
        card: Of the base network.
        data: Its training images give the statistics, its evaluation images the accuracy.
        normalizer: Moves and normalizes images.
        task: Loss and metrics.
        images: Training images that the statistics are estimated on, augmented as in training.
    """

    supernet: Supernet
    card: ModelCard
    data: Data
    normalizer: Normalizer
    task: Task[Any, Any]
    images: int

    def network(self, widths: Mapping[str, int]) -> nn.Module:
        """Return the plain network of these widths, with statistics of its own if it keeps any."""
        if not self.recalibrates:
            return self.supernet.extract(widths).eval()
        batches = self.data.train.epoch(0)
        return recalibrate(self.supernet, batches, widths, images=self.images, inputs=self._inputs)

    def measure(self, network: nn.Module) -> dict[str, float]:
        """Return the task's metrics on the evaluation images."""
        return evaluate(network, self.data.val, self.normalizer, self.task)

    def card_of(self, widths: Mapping[str, int], score: float | None) -> ModelCard:
        """Return the description of the network of these widths; ``score`` is in percent, if measured."""
        scores = {} if score is None else {self.task.score: score}
        card = replace(
            self.card,
            top1=scores.get("top1"),
            scores=task_kind(self.card.task).scores_for_weights(scores, self.task.score) if scores else {},
            val_split=self.data.info.val_split,
            netaug_version=netaug.__version__,
        )
        with self.supernet.at(widths):
            actual = self.supernet.widths
        if all(channels == self.supernet.groups[name].base for name, channels in actual.items()):
            return card
        sizes = size_changes(self.supernet.base, self.supernet.extract(widths))
        return replace(card, widths=actual, sizes=sizes)

    @property
    def recalibrates(self) -> bool:
        """Return whether the network has statistics to estimate."""
        return has_statistics(self.supernet.base)

    def _inputs(self, batch: Batch) -> Tensor:
        return self.normalizer(batch.images_NCHW)
