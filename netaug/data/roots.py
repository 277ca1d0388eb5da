"""The folder of a dataset: is it there, and what is in it."""

from __future__ import annotations

from pathlib import Path

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.core.existing import listing

_ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".zip")


def require_root(config: DataConfig, *, create: bool = False) -> Path:
    """Return the folder ``config.root``, which exists and holds something (or is made when ``create``).

    Raises:
        DataError: It is not given, missing, not a folder, or empty.
    """
    if not config.root:
        raise DataError(
            f"the dataset '{config.name}' needs a folder on disk.",
            got="no data.root",
            fix="--data.root FOLDER",
        )
    root = Path(config.root).expanduser()
    if create and not root.exists():
        return root
    if not root.exists():
        parent = root.parent
        nearby = f"; in '{parent}' there is: {listing(parent)}" if parent.is_dir() else ""
        raise DataError(
            f"data.root '{root}' does not exist.",
            got=f"nothing at '{root.resolve()}'{nearby}",
            allowed="an existing folder",
            fix="--data.root FOLDER",
        )
    if not root.is_dir():
        raise DataError(
            f"data.root '{root}' is not a folder.",
            got="a file",
            fix="unpack archives first, then --data.root FOLDER",
        )
    if not create and not any(root.iterdir()):
        raise DataError(
            f"data.root '{root}' is an empty folder.", got="nothing inside", fix="--data.root FOLDER"
        )
    return root


def unreadable(config: DataConfig, error: OSError) -> DataError:
    """Return the error for a dataset that the system does not let us read: no permission, a disk that went away."""
    denied = isinstance(error, PermissionError)
    return DataError(
        f"the dataset '{config.name}' cannot be read from data.root '{config.root}'.",
        got=error,
        allowed="folders and files that this user may read" if denied else None,
        fix=f"as their owner: chmod -R a+rX '{config.root}'" if denied else None,
    )


def unpacking(archive: Path, folder: Path) -> str:
    """Return the command that unpacks an archive into a folder."""
    if archive.suffix.lower() == ".zip":  # GNU's tar does not read it
        return f"unzip '{archive}' -d '{folder}'"
    return f"tar -xf '{archive}' -C '{folder}'"


def is_archive(path: Path) -> bool:
    """Return whether a file is an archive by its name."""
    return path.name.lower().endswith(_ARCHIVES) and path.is_file()


def archives_in(folder: Path) -> list[Path]:
    """Return the archives that lie in a folder, such as one that was never unpacked; sorted."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_archive(path))
