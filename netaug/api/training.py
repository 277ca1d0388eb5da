"""`netaug.train`: one training as a function."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from netaug.api.settings import words_of
from netaug.config import RunConfig
from netaug.config.loading import load_config
from netaug.config.recipes import find_recipe
from netaug.core.errors import ConfigError
from netaug.train.run import RunResult
from netaug.train.run import train as train_run


def train(
    recipe: str | Path | RunConfig,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    trusted: Collection[str] = (),
    **settings: Any,
) -> RunResult:
    """Train a network into a run folder, as `netaug train` does.

    Args:
        recipe: A name of `netaug recipes`, the path of a YAML file, or finished settings.
        out: The run folder; None is ``runs/RECIPE-ARM-seedN``. An unfinished run of the same settings resumes there.
        resume: Whether a finished run in the folder also resumes, if it gets more epochs.
        trusted: Factories ``package.module:function`` of your own that files may name; they are imported.
        **settings: Over those of the recipe, as ``train={"epochs": 20}`` or ``**{"train.epochs": 20}``.

    Returns:
        The folder (``result.folder.path``) and the summary: score in percent, parameters, multiply-accumulates.

    Raises:
        NetaugError: Settings, data, network or folder cannot be used, or the loss becomes non-finite.
        Stopped: Ctrl-C, SIGTERM or SIGUSR1, after a checkpoint.
    """
    from netaug.runs.folder import default_folder

    if isinstance(recipe, RunConfig):
        if settings or out is None:
            raise ConfigError(
                "finished settings are trained as they are, into a folder that you name.",
                got="further settings" if settings else "out=None",
                fix="give out=DIR; dataclasses.replace changes finished settings",
            )
        return train_run(recipe, Path(out), resume=resume, trusted=trusted)
    name, _ = find_recipe(str(recipe))
    config = load_config(str(recipe), words_of(settings), trusted=trusted)
    folder = (
        default_folder(name, augmented=config.netaug.enabled, seed=config.train.seed)
        if out is None
        else Path(out)
    )
    return train_run(config, folder, resume=resume, trusted=trusted)
