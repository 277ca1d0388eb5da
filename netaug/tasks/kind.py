"""What the package asks of a kind of task, from the checks before a training to the printing of predictions."""

# ruff: noqa: B027 (methods that may stay empty: the checks)
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from netaug.config import RunConfig
from netaug.core.errors import ConfigError, DataError
from netaug.models.trial import ONE_LOGIT_PER_CLASS, OutputForm
from netaug.tasks.base import Task
from netaug.weights.metadata import ModelCard

if TYPE_CHECKING:
    from netaug.data import Data
    from netaug.data.batch import DataInfo


@dataclass(frozen=True)
class PredictOptions:
    """How predictions are made.

    Args:
        top: Number of classes per image, of a classifier.
        score: Least score in [0, 1) of an object, of a detector.
        device: Where to compute.
        run_settings: Reads the settings of the run that the network is from; defaults for a weights file.
        skip_errors: Whether a file that is missing or does not decode gives an :class:`Unreadable`, and the next one
            follows; else it raises.

    Raises:
        ConfigError: ``top`` or ``score`` is out of range.
    """

    top: int
    score: float
    device: torch.device
    run_settings: Callable[[], RunConfig]
    skip_errors: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.top < 1:
            raise ConfigError("--top is out of range.", got=self.top, allowed="a whole number, at least 1")
        if not 0 <= self.score < 1:
            raise ConfigError("--score is out of range.", got=self.score, allowed="a number in [0, 1)")


@dataclass(frozen=True)
class Unreadable:
    """An image without a prediction.

    Args:
        image: The file.
        error: Why.
    """

    image: str
    error: DataError


class Printer(ABC):
    """Shows predictions while they are made, to people or as JSON, and saves them."""

    @abstractmethod
    def add(self, prediction: Any) -> None:
        """Take the prediction for the next image, or that it is :class:`Unreadable`."""

    @abstractmethod
    def finish(self) -> None:
        """Print and write what needs all predictions."""


class TaskKind(ABC):
    """A kind of task: one object per kind, registered by its name (:mod:`netaug.tasks.registry`).

    A subclass gives :meth:`build`, and overrides what differs from a task with one logit per class. The checks are
    empty here because most tasks have nothing to refuse.

    Attributes:
        name: As in ``DataInfo.task`` and in weights files.
        does: What its networks do, after «the network».
        predict_options: Options of `netaug predict` that act on its predictions.
        evaluation_settings: Settings ``--group.key=value`` of a measurement that has none of a run.
    """

    name: str
    does: str
    predict_options: tuple[str, ...] = ()
    evaluation_settings: tuple[str, ...] = ()

    @abstractmethod
    def build(self, config: RunConfig, data: Data) -> Task[Any, Any]:
        """Return loss and metrics for a dataset, of settings that :meth:`check_settings` let pass."""

    def with_rows(self, task: Task[Any, Any], info: DataInfo) -> Task[Any, Any]:
        """Return the same task, whose evaluation collects a row per prediction, where it does not do so anyway."""
        return task

    def output_form(self) -> OutputForm:
        """Return what a network of this task has to return."""
        return ONE_LOGIT_PER_CLASS

    def check_network(self, name: str, info: DataInfo) -> None:
        """Raise ModelError where the network of this name is for another task; unknown names pass."""

    def check_data(self, data: Data) -> None:
        """Raise DataError where evaluation on these images would say nothing."""

    def check_training_data(self, data: Data) -> None:
        """Raise DataError where there is nothing to learn from these images."""

    def check_side(self, where: str, side: int) -> None:
        """Raise ConfigError where the input cannot have this height and width in pixels; ``where`` is its setting."""

    def check_settings(self, config: RunConfig) -> None:
        """Raise ConfigError where a setting has no meaning for the task."""

    def scores_for_weights(self, metrics: Mapping[str, float], score: str) -> dict[str, float]:
        """Return the metrics in percent that the weights file records beside top-1.

        Args:
            metrics: Of the evaluation images.
            score: Name of the metric that results are reported in.
        """
        return {score: metrics[score]} if score in metrics else {}

    def predictions(
        self, network: nn.Module, metadata: ModelCard, images: Sequence[str], options: PredictOptions
    ) -> Iterator[Any]:
        """Return an iterator over the predictions, one per image file.

        Raises:
            DataError: A file is missing or does not decode, unless ``options.skip_errors``.
            ConfigError: The task has no predictions.
        """
        raise ConfigError(f"netaug has no predictions for the task {self.name!r}.", got=metadata.name)

    def printer(
        self, metadata: ModelCard, images: Sequence[str], *, as_json: bool, save: Path | None
    ) -> Printer:
        """Return what shows the predictions.

        Args:
            metadata: Names the classes.
            images: Files, in the order of their predictions.
            as_json: Whether a program reads them.
            save: A file whose name ends in .json or .csv, or a folder; None saves nothing.

        Raises:
            ConfigError: A picture would replace one of the images.
        """
        raise ConfigError(f"netaug prints no predictions of the task {self.name!r}.", got=metadata.name)
