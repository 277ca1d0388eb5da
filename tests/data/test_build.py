from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from netaug.commands.data import run as run_data
from netaug.config import DataConfig
from netaug.config.datasets import DATASETS
from netaug.config.settings import settings
from netaug.core.errors import ConfigError, DataError
from netaug.core.seeding import key, uniforms
from netaug.data import build_data, list_datasets
from netaug.data.readers.digits import load_digits
from netaug.data.registry import find_dataset, load_source
from netaug.data.store import MemoryImages


def pictures(batches) -> list[bytes]:
    return [image.numpy().tobytes() for batch in batches for image in batch.images_NCHW]


def training_pictures(config: DataConfig, seed: int = 0) -> list[bytes]:
    whole = dataclasses.replace(config, augment="none", batch_size=1)
    return pictures(build_data(whole, seed=seed).train.epoch(0))


def test_every_name_of_the_help_has_a_reader_and_every_reader_a_line():
    assert set(list_datasets()) == set(DATASETS)
    shown = settings()["data.name"].help
    for name, line in list_datasets().items():
        assert line
        assert "\n" not in line
        assert f"`{name}`" in shown


def test_the_help_of_data_describes_every_dataset(capsys: pytest.CaptureFixture[str]):
    run_data(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and line in shown for name, line in list_datasets().items())


def test_a_dataset_is_read_by_the_builder_of_its_task():
    assert {name for name in DATASETS if find_dataset(name).task == "detect"} == {"coco", "voc", "yolo"}
    with pytest.raises(DataError, match="one label each") as caught:
        load_source(DataConfig(name="voc"))
    assert "digits" in str(caught.value.allowed)
    assert "yolo" not in str(caught.value.allowed)


def test_an_unknown_dataset_names_the_nearest():
    with pytest.raises(DataError) as caught:
        build_data(DataConfig(name="fashionmnist"), seed=0)
    assert caught.value.fix == "did you mean --data.name fashion_mnist?"
    assert str(caught.value.allowed) == ", ".join(list_datasets())


def test_a_name_like_no_other_is_answered_by_the_general_reader():
    with pytest.raises(DataError) as caught:
        build_data(DataConfig(name="§§§"), seed=0)
    assert "--data.name folder" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("image_size", 0),
        ("image_size", -32),
        ("batch_size", 0),
        ("eval_batch_size", 0),
        ("limit", 0),
        ("shots", 0),
        ("distinct_epochs", 0),
        ("image_size", 4097),
        ("workers", 1025),
        ("pad", 4097),
        ("workers", -1),
        ("pad", -1),
        ("holdout", -0.1),
        ("holdout", 1.0),
        ("holdout", float("nan")),
        ("augment", "strong"),
        ("cache", "disk"),
        ("on_error", "ignore"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_read(setting: str, value: object):
    with pytest.raises(ConfigError, match=rf"data\.{setting} is") as caught:
        dataclasses.replace(DataConfig(), **{setting: value})
    assert caught.value.allowed is not None


def test_limit_chooses_the_same_images_for_every_seed_and_smaller_limits_are_parts():
    ten, thirty = DataConfig(limit=10), DataConfig(limit=30)
    assert build_data(DataConfig(limit=10, batch_size=10), seed=0).info.train_size == 10
    assert sorted(training_pictures(ten, seed=0)) == sorted(training_pictures(ten, seed=1))
    assert set(training_pictures(ten)) <= set(training_pictures(thirty))
    everything = training_pictures(DataConfig())
    assert set(training_pictures(thirty)) <= set(everything)
    assert set(training_pictures(thirty)) != set(everything[:30])


def test_subsets_are_those_with_the_lowest_keyed_draws():
    """Written out, so that a run's images can be told from its configuration, in any later version."""
    source = load_digits(DataConfig())
    held = np.argsort(uniforms(key(0, "holdout"), np.arange(1438), 1)[:, 0])[:144]
    rest = np.setdiff1d(np.arange(1438), held)
    limited = rest[np.argsort(uniforms(key(0, "limit"), rest, 1)[:, 0])][:50]
    config = DataConfig(holdout=0.1, limit=50, batch_size=50)
    data = build_data(config, seed=3)
    assert isinstance(source.train.images, MemoryImages)
    pixels = source.train.images.pixels_NCHW
    assert pictures(data.val) == [image.numpy().tobytes() for image in pixels[np.sort(held)]]
    assert sorted(training_pictures(config)) == sorted(image.numpy().tobytes() for image in pixels[limited])


def test_a_limit_that_changes_nothing_says_so(caplog: pytest.LogCaptureFixture):
    assert build_data(DataConfig(limit=5000), seed=0).info.train_size == 1438
    assert "data.limit 5000 changes nothing" in caplog.text


def test_holdout_parts_the_training_images_and_never_shows_the_test_images():
    data = build_data(DataConfig(holdout=0.25, augment="none", batch_size=1), seed=0)
    assert (data.info.train_size, data.info.val_size, data.info.val_split) == (1078, 360, "holdout")
    kept, held = pictures(data.train.epoch(0)), pictures(data.val)
    assert sorted(kept + held) == sorted(training_pictures(DataConfig()))
    again = build_data(DataConfig(holdout=0.25), seed=7)
    assert pictures(again.val) == held


def test_holdout_is_the_same_whatever_the_limit():
    free = build_data(DataConfig(holdout=0.1), seed=0)
    limited = build_data(DataConfig(holdout=0.1, limit=200), seed=0)
    assert limited.info.train_size == 200
    assert pictures(limited.val) == pictures(free.val)


@pytest.mark.parametrize("holdout", [1e-6, 1 - 1e-6])
def test_a_holdout_that_leaves_a_side_empty_is_refused(holdout: float):
    with pytest.raises(DataError, match="leaves no images"):
        build_data(DataConfig(holdout=holdout), seed=0)


def test_labels_follow_their_images():
    """Selecting and shuffling keeps each image with its own label: a nearest neighbor would notice."""
    data = build_data(DataConfig(holdout=0.2, limit=800, augment="none"), seed=0)
    train = list(data.train.epoch(0))
    images, labels = (torch.cat([getattr(b, f) for b in train]) for f in ("images_NCHW", "labels_N"))
    val = next(iter(data.val))
    nearest = torch.cdist(val.images_NCHW.flatten(1).float(), images.flatten(1).float()).argmin(1)
    assert (labels[nearest] == val.labels_N).float().mean() > 0.9


def test_digits_can_be_enlarged():
    data = build_data(DataConfig(image_size=16), seed=0)
    assert data.info.image_size == 16
    assert next(data.train.epoch(0)).images_NCHW.shape == (128, 1, 16, 16)


@pytest.mark.parametrize("config", [DataConfig(root="somewhere"), DataConfig(download=True)])
def test_settings_that_the_built_in_digits_ignore_are_warned_of(config, caplog):
    build_data(config, seed=0)
    assert "change nothing" in caplog.text


def test_no_warning_without_reason(caplog):
    build_data(DataConfig(), seed=0)
    assert not caplog.text
