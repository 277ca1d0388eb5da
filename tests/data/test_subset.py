"""Some of a dataset's classes, a few images of each, another normalization."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netaug.config import DataConfig
from netaug.core.errors import ConfigError, DataError
from netaug.data import build_data
from netaug.data.readers.digits import load_digits
from netaug.data.subset import few_of_each

PLAIN = DataConfig(augment="none", batch_size=1)


def pairs(batches) -> list[tuple[int, bytes]]:
    return [
        (int(label), image.numpy().tobytes())
        for batch in batches
        for label, image in zip(batch.labels_N, batch.images_NCHW, strict=True)
    ]


def test_kept_classes_are_relabeled_in_the_order_named_in_both_splits():
    everything = build_data(PLAIN, seed=0)
    data = build_data(replace(PLAIN, classes=("7", "0", "3")), seed=0)
    assert data.info.class_names == ("7", "0", "3")
    old = {0: 7, 1: 0, 2: 3}
    for mine, theirs in ((data.train.epoch(0), everything.train.epoch(0)), (data.val, everything.val)):
        expected = [(label, image) for label, image in pairs(theirs) if label in (7, 0, 3)]
        assert sorted((old[label], image) for label, image in pairs(mine)) == sorted(expected)
        assert expected


def test_classes_of_a_folder_on_disk(two_classes: Path):
    config = replace(PLAIN, name="folder", root=str(two_classes), classes=("dog", "cat"))
    data = build_data(config, seed=0)
    assert (data.info.train_size, data.info.val_size) == (10, 5)
    assert sorted(label for label, _ in pairs(data.val)) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("1", "seven"), r"does not have.\s+got: +'seven'"),
        (("1", "1"), "twice"),
        (("1",), "nothing to tell apart"),
    ],
)
def test_classes_that_cannot_be_kept_are_named(classes: tuple[str, ...], message: str):
    with pytest.raises(DataError, match=message):
        build_data(replace(PLAIN, classes=classes), seed=0)


def test_an_unknown_class_is_answered_with_the_nearest(two_classes: Path):
    config = replace(PLAIN, name="folder", root=str(two_classes), classes=("dogs", "cat"))
    with pytest.raises(DataError, match="did you mean 'dog'"):
        build_data(config, seed=0)


def test_shots_are_so_many_of_each_class_and_fewer_are_a_part_of_more():
    five, nine = (build_data(replace(PLAIN, shots=n), seed=0) for n in (5, 9))
    few, more = sorted(pairs(five.train.epoch(0))), sorted(pairs(nine.train.epoch(0)))
    assert np.bincount([label for label, _ in few]).tolist() == [5] * 10
    assert set(few) < set(more)
    assert few == sorted(pairs(build_data(replace(PLAIN, shots=5), seed=8).train.epoch(0)))
    other = build_data(replace(PLAIN, shots=5, subset_seed=1), seed=0)
    assert few != sorted(pairs(other.train.epoch(0)))


def test_images_to_tune_on_are_neither_trained_on_nor_evaluated_on():
    judged = pairs(build_data(replace(PLAIN, holdout=0.2), seed=0).val)
    data = build_data(replace(PLAIN, holdout=0.2, tune_holdout=0.1), seed=0)
    trained, tuned = pairs(data.train.epoch(0)), pairs(data.val)
    assert data.info.val_split == "holdout"
    assert (len(judged), len(tuned), len(trained)) == (288, 115, 1035)
    everything = pairs(build_data(PLAIN, seed=0).train.epoch(0))
    assert sorted([*judged, *tuned, *trained]) == sorted(everything)
    with pytest.raises(ConfigError, match="no effect without"):
        replace(PLAIN, tune_holdout=0.1)
    with pytest.raises(DataError, match=r"data\.tune_holdout leaves no images"):
        build_data(replace(PLAIN, holdout=0.99, tune_holdout=0.01), seed=0)


def test_shots_come_from_what_a_holdout_leaves():
    held = build_data(replace(PLAIN, holdout=0.5), seed=0)
    both = build_data(replace(PLAIN, holdout=0.5, shots=3), seed=0)
    assert pairs(both.val) == pairs(held.val)
    assert set(pairs(both.train.epoch(0))) <= set(pairs(held.train.epoch(0)))


def test_more_shots_than_a_class_has_are_refused():
    labels = np.array([0, 0, 0, 1, 1], np.int64)
    assert few_of_each(np.arange(5), labels, 2, ("a", "b"), 0).tolist() in (
        [0, 1, 3, 4],
        [0, 2, 3, 4],
        [1, 2, 3, 4],
    )
    with pytest.raises(DataError, match=r"(?s)'b' has 2.*1 to 2"):
        few_of_each(np.arange(5), labels, 3, ("a", "b"), 0)
    with pytest.raises(ConfigError, match="both choose"):
        replace(PLAIN, shots=2, limit=20)


def test_another_seed_chooses_another_limit():
    one, two = (build_data(replace(PLAIN, limit=30, subset_seed=seed), seed=0) for seed in (0, 1))
    assert set(pairs(one.train.epoch(0))) != set(pairs(two.train.epoch(0)))


def test_the_normalization_may_be_that_of_other_images():
    own = load_digits(DataConfig())
    info = build_data(replace(PLAIN, mean=(0.25,)), seed=0).info
    assert (info.mean, info.std) == ((0.25,), own.std)


@pytest.mark.parametrize("wrong", [{"mean": (0.5, 0.5)}, {"std": (0.0,)}, {"mean": (float("nan"),)}])
def test_a_normalization_that_does_not_fit_is_refused(wrong: dict[str, tuple[float, ...]]):
    with pytest.raises(DataError, match=f"data.{next(iter(wrong))} cannot be used"):
        build_data(replace(PLAIN, **wrong), seed=0)
