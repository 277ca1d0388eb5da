"""What is on ImageNet's flat validation images: by the official devkit, torchvision's copy of it, or Kaggle's list."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netaug.core.errors import DataError, NetaugError, first_line
from netaug.core.text_files import read_text
from netaug.data.archives import read_members

_DEVKIT = "ILSVRC2012_devkit_t12"
_META = f"{_DEVKIT}/data/meta.mat"
_TRUTH = f"{_DEVKIT}/data/ILSVRC2012_validation_ground_truth.txt"
_NAMES = (_DEVKIT, f"{_DEVKIT}.tar.gz", "meta.bin", "LOC_val_solution.csv")


def places(*folders: Path) -> list[Path]:
    """Return where labels are looked for, in this order."""
    return list(dict.fromkeys(folder / name for folder in folders for name in _NAMES))


def find_labels(candidates: Sequence[Path]) -> tuple[dict[str, str], Path] | None:
    """Return the WordNet id of each validation image.

    Args:
        candidates: Of :func:`places`; the first that exists counts.

    Returns:
        Ids by file name without suffix, and the place they come from; None if no place exists.

    Raises:
        DataError: A file of labels is damaged, or a label is out of range.
    """
    path = next((path for path in candidates if path.exists()), None)
    if path is None:
        return None
    try:
        return _read(path), path
    except NetaugError:
        raise
    except Exception as error:  # readers of foreign formats raise many kinds
        raise DataError(
            f"the labels of ImageNet's validation images in '{path}' are damaged or incomplete.",
            got=f"{type(error).__name__}: {first_line(error)}",
            allowed="the official devkit of ILSVRC2012, task 1 and 2",
            fix="unpack ILSVRC2012_devkit_t12.tar.gz again, or put it into data.root as it is",
        ) from None


def _read(path: Path) -> dict[str, str]:
    if path.name == "meta.bin":
        import torch

        _, wnids = torch.load(path, weights_only=True)  # plain tuples and strings; no code runs
        return _numbered([str(wnid) for wnid in wnids])
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
        return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    if path.is_dir():
        content = {name: (path.parent / name).read_bytes() for name in (_META, _TRUTH)}
    else:
        content = read_members(path, (_META, _TRUTH))
    return _numbered(_devkit(content[_META], content[_TRUTH].decode("ascii"), path))


def _devkit(meta: bytes, truth: str, path: Path) -> list[str]:
    """Return the id of each image: the truth counts synsets by ILSVRC2012_ID.

    Only those without children are classes.
    """
    from scipy.io import loadmat

    synsets = np.atleast_1d(loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"])
    leaves = {
        int(entry["ILSVRC2012_ID"]): str(entry["WNID"])
        for entry in synsets
        if int(entry["num_children"]) == 0
    }
    wnids = []
    for row, text in enumerate(truth.split(), start=1):
        if int(text) not in leaves:
            raise DataError(
                f"a label of ImageNet's validation images in '{path}' is out of range.",
                got=f"{text} in line {row} of {Path(_TRUTH).name}",
                allowed=f"an ILSVRC2012_ID of a class in meta.mat, {min(leaves)} to {max(leaves)}",
                fix="unpack ILSVRC2012_devkit_t12.tar.gz again",
            )
        wnids.append(leaves[int(text)])
    return wnids


def _numbered(wnids: Sequence[str]) -> dict[str, str]:
    return {f"ILSVRC2012_val_{number:08d}": wnid for number, wnid in enumerate(wnids, start=1)}
