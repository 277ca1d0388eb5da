"""Trainings by several processes that stop, fail or cannot begin: all end alike, and what is saved goes on."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from tests.distributed.test_world import Runs, job
from tests.train.ranks import Job

pytestmark = pytest.mark.slow
TUNING = (
    "finetune",
    "--data.name=digits",
    "--data.limit=192",
    "--data.batch_size=32",
    "--train.epochs=1",
    "--train.warmup_epochs=0",
    "--train.freeze=backbone",
    "--train.device=cpu",
    "--train.threads=1",
    "--train.timeout_minutes=1",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("ends")
    found = Runs(folder)
    found.do(
        job(folder, "whole", 2, "--train.accumulate=4"),
        job(folder, "stopped", 2, "--train.accumulate=4", event="signal", culprit=1, step=8),
        job(folder, "broken", 2, event="broken image", culprit=1, step=3),
        job(folder, "lost", 2, event="kill", culprit=1, step=5),
        job(folder, "nan", 2, "--train.lr=1e30"),
        job(folder, "skipping", 2, "--train.skip_nonfinite=1", event="nan", culprit=1, step=3),
        job(folder, "missed", 2, "--train.timeout_minutes=0.03", ranks=(0,)),
        job(folder, "unreachable", 2, "--train.timeout_minutes=0.03", ranks=(1,)),
    )
    for name in ("four", "one"):
        shutil.copytree(folder / "stopped", folder / name)
    shutil.copy(folder / "stopped-watch" / "rank0.txt", folder / "stopped.txt")
    found.do(
        *(
            job(folder, name, size, "--train.accumulate=4")
            for name, size in (("stopped", 2), ("four", 4), ("one", 1))
        ),
        Job(
            str(folder / "tuned-watch"),
            2,
            (*TUNING, "--from", str(folder / "whole"), "--out", str(folder / "tuned")),
        ),
    )
    return found


def test_a_signal_to_one_process_stops_all_after_the_same_step(runs: Runs) -> None:
    assert (runs.folder / "stopped.txt").read_text().count("saved after step 9") == 1
    assert "resumes after step 9" in runs.said("stopped")[0]


def test_it_goes_on_to_the_same_bits(runs: Runs) -> None:
    assert runs.codes["stopped"] == [0, 0]
    whole, stopped = (runs.folder / name / "model.safetensors" for name in ("whole", "stopped"))
    assert stopped.read_bytes() == whole.read_bytes()
    assert runs.metrics("stopped") == runs.metrics("whole")


@pytest.mark.parametrize("name", ["four", "one"])
def test_it_goes_on_in_another_number_of_processes(runs: Runs, name: str) -> None:
    """The same batches and widths, and metrics equal to rounding."""
    assert runs.global_batches(name) == runs.global_batches("whole")[9:]
    for found, expected in zip(runs.metrics(name), runs.metrics("whole"), strict=True):
        assert found["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-3)
        for exact in ("steps", "lr", "train_macs", "widths"):
            assert found[exact] == expected[exact]


@pytest.mark.parametrize(
    ("name", "words"), [("broken", "an image is broken"), ("nan", "is not finite at step")]
)
def test_an_error_of_one_process_ends_all_with_one_message(runs: Runs, name: str, words: str) -> None:
    assert runs.codes[name] == [2, 2]
    first, second = runs.said(name)
    assert first.count(words) == 1
    assert "Traceback" not in first
    assert second == ""


@pytest.mark.parametrize("name", ["missed", "unreachable"])
def test_a_meeting_that_does_not_happen_is_a_sentence(runs: Runs, name: str) -> None:
    assert runs.codes[name] == [2]
    (said,) = runs.said(name)
    assert "did not meet the other 1 processes" in said
    assert "within 0.03 minutes" in said
    assert "Traceback" not in said
    assert not (runs.folder / name).exists()


def test_a_lost_process_is_a_sentence(runs: Runs) -> None:
    assert runs.codes["lost"] == [2, -9]
    said, _ = runs.said("lost")
    assert "another process of the training has exited" in said
    assert "Traceback" not in said


def test_a_step_that_one_process_cannot_take_is_left_out_by_all(runs: Runs) -> None:
    assert runs.codes["skipping"] == [0, 0]
    first, second = runs.seen("skipping")
    for step, (one, other) in enumerate(zip(first["gradients"], second["gradients"], strict=True)):
        finite = all(g is None or bool(g.isfinite().all()) for g in one)
        assert finite == (step != 3)
        if finite:
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert runs.said("skipping")[0].count("step 3 is skipped, number 1 of 1 allowed") == 1
    assert json.loads((runs.folder / "skipping" / "summary.json").read_text())["steps"] == 12


def test_fine_tuning_is_shared_too(runs: Runs) -> None:
    assert runs.codes["tuned"] == [0, 0]
    first, second = runs.said("tuned")
    assert "2 processes with 16 of the 32 images of each step" in first
    assert second == ""
