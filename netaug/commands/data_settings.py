"""The settings and checks that the subcommands of `netaug data` share."""

from __future__ import annotations

import sys

from netaug.commands.arguments import announce, check_recognizable
from netaug.config import DataConfig
from netaug.config.datasets import DATASETS
from netaug.config.loading import default_config, given_settings
from netaug.core.errors import ConfigError
from netaug.core.escaping import say

SETTINGS = (
    *(f"data.{key}" for key in ("root", "train_split", "val_split", "image_column", "label_column")),
    *(f"data.{key}" for key in ("class_names", "download", "holdout", "box_orientation", "on_error")),
)
DATASET_HELP = "A name as for --data.name; without one, what lies in --data is recognized."
_MOST_JOBS = 1024


def named_dataset(name: str | None, given: list[str]) -> tuple[str, list[str]]:
    """Return the name of a dataset and its settings; without a name what lies in ``data.root`` is recognized.

    Raises:
        ConfigError: Neither is given.
        DataError: There is nothing, or nothing that is known.
    """
    settings = given_settings({}, given)
    announce(f"reading {settings.get('data.root') or f'the dataset {name}'}")
    if name is not None:
        return name, given
    check_recognizable(given)

    from netaug.data.recognize import recognized_words

    words, sentence = recognized_words(settings)
    if not words:
        raise ConfigError(
            "it is not said which dataset is meant.",
            got="neither a name nor --data",
            allowed=", ".join(DATASETS),
            fix="--data DIR; what lies there is recognized",
        )
    say(sentence, file=sys.stderr, flush=True)
    return words[0].partition("=")[2], [*given, *words[1:]]


def data_config(name: str, given: list[str]) -> DataConfig:
    """Return the settings of a dataset, as in a run with `--data.name NAME`."""
    return default_config([f"--data.name={name}", *given]).data


def check_jobs(jobs: int | None) -> int:
    """Return the number of threads to use.

    Raises:
        ConfigError: It is below 1.
    """
    from netaug.core.parallel import default_jobs

    if jobs is not None and not 1 <= jobs <= _MOST_JOBS:
        raise ConfigError("--jobs is out of range.", got=jobs, allowed=f"a whole number, 1 to {_MOST_JOBS}")
    return jobs or default_jobs()
