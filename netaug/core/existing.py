"""What a command line names has to be there: answered from the file system alone, before torch is imported."""

from __future__ import annotations

import os
from pathlib import Path

from netaug.core.errors import CheckpointError, ConfigError, DataError, RunFolderError
from netaug.core.regular_files import is_folder

HUB_PREFIX = "hf:"
WEIGHTS_NAME = "model.safetensors"
COMPARISON_NAME = "compare.json"
"""A file in the folder of every comparison."""

_SHOWN = 8


def is_hub_name(source: str | Path) -> bool:
    """Return whether this names a network on the Hub, such as ``hf:user/name``."""
    return str(source).startswith(HUB_PREFIX)


def local_weights(source: str | Path) -> Path:
    """Return the weights file of a run folder, or the weights file itself.

    Raises:
        RunFolderError: There is no such file or folder, or the folder holds no weights.
    """
    path = Path(source)
    if path.is_dir():
        weights = path / WEIGHTS_NAME
        if weights.is_file():
            return weights
        raise RunFolderError(
            f"'{path}' contains no trained network.",
            got=", ".join(sorted(entry.name for entry in path.iterdir())) or "an empty folder",
            allowed="a folder that `netaug train` wrote, with model.safetensors",
        )
    if not path.is_file():
        raise RunFolderError(
            f"there is no run folder or weights file '{path}'.",
            fix="`netaug runs` lists the runs there are",
        )
    return path


def check_network(source: str) -> None:
    """Check that a run folder or a weights file is there; raises as :func:`local_weights`."""
    if not is_hub_name(source):
        local_weights(source)


def is_comparison(folder: Path) -> bool:
    """Return whether `netaug compare` wrote the folder."""
    return (folder / COMPARISON_NAME).is_file()


def check_network_or_comparison(source: str) -> None:
    """Check that a run folder, a weights file or a comparison is there; raises as :func:`local_weights`."""
    if not is_comparison(Path(source)):
        check_network(source)


def check_weights(source: str) -> None:
    """Check that a file of weights is there; raises :class:`CheckpointError`."""
    path = Path(source).expanduser()
    if not is_hub_name(source) and not path.exists():
        raise no_weights(path)


def check_teacher(name: str) -> None:
    """Check that a teacher that can only be a path is there; raises :class:`ConfigError`."""
    # A name with a colon is of timm, of the Hub or of a factory, or made by the training itself.
    if os.sep in name and ":" not in name and not Path(name).expanduser().exists():
        raise no_teacher(name)


def check_data(root: str) -> None:
    """Check that the folder or file of a dataset is there; raises :class:`DataError`."""
    path = Path(root).expanduser()
    if not path.exists():
        raise no_data(path)


def no_weights(path: Path) -> CheckpointError:
    """Return the error for a file of weights that is not there."""
    return CheckpointError(
        f"there is no weights file '{path}'.", fix="check the path; it is relative to the working directory"
    )


def no_teacher(name: str) -> ConfigError:
    """Return the error for a teacher that is not there."""
    return ConfigError(
        f"there is no teacher '{name}'.",
        got="neither a file or folder, nor the name of a network",
        allowed="timm:NAME, a run folder, or a weights file of netaug",
        fix="check the path",
    )


def no_data(root: Path) -> DataError:
    """Return the error for a dataset that is not there, with what lies beside where it should be."""
    return DataError(
        f"there is no '{root}'.",
        got=f"in '{root.parent}' there is: {listing(root.parent)}",
        fix="--data DIR",
    )


def listing(folder: Path) -> str:
    """Return what a folder holds, in one line: folders with a slash first, then files."""
    if not folder.is_dir():
        return "nothing"
    entries = sorted((not is_folder(entry), entry.name) for entry in os.scandir(folder))
    names = [name if is_no_folder else f"{name}/" for is_no_folder, name in entries]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "nothing"
