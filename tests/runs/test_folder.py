"""A run folder is never overwritten, and is found again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from netaug.config import NetAugConfig, RunConfig, TrainConfig
from netaug.core.errors import RunFolderError
from netaug.core.lock import NAME as LOCK
from netaug.runs.folder import RunFolder, default_folder, find_weights, read_config, refuse_existing

CPU = torch.device("cpu")


def test_a_new_folder_holds_settings_and_environment(tmp_path: Path) -> None:
    config = RunConfig(train=TrainConfig(seed=9), netaug=NetAugConfig(width=(1.0, 4.0)))
    run = RunFolder.create(tmp_path / "a" / "b", config, CPU)
    assert read_config(run.path) == config
    assert read_config(run.path, ("--train.seed=1",)).train.seed == 1
    found = json.loads(run.environment.read_text())
    assert {"python", "torch", "numpy", "timm", "netaug", "platform", "cpu", "cpu_count", "threads"} <= set(
        found
    )
    assert found["device"] == "cpu"
    assert isinstance(found["command"], list)


@pytest.mark.parametrize("name", ["summary.json", "notes.txt"])
def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunFolderError, match=r"exists already(?s:.*)--out"):
        RunFolder.create(tmp_path, RunConfig(), CPU)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [(name, "mine")]


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    """The same files are written into an empty folder, one that holds only a run's lock, and a new one."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / LOCK).touch()
    written = {}
    for name in ("empty", "locked", "new"):
        refuse_existing(tmp_path / name)
        run = RunFolder.create(tmp_path / name, RunConfig(), CPU)
        assert read_config(run.path) == RunConfig()
        written[name] = {entry.name for entry in run.path.iterdir()}
    assert (
        written["new"]
        == written["empty"]
        == written["locked"] - {LOCK}
        == {"config.yaml", "environment.json"}
    )


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already"):
        RunFolder.create(tmp_path / "x", RunConfig(), CPU)
    with pytest.raises(RunFolderError, match="cannot be created"):
        RunFolder.create(tmp_path / "x" / "y", RunConfig(), CPU)


def test_a_run_is_named_after_recipe_arm_and_seed() -> None:
    assert default_folder("demo/digits", augmented=True, seed=0) == Path("runs/demo-digits-netaug-seed0")
    assert default_folder("mine", augmented=False, seed=3) == Path("runs/mine-baseline-seed3")


def test_weights_are_found_in_a_run_or_as_a_file(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    with pytest.raises(RunFolderError, match=r"contains no trained network(?s:.*)an empty folder"):
        find_weights(tmp_path)
    weights.write_bytes(b"x")
    assert find_weights(tmp_path) == weights
    assert find_weights(weights) == weights
    with pytest.raises(RunFolderError, match="there is no run folder or weights file"):
        find_weights(tmp_path / "none")
    with pytest.raises(RunFolderError, match="not a run folder"):
        read_config(tmp_path)
