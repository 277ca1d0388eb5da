"""scikit-learn's handwritten digits: built in, no file and no network needed."""

from __future__ import annotations

import numpy as np
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
    from sklearn import datasets

    bunch = datasets.load_digits()
    labels_N = bunch.target.astype(np.int64)
    pixels_NHW = np.rint(bunch.images * (255 / _LEVELS)).astype(np.uint8)
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


def _fifth_of_each_class(labels_N: np.ndarray) -> np.ndarray:
    draws_N = uniforms(key(0, "digits", "split"), np.arange(len(labels_N)), 1)[:, 0]
    chosen_N = np.zeros(len(labels_N), bool)
    for label in np.unique(labels_N):
        members = np.flatnonzero(labels_N == label)
        lowest = np.argsort(draws_N[members])[: round(len(members) * _VAL_FRACTION)]
        chosen_N[members[lowest]] = True
    return chosen_N
