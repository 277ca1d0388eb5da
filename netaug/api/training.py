"""`netaug.train`: one training as a function."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from netaug.api.default_settings import derive_settings
from netaug.api.settings import words_of
from netaug.config import RunConfig
from netaug.config.loading import default_config, given_settings, load_config
from netaug.config.recipes import find_recipe
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.one_command import one_command
from netaug.distributed.launch import place
from netaug.models import check_name
from netaug.train.filling_batches import with_filled_batches
from netaug.train.run import RunResult
from netaug.train.run import train as train_run


def settings_of(
    recipe: str | None, overrides: list[str], trusted: Collection[str] = ()
) -> tuple[str, RunConfig]:
    """Return a name for run folders, and the settings: a recipe's, or those chosen for the images and the network.

    Batches are smaller where the training images do not fill one, and a line says so.
    """
    if recipe is not None:
        name, config = find_recipe(recipe)[0], load_config(recipe, overrides, trusted=trusted)
    else:
        derived = derive_settings(overrides)
        if place().rank == 0:
            say(derived.explanation, file=sys.stderr, flush=True)
        name, config = derived.name, default_config(derived.with_given(overrides))
    return name, fit_to_images(config, overrides)


def fit_to_images(config: RunConfig, overrides: list[str]) -> RunConfig:
    """Return settings whose batches the training images fill, after a check of the network's name.

    Args:
        config: Settings of a recipe, or those that were chosen without one.
        overrides: The user's, which are among them and stay.

    Raises:
        ModelError: There is no such network.
        DataError: The dataset cannot be read, or a selection leaves nothing.
    """
    check_name(config.model.name)  # a wrong name is answered before the images are counted
    return with_filled_batches(config, given_settings({}, overrides))


@one_command()
def train(
    recipe: str | Path | RunConfig | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    trusted: Collection[str] = (),
    **settings: Any,
) -> RunResult:
    """Train a network into a run folder, as `netaug train` does.

    Args:
        recipe: A name of `netaug recipes`, the path of a YAML file, or finished settings. None chooses settings for
            ``data="DIR"`` and ``model="NAME"``, and says them.
        out: The run folder; None is ``runs/RECIPE-ARM-seedN``, or the next free name with -2, -3, ...
            behind it. An unfinished run of the same settings resumes there.
        resume: Whether a finished run in the folder also resumes, if it gets more epochs.
        trusted: Factories ``package.module:function`` of your own that files may name; they are imported.
        **settings: Over those of the recipe, as ``epochs=20``, ``train={"epochs": 20}`` or ``**{"train.epochs": 20}``.

    Returns:
        The folder (``result.folder.path``) and the summary: score in percent, parameters, multiply-accumulates.

    Raises:
        NetaugError: Settings, data, network or folder cannot be used, or the loss becomes non-finite.
        Stopped: Ctrl-C, SIGTERM or SIGUSR1, after a checkpoint.
    """
    from netaug.runs.resume import choose_folder

    if isinstance(recipe, RunConfig):
        if settings or out is None:
            raise ConfigError(
                "finished settings are trained as they are, into a folder that you name.",
                got="further settings" if settings else "out=None",
                fix="give out=DIR; dataclasses.replace changes finished settings",
            )
        return train_run(recipe, Path(out), resume=resume, trusted=trusted)
    name, config = settings_of(None if recipe is None else str(recipe), words_of(settings), trusted)
    folder = choose_folder(name, config, resume=resume) if out is None else Path(out)
    return train_run(config, folder, resume=resume, trusted=trusted)
