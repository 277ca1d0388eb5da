"""Curves sent to Weights & Biases, one run there for one run folder here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netaug.core.errors import ConfigError, first_line
from netaug.core.io import write_atomic
from netaug.core.optional import import_extra

_ID = "wandb-id.txt"


def import_wandb() -> Any:
    """The module ``wandb``.

    Raises:
        ConfigError: It is missing.
    """
    without = "leave train.wandb out; metrics.jsonl is always written"
    return import_extra("wandb", "wandb", "train.wandb", without, error=ConfigError)


class WandbTracker:
    """Sends points; see :class:`netaug.train.trackers.Tracker`.

    A run that goes on sends points that are there already once more. Weights & Biases takes no step twice, and they
    are equal: a run goes on to the same bits.

    Args:
        project: Where the run appears.
        folder: The run folder; its name is the run's, that of the folder above it the run's group.
        config: The settings, shown with the run.

    Raises:
        ConfigError: It does not let a run start, for example because nobody is logged in.
    """

    name = "Weights & Biases"

    def __init__(self, project: str, folder: Path, config: Mapping[str, Any]) -> None:
        wandb, file = import_wandb(), folder / _ID
        self.is_new = not file.exists()
        if self.is_new:
            write_atomic(file, secrets.token_hex(8) + "\n")
        try:
            self._run = wandb.init(
                project=project,
                id=file.read_text(encoding="utf-8").strip(),
                resume="allow",
                name=folder.name,
                group=folder.resolve().parent.name,
                dir=str(folder),
                config=dict(config),
            )
        except Exception as error:  # of somebody else's code
            if self.is_new:
                file.unlink(missing_ok=True)
            raise ConfigError(
                "Weights & Biases does not let the run start (train.wandb).",
                got=f"{type(error).__name__}: {first_line(error)}",
                fix="`wandb login`; or WANDB_MODE=offline in the environment, then `wandb sync` sends it later",
            ) from error

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of these curves."""
        self._run.log(dict(values), step=step)

    def close(self, finished: bool) -> None:
        """Send what is waiting; a run that stopped early is shown as failed until it goes on."""
        self._run.finish(exit_code=0 if finished else 1)
