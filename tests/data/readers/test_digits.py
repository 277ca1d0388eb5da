from __future__ import annotations

import numpy as np
import pytest
import torch

from netaug.config import DataConfig
from netaug.data import build_data
from netaug.data.readers import digits
from netaug.data.readers.digits import load_digits
from netaug.data.store import MemoryImages


def test_the_digits_are_split_in_every_class_by_the_same_share():
    source = load_digits(DataConfig())
    assert source.val is not None
    assert len(source.train) + len(source.val) == 1797
    share = np.bincount(source.val.labels_N) / np.bincount(source.train.labels_N)
    assert share == pytest.approx(np.full(10, 0.25), abs=0.01)


def test_the_constants_are_those_of_the_training_images():
    images = load_digits(DataConfig()).train.images
    assert isinstance(images, MemoryImages)
    pixels = images.pixels_NCHW.double() / 255
    assert (round(pixels.mean().item(), 4),) == digits.MEAN
    assert (round(pixels.std(correction=0).item(), 4),) == digits.STD


def test_pixels_use_the_whole_byte():
    images = load_digits(DataConfig()).train.images
    assert isinstance(images, MemoryImages)
    assert images.pixels_NCHW.shape[1:] == (1, 8, 8)
    assert (images.pixels_NCHW.min(), images.pixels_NCHW.max()) == (0, 255)
    assert len(images.pixels_NCHW.unique()) == 17


def test_the_split_does_not_depend_on_the_runs_seed():
    labels = [
        torch.cat([batch.images_NCHW for batch in build_data(DataConfig(), seed=s).val]) for s in (0, 1)
    ]
    assert torch.equal(*labels)


def test_info_describes_the_digits():
    info = build_data(DataConfig(), seed=0).info
    assert (info.name, info.num_classes, info.in_chans, info.image_size) == ("digits", 10, 1, 8)
    assert (info.train_size, info.val_size, info.val_split, info.crop_ratio) == (1438, 359, "test", 1.0)


def test_the_file_that_is_read_is_what_scikit_learn_reads(monkeypatch: pytest.MonkeyPatch):
    images_NHW, labels_N = digits._images_and_labels()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)  # it does not lie as usual
    by_sklearn = digits._images_and_labels()
    np.testing.assert_array_equal(images_NHW, by_sklearn[0])
    np.testing.assert_array_equal(labels_N, by_sklearn[1])
    assert (images_NHW.shape, labels_N.dtype) == ((1797, 8, 8), np.int64)
