"""scikit-learn's handwritten digits: built in, no file and no network needed."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from netaug.config import DataConfig
from netaug.core.seeding import key, uniforms
from netaug.data.registry import Source, Split, dataset
from netaug.data.store import MemoryImages

# Of the training split below, computed once; a test computes them again.
MEAN = (0.3047,)
STD = (0.3755,)

_VAL_FRACTION = 0.2
_LEVELS = 16


@dataset("digits")
def load_digits(config: DataConfig) -> Source:
    """Load the digits; the same fifth of each class is the evaluation split, whatever the seed."""
    images_NHW, labels_N = _images_and_labels()
    pixels_NHW = np.rint(images_NHW * (255 / _LEVELS)).astype(np.uint8)
    everything = Split(MemoryImages(torch.from_numpy(pixels_NHW)[:, None]), labels_N)
    in_val_N = _fifth_of_each_class(labels_N)
    return Source(
        class_names=tuple(str(digit) for digit in range(10)),
        in_chans=1,
        mean=MEAN,
        std=STD,
        train=everything.select(np.flatnonzero(~in_val_N)),
        val=everything.select(np.flatnonzero(in_val_N)),
        val_split="test",
        image_size=8,
    )


def _images_and_labels() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return images ``[N, 8, 8]`` in [0, 16] and labels ``[N]``.

    The file is read without scikit-learn, whose import takes as long as a training of these images for some epochs;
    where it does not lie as usual, by scikit-learn.
    """
    spec = find_spec("sklearn")
    file = Path(spec.origin).parent / "datasets/data/digits.csv.gz" if spec and spec.origin else None
    if file is None or not file.is_file():
        from sklearn import datasets

        bunch = datasets.load_digits()
        return bunch.images, bunch.target.astype(np.int64)
    with gzip.open(file) as text:
        rows = np.loadtxt(text, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)


def _fifth_of_each_class(labels_N: np.ndarray) -> np.ndarray:
    draws_N = uniforms(key(0, "digits", "split"), np.arange(len(labels_N)), 1)[:, 0]
    chosen_N = np.zeros(len(labels_N), bool)
    for label in range(10):
        members = np.flatnonzero(labels_N == label)
        lowest = np.argsort(draws_N[members])[: round(len(members) * _VAL_FRACTION)]
        chosen_N[members[lowest]] = True
    return chosen_N
