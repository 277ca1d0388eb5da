"""A list of runs says how each stands, whatever the folders have been through."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from netaug.config.loading import load_config, to_yaml
from netaug.core.errors import RunFolderError
from netaug.core.lock import RunLock, is_held
from netaug.runs.listing import find_runs, read_run


def make_run(folder: Path, tops: tuple[float | None, ...] = (), *words: str, when: float = 1e9) -> Path:
    """A run folder with these epochs logged, last written at ``when``."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        to_yaml(load_config("demo/digits", ("--train.epochs", "4", "--train.seed", "7", *words)))
    )
    command = {"command": ["netaug", "train", "demo/digits", "--train.epochs", "4"]}
    (folder / "environment.json").write_text(json.dumps(command))
    if tops:
        lines = [{"epoch": i, "val_top1": top, "images_per_second": 100.0 + i} for i, top in enumerate(tops)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for entry in (*folder.iterdir(), folder):
        os.utime(entry, (when, when))
    return folder


def test_a_row_says_what_ran_how_far_it_is_and_how_good(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", (None, 60.0, 50.0)))
    assert (run.state, run.problem, run.recipe, run.model) == ("stopped", None, "demo/digits", "micronet")
    assert (run.arm, run.seed, run.epochs_done, run.epochs) == ("netaug", 7, 3, 4)
    assert (run.best, run.last, run.images_per_second) == (60.0, 50.0, 102.0)
    assert run.changed == 1e9
    assert (run.data, run.task, run.score) == ("digits", "classify", "top1")
    assert run.size == sum(file.stat().st_size for file in run.path.iterdir())
    baseline = make_run(tmp_path / "baseline", (), "--netaug.enabled", "false")
    assert read_run(baseline).arm == "baseline"


def test_a_detector_is_scored_by_its_own_metric_and_images_are_named_by_their_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", (), "--data.name", "voc", "--data.root", "photographs/blood")
    line = {"epoch": 0, "val_top1": None, "score": "ap50", "val_metrics": {"ap50": 41.5, "ap": 20.0}}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    found = read_run(run)
    assert (found.data, found.task, found.score, found.last) == ("blood", "detect", "ap50", 41.5)


def test_each_state_is_told_from_the_others(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert read_run(run).state == "failed"
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "000000003.ckpt").write_bytes(b"")
    assert read_run(run).state == "stopped", "it goes on from within its first epoch"
    with RunLock(run):
        assert read_run(run).state == "running"
    assert read_run(run).state == "stopped", "a lock file that nobody holds is no running process"
    (run / "summary.json").write_text(json.dumps({"advice": "a sentence"}))
    found = read_run(run)
    assert (found.state, found.advice) == ("finished", "a sentence")


def test_looking_does_not_keep_a_training_out(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        pass
    assert not is_held(tmp_path)
    with RunLock(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(RunFolderError, match="another process"), RunLock(tmp_path):
            pass
    assert not is_held(tmp_path / "no such folder")


def test_runs_are_found_at_any_depth_the_last_written_first(tmp_path: Path) -> None:
    make_run(tmp_path / "old", when=1e9)
    comparison = tmp_path / "sets" / "compare-digits"
    make_run(comparison / "netaug-seed0", when=3e9)
    make_run(comparison / "baseline-seed0", when=2e9)
    (comparison / "compare.json").write_text("{}")
    make_run(tmp_path / "old" / "wandb" / "copy")  # what a run's own folders hold is no run
    make_run(tmp_path / ".hidden" / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("of: another program")
    assert [run.path.name for run in find_runs(tmp_path)] == ["netaug-seed0", "baseline-seed0", "old"]
    assert [run.path for run in find_runs(tmp_path / "old")] == [tmp_path / "old"]


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.yaml", None, "no config.yaml"),
        ("config.yaml", b"", "config.yaml does not hold the settings of a run"),
        ("config.yaml", b"train: [", "config.yaml is not YAML"),
        ("config.yaml", b"train: {}", "config.yaml lacks"),
        ("config.yaml", b"\xff\xfe\xff", "config.yaml is not YAML|not text"),
        ("metrics.jsonl", b"{}\n{]\n{}\n", "line 2 of metrics.jsonl is not JSON"),
        ("metrics.jsonl", b"\xff\n{}\n", "a file is not text"),
        ("summary.json", b"{", "summary.json is damaged"),
    ],
)
def test_a_damaged_folder_is_a_row_that_says_what_is_damaged(
    tmp_path: Path, file: str, content: bytes | None, problem: str
) -> None:
    run = make_run(tmp_path / "run", (50.0,))
    if content is None:
        (run / file).unlink()
    else:
        (run / file).write_bytes(content)
    (found,) = find_runs(tmp_path)
    assert found.state == "unreadable"
    assert found.problem is not None
    assert re.search(problem, found.problem)


def test_what_a_crash_leaves_is_read(tmp_path: Path) -> None:
    """A line that is cut off, an environment that is empty, metrics that were never finite."""
    run = make_run(tmp_path / "run", (50.0, 60.0))
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "val_top1": NaN, "images_per_second": NaN}\n{"epoch": 3, "val')
    (run / "environment.json").write_bytes(b"")
    found = read_run(run)
    assert (found.state, found.epochs_done, found.last) == ("stopped", 3, 60.0)
    assert (found.recipe, found.images_per_second) == (None, None)


def test_a_folder_that_is_not_there_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"there is no folder(?s:.*)netaug train"):
        find_runs(tmp_path / "runs")
