"""Official layouts: are the files where they belong, and if not, what is there instead and how to repair it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from netaug.config import DataConfig
from netaug.core.errors import DataError, NetaugError, first_line
from netaug.core.existing import listing
from netaug.core.regular_files import is_folder
from netaug.data.registry import Published
from netaug.data.roots import archives_in, require_root, unpacking, unreadable

_NEXT_ROW = "\n           "


def find_layout(config: DataConfig, published: Published, *layouts: Sequence[str]) -> Path:
    """Return the folder ``config.root``, in which every needed file is, or is about to be downloaded.

    Args:
        config: Names the dataset and its root.
        published: Its tree and where to obtain it.
        layouts: Files and folders relative to the root that have to be there; one of several lists is enough.

    Raises:
        DataError: Some are missing; shows the expected tree, what was found, and the fix, such as the right root.
    """
    downloading = config.download and published.downloads
    root = require_root(config, create=downloading)
    if not downloading and not any(_holds(root, needed) for needed in layouts):
        raise _missing_files(config, published, root, layouts)
    return root


def _missing_files(
    config: DataConfig, published: Published, root: Path, layouts: Sequence[Sequence[str]]
) -> DataError:
    needed = max(
        layouts, key=lambda paths: sum((root / path).exists() for path in paths)
    )  # what is there most
    missing = [path for path in needed if not (root / path).exists()]
    parts = [f"in ROOT there is: {listing(root)}"]
    inside = _deepest(root, missing[0])
    if inside != root:
        parts.append(f"in ROOT/{inside.relative_to(root).as_posix()}: {listing(inside)}")
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    parts.append(f"missing: ROOT/{missing[0]}{more}")
    return DataError(
        f"the files of {config.name} are not in data.root '{root}'.",
        got="; ".join(parts),
        allowed=expected_tree(published),
        fix=_fix(published, root, layouts, inside),
    )


def expected_tree(published: Published) -> str:
    """Return a dataset's files below its root, one pattern per row of a message."""
    return _NEXT_ROW.join(_row(line) for line in published.tree)


def _row(line: str) -> str:
    for start in ("or ", "  "):
        if line.startswith(start):
            return f"{start}ROOT/{line.removeprefix(start)}"
    return f"ROOT/{line}"


def _holds(root: Path, needed: Sequence[str]) -> bool:
    return all((root / path).exists() for path in needed)


def _deepest(root: Path, path: str) -> Path:
    """Return the folder on the way to a missing file that still exists."""
    folder = root
    for part in Path(path).parts:
        if not (folder / part).is_dir():
            break
        folder /= part
    return folder


def _fix(published: Published, root: Path, layouts: Sequence[Sequence[str]], inside: Path) -> str:
    for needed in layouts:
        if (better := nearby_root(root, needed)) is not None:
            return f"--data.root {better}"
    base = os.path.commonpath(layouts[0]).split(os.sep)[0]
    if base and _holds(root, [path.removeprefix(f"{base}/") for path in layouts[0]]):
        return f"rename the folder '{root}' to {base}, and give the folder above it as --data.root"
    packed = [*archives_in(root), *(archives_in(inside) if inside != root else [])]
    if packed:
        return f"unpack the archive: {unpacking(packed[0], packed[0].parent)}"
    if any((root / needed[0]).exists() for needed in layouts if needed[0].endswith("train")):
        return "add the evaluation images, or hold out training images: --data.holdout 0.1"
    if published.downloads:
        return "point --data.root at the folder that holds them, or fetch them with --data.download true"
    return f"point --data.root at the folder that holds them; to be had: {published.obtain}"


def nearby_root(root: Path, needed: Sequence[str]) -> Path | None:
    """Return a folder up to three levels above or two below that holds all needed files; None if there is none."""
    for above in islice(root.resolve().parents, 3):
        if _holds(above, needed):
            return above
    level = [root]
    for _ in range(2):
        level = [folder for above in level for folder in islice(_folders(above), 50)]
        for below in level:
            if _holds(below, needed):
                return below
    return None


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if is_folder(entry))
    except PermissionError:
        return []


@contextmanager
def reading(config: DataConfig, folder: Path, published: Published) -> Iterator[None]:
    """Turn whatever a reader of official files raises into one clear error.

    Raises:
        DataError: The files are damaged or incomplete, may not be read, or need a package; or a download failed.
    """
    try:
        yield
    except (NetaugError, MemoryError):
        raise
    except PermissionError as error:
        raise unreadable(config, error) from None
    except ImportError as error:
        raise DataError(
            f"the files of {config.name} cannot be read: a package is missing.",
            got=first_line(error),
            fix=f"install it: pip install {error.name or 'PACKAGE'}",
        ) from None
    except Exception as error:  # readers of foreign formats raise many kinds
        downloading = " or could not be downloaded" if config.download and published.downloads else ""
        again = "fetch it again with --data.download true" if published.downloads else "unpack it again"
        raise DataError(
            f"the files of {config.name} in '{folder}' are incomplete or damaged{downloading}.",
            got=f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__,
            allowed=expected_tree(published),
            fix=f"delete '{folder}' and {again}; to be had: {published.obtain}",
        ) from None
