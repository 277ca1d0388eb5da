"""Curves as files for TensorBoard, in the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netaug.core.errors import ConfigError
from netaug.core.optional import import_extra

_FLUSH_SECONDS = 30


def import_tensorboard() -> Any:
    """The module ``torch.utils.tensorboard``.

    Raises:
        ConfigError: The package tensorboard is missing.
    """
    without = "--train.tensorboard false; metrics.jsonl is always written"
    return import_extra(
        "torch.utils.tensorboard", "tensorboard", "train.tensorboard", without, error=ConfigError
    )


class TensorBoardTracker:
    """Writes event files; see :class:`netaug.train.trackers.Tracker`.

    Args:
        folder: Of the event files.
        first: The next step. Earlier processes' points from there on are not shown: they come again.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path, first: int) -> None:
        self.is_new = not folder.exists()
        self._writer = import_tensorboard().SummaryWriter(
            str(folder), purge_step=None if self.is_new else first, flush_secs=_FLUSH_SECONDS
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of these curves."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, finished: bool) -> None:
        """Write what is waiting."""
        self._writer.close()
