"""The settings and checks that the subcommands of `netaug data` share."""

from __future__ import annotations

from netaug.config import DataConfig
from netaug.config.loading import default_config
from netaug.core.errors import ConfigError

SETTINGS = (
    *(f"data.{key}" for key in ("root", "train_split", "val_split", "image_column", "label_column")),
    *(f"data.{key}" for key in ("class_names", "download", "holdout", "box_orientation", "on_error")),
)
_MOST_JOBS = 1024


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
