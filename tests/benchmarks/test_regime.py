"""The search for trained-out trainings: a stopped run resumes to the same row, finished runs are skipped."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import regime, regime_job, regime_training

NETWORK = {"kind": "residual", "channels": [4, 6], "stem_stride": 2}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(regime_job, "HELD_OUT", 8)
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(20):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
                (folder / f"{index}.png").rename(folder / f"{index}.jpg")
    return tmp_path / "images"


def test_a_stopped_run_resumes_to_the_same_row(pictures: Path, tmp_path: Path):
    job = regime_job.Job(network=NETWORK, arm="netaug", in_place=1.0, epochs=4, batch_size=8)
    undisturbed = regime.train(job, pictures, tmp_path / "a")
    stopped = regime_training.Training.start(job, pictures, tmp_path / "b")
    stopped.run_epoch()
    stopped.run_epoch()
    stopped.save()
    resumed = regime.train(job, pictures, tmp_path / "b")
    timed = {"cpu_seconds"}
    assert {k: v for k, v in resumed.items() if k not in timed} == {
        k: v for k, v in undisturbed.items() if k not in timed
    }
    assert not (tmp_path / "b" / f"{job.name}.pt").exists()


def test_finished_runs_are_skipped(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan, out = tmp_path / "plan.jsonl", tmp_path / "runs.csv"
    lines = [json.dumps({"network": NETWORK, "epochs": n, "batch_size": 8}) for n in (1, 2)]
    plan.write_text("\n".join(["# a comment", *lines]))
    words = ["regime", str(plan), "--data", str(pictures), "--out", str(out), "--work", str(tmp_path / "w")]
    monkeypatch.setattr("sys.argv", words)
    regime.main()
    assert len(regime.finished(out)) == 2
    before = out.read_bytes()
    regime.main()
    assert out.read_bytes() == before


def test_held_out_images_do_not_train(pictures: Path, tmp_path: Path):
    train, held = regime_job.splits(regime_job.Job(), pictures, tmp_path)
    as_rows = {row.tobytes() for row in train.pixels_NHWC.flatten(1).numpy()}
    assert len(held.labels_N) == 8
    assert len(train.labels_N) == 32
    assert not as_rows & {row.tobytes() for row in held.pixels_NHWC.flatten(1).numpy()}


def test_a_teacher_is_trained_once_and_changes_what_is_learned(pictures: Path, tmp_path: Path):
    alone = regime_job.Job(network=NETWORK, epochs=2, batch_size=8)
    teacher = {"network": {**NETWORK, "channels": [8, 12]}, "epochs": 2, "batch_size": 8}
    taught = regime_job.Job(network=NETWORK, epochs=2, batch_size=8, teacher=teacher, distill=1.0)
    first, second = (regime.train(taught, pictures, tmp_path / "w") for _ in range(2))
    assert len(list((tmp_path / "w").glob("*-weights.pt"))) == 1
    assert first["loss"] == second["loss"] > regime.train(alone, pictures, tmp_path / "w")["loss"]


def test_rows_from_before_a_setting_existed_stay(tmp_path: Path):
    out = tmp_path / "runs.csv"
    out.write_text("name,top1,task\nold,46.0,cifar10-8\n")
    regime.append(out, regime_job.Job(), {"name": "new", "top1": 47.0})
    assert regime.finished(out) == {"old", "new"}
    assert "old,46.0,cifar10-8," in out.read_text()


def test_digits_are_split_as_the_package_splits_them_and_not_mirrored(tmp_path: Path):
    held = regime_job.HELD_OUT_OF_DIGITS
    train, judged = regime_job.splits(regime_job.Job(task="digits-8"), tmp_path, tmp_path)
    assert (len(train.labels_N), len(judged.labels_N)) == (1438 - held, held)
    train, judged = regime_job.splits(regime_job.Job(task="digits-8", test=True), tmp_path, tmp_path)
    assert (len(train.labels_N), len(judged.labels_N)) == (1438, 359)
    training = regime_training.Training.start(
        regime_job.Job(task="digits-8", network=NETWORK), tmp_path, tmp_path
    )
    assert not training.batches.mirrors


def test_a_cached_teacher_says_what_it_says_in_every_step(pictures: Path, tmp_path: Path):
    job = regime_job.Job(
        network=NETWORK, teacher={"network": NETWORK, "epochs": 1, "batch_size": 8}, distill=1.0, cached=True
    )
    training = regime_training.Training.start(job, pictures, tmp_path)
    assert training.teacher is not None
    for batch in training.batches.training(0, 3, 8):
        expected = training.teacher.network(batch.images_NCHW)
        torch.testing.assert_close(training.teacher(batch), expected)
    tested = regime.train(replace(job, epochs=1, batch_size=8, tested=True), pictures, tmp_path)
    assert 0 <= tested["test_top1"] <= 100


def test_the_best_of_several_starts_is_trained_and_pays_for_all(pictures: Path, tmp_path: Path):
    job = regime_job.Job(network=NETWORK, epochs=6, batch_size=8, starts=3, until=0.4)
    winner = regime_training.best_start(job, pictures, tmp_path, regime_training.CPU)
    assert winner.epoch == 2
    draws = [regime_training.Training.start(job, pictures, tmp_path, draw=draw) for draw in range(3)]
    for training in draws:
        training.run_epoch()
    first = [training.loss for training in draws]
    for training in draws:
        training.run_epoch()
    ahead = [training.loss for loss, training in zip(first, draws, strict=True) if loss < max(first)]
    assert winner.loss == min(ahead)
    assert regime.train(job, pictures, tmp_path)["cpu_seconds"] > 0
