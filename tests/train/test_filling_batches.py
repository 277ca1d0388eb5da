"""A training on fewer images than a batch has smaller batches, and says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.commands.compare import _of_filled_batches
from netaug.config import DataConfig, RunConfig, TrainConfig
from netaug.config.loading import load_config
from netaug.core.errors import ConfigError
from netaug.data.counting import images_of_partial_batch
from netaug.runs.folder import read_config
from netaug.train.filling_batches import with_filled_batches


def test_a_recipe_trains_on_fewer_images_than_its_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.limit", "40", "--train.epochs", "1", "--out", str(tmp_path / "run")]
    assert main(["train", "demo/digits", "--netaug.enabled", "false", *words]) == 0
    said = capsys.readouterr().err
    assert (
        "batches have 16 images instead of 64: there are only 40 training images; the learning rate" in said
    )
    config = read_config(tmp_path / "run")
    whole = load_config("demo/digits")
    assert (config.data.batch_size, config.train.lr) == (16, pytest.approx(whole.train.lr / 4))


def test_batches_that_are_filled_stay() -> None:
    config = RunConfig(data=DataConfig(name="digits", batch_size=64, limit=64))
    assert with_filled_batches(config, ()) is config


def test_a_batch_stays_divisible_into_microbatches() -> None:
    data, train = DataConfig(name="digits", batch_size=64, limit=31), TrainConfig(accumulate=3)
    filled = with_filled_batches(RunConfig(data=data, train=train), ["data.batch_size"])
    assert filled.data.batch_size == 30


def test_a_minimum_of_the_rate_that_is_given_stays(capsys: pytest.CaptureFixture[str]) -> None:
    config = RunConfig(
        data=DataConfig(name="digits", batch_size=64, limit=1), train=TrainConfig(lr=0.64, min_lr=0.01)
    )
    kept = with_filled_batches(config, ["train.min_lr"]).train
    assert (kept.lr, kept.min_lr) == (0.01, 0.01)
    assert "batches have 1 image instead of 64: there is only 1 training image;" in capsys.readouterr().err
    assert with_filled_batches(config, ()).train.min_lr == pytest.approx(0.01 / 64)
    above = replace(config, train=replace(config.train, min_lr=0.02))
    with pytest.raises(ConfigError, match=r"--train\.lr 0\.64 keeps"):
        with_filled_batches(above, ["train.min_lr"])


def test_published_datasets_are_not_listed_to_count_them(tmp_path: Path) -> None:
    whole = DataConfig(name="imagenet", root=str(tmp_path / "absent"), batch_size=2048)
    assert images_of_partial_batch(whole) is None


def test_arms_of_a_comparison_share_the_smaller_batch_and_rate(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data.limit=40"]
    config = load_config("demo/digits", given)
    batch, rate = _of_filled_batches(config, given, [])
    assert (batch, rate) == ("--data.batch_size=16", f"--train.lr={config.train.lr / 4}")
    assert _of_filled_batches(config, given, [0.1]) == ["--data.batch_size=16"]  # a rate that is given stays
