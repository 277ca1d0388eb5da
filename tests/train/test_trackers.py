"""Curves say what ``metrics.jsonl`` says, go on where a run goes on, and never cost a training its life."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from netaug.config import RunConfig, TrainConfig
from netaug.config.loading import load_config, to_mapping
from netaug.core.errors import ConfigError
from netaug.elastic.plain_network import BaseOnly
from netaug.train import trackers as tracking
from netaug.train.metrics import Tally
from netaug.train.run import train
from netaug.train.trackers import Tracking, WandbTracker, epoch_values, open_tracking
from netaug.train.trainer import Trainer
from tests import tiny
from tests.train.fakes import trainer

STEPS = 6
WORDS = (
    *("--data.limit=128", "--data.batch_size=32", "--train.epochs=2", "--train.warmup_epochs=1"),
    *("--train.threads=1", "--netaug.enabled=false", "--model.options.channels=[3, 4]"),
)
Curves = dict[str, list[tuple[int, float]]]


def small(*words: str) -> RunConfig:
    return load_config("demo/digits", (*WORDS, *words))


def curves(folder: Path) -> Curves:
    """The curves in a folder as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: [(point.step, point.value) for point in events.Scalars(name)]
        for name in events.Tags()["scalars"]
        if "seconds" not in name
    }


def fake_trainer() -> Trainer:
    torch.manual_seed(0)
    config = TrainConfig(epochs=3, warmup_epochs=1, lr=0.01, tensorboard=True)
    return trainer(BaseOnly(tiny.build("plain"), 1), config, STEPS)


class _KilledError(Exception):
    pass


def run_until(
    training: Trainer,
    curves_of: Tracking,
    checkpoint: int = 0,
    kill: int | None = None,
    *,
    evaluated: bool = False,
) -> dict[str, Any]:
    """Train and track until ``kill``; the state after step ``checkpoint``, or its evaluation."""
    saved: dict[str, Any] = {}

    def after_step(epoch: int, done: int, tally: Tally) -> None:
        curves_of.step(training, tally)
        if training.steps_done == checkpoint and not evaluated:
            saved.update(copy.deepcopy(training.state_dict()))
        if training.steps_done == kill:
            raise _KilledError

    with suppress(_KilledError), curves_of:
        for record in training.fit(after_step):
            curves_of.epoch(training.steps_done, record)
            if training.steps_done == checkpoint and evaluated:
                saved.update(copy.deepcopy(training.state_dict()))
    return saved


class Memory:
    """A tracker that keeps what it gets."""

    name, is_new = "memory", True

    def __init__(self, breaks: bool = False) -> None:
        self.points: list[tuple[int, Mapping[str, float]]] = []
        self.finished: bool | None = None
        self._breaks = breaks

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if self._breaks:
            raise OSError("the disk is full")
        self.points.append((step, values))

    def close(self, finished: bool) -> None:
        self.finished = finished


def test_tensorboard_shows_what_metrics_say(tmp_path: Path) -> None:
    run = train(small("--train.tensorboard=true", "--train.eval_every=2"), tmp_path / "run").folder
    found = curves(run.path / "tensorboard")
    records, steps = run.records(), 4
    for record in records:
        for name, value in epoch_values(record).items():
            if "seconds" not in name:
                points = dict(found[name])
                assert points[(record.epoch + 1) * steps] == pytest.approx(value, rel=1e-6), name
    assert [step for step, _ in found["train/top1"]] == [4, 8]
    assert [step for step, _ in found["val/top1"]] == [8], "an epoch without evaluation has no point"


def test_step_points_are_means_since_the_point_before() -> None:
    """So their mean over an epoch, weighted by steps, is the epoch's loss."""
    memory, training = Memory(), fake_trainer()
    run_until(training, Tracking([memory], every=4))
    points = {step: values for step, values in memory.points if "step/loss" in values}
    assert list(points) == [4, 8, 12, 16]
    epochs = [values for _, values in memory.points if "train/loss" in values]
    third = (2 * points[8]["step/loss"] + 4 * points[12]["step/loss"]) / 6  # epoch 1 is steps 7 to 12
    assert third == pytest.approx(epochs[1]["train/loss"])
    assert points[8]["step/lr"] == training.lr(7)
    assert memory.finished is True


@pytest.mark.parametrize(
    ("checkpoint", "evaluated", "kill"),
    [(9, False, 11), (6, True, 11), (12, False, 14)],
    ids=["within an epoch", "after an epoch", "before an evaluation"],
)
def test_a_run_that_goes_on_has_the_curves_of_one_that_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: int, evaluated: bool, kill: int
) -> None:
    """No hole and no doubled point, though points after the checkpoint were written before the crash."""
    monkeypatch.setattr(tracking, "EVERY_STEPS", 3)
    whole = fake_trainer()
    run_until(whole, open_tracking({}, tmp_path / "whole", whole, []))
    killed = fake_trainer()
    started = open_tracking({}, tmp_path / "parts", killed, [])
    state = run_until(killed, started, checkpoint, kill, evaluated=evaluated)
    again = fake_trainer()
    again.load_state_dict(state)
    resumed = open_tracking({}, tmp_path / "parts", again, [])
    run_until(again, resumed)
    expected, found = curves(tmp_path / "whole" / "tensorboard"), curves(tmp_path / "parts" / "tensorboard")
    speed = "epoch/images_per_second"
    assert [step for step, _ in found.pop(speed)] == [step for step, _ in expected.pop(speed)]
    if checkpoint == 12 and not evaluated:  # all of that step is taken back, to write its epoch once
        for name in ("step/loss", "step/lr"):
            expected[name] = [point for point in expected[name] if point[0] != 12]
    assert found == expected


def test_a_tracker_that_fails_is_given_up_and_the_training_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, sound = Memory(breaks=True), Memory()
    training = fake_trainer()
    run_until(training, Tracking([broken, sound], every=5))
    assert training.epochs_done == 3
    assert [step for step, _ in sound.points] == [5, 6, 10, 12, 15, 18]
    assert caplog.text.count("memory receives nothing more of this run: OSError: the disk is full") == 1
    assert broken.finished is None


@pytest.mark.parametrize(
    ("word", "module", "extra"),
    [
        ("--train.tensorboard=true", "torch.utils.tensorboard", r"netaug\[tensorboard\]"),
        ("--train.wandb=project", "wandb", r"netaug\[wandb\]"),
    ],
)
def test_a_missing_package_is_said_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"pip install '{extra}'"):
        train(small(word), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_being_asked_for_neither_package_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("torch.utils.tensorboard", "tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    folder = train(small("--train.epochs=1"), tmp_path / "run").folder
    assert {entry.name for entry in folder.path.iterdir()}.isdisjoint({"tensorboard", "wandb-id.txt"})


class FakeWandb(ModuleType):
    """Takes the calls of the real package, and what that refuses: a step below the last one."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: list[dict[str, Any]] = []
        self.points: list[tuple[int, dict[str, float]]] = []
        self.exit_codes: list[int] = []

    def init(self, **arguments: Any) -> FakeWandb:
        self.started.append(arguments)
        return self

    def log(self, values: dict[str, float], *, step: int) -> None:
        self.points.append((step, values))

    def finish(self, *, exit_code: int) -> None:
        self.exit_codes.append(exit_code)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    module = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_wandb_gets_the_settings_and_every_epoch(tmp_path: Path, wandb: FakeWandb) -> None:
    config = small("--train.wandb=digits")
    folder = train(config, tmp_path / "set" / "run").folder
    (started,) = wandb.started
    assert (started["project"], started["name"], started["group"]) == ("digits", "run", "set")
    assert started["config"] == to_mapping(config)
    assert started["dir"] == str(folder.path)
    assert wandb.points == [(4 * (record.epoch + 1), epoch_values(record)) for record in folder.records()]
    assert wandb.exit_codes == [0]


def test_wandb_goes_on_with_the_same_run(tmp_path: Path, wandb: FakeWandb) -> None:
    for word in ("--train.epochs=2", "--train.epochs=3"):
        train(small("--train.wandb=digits", word), tmp_path / "run", resume=True)
    first, second = wandb.started
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"
    assert [step for step, _ in wandb.points] == [4, 8, 12]
    train(small("--train.wandb=digits"), tmp_path / "other")
    assert wandb.started[2]["id"] != first["id"]


def test_a_tracker_that_is_turned_on_late_gets_the_earlier_epochs(tmp_path: Path, wandb: FakeWandb) -> None:
    train(small(), tmp_path / "run")
    words = ("--train.epochs=3", "--train.wandb=digits", "--train.tensorboard=true")
    train(small(*words), tmp_path / "run", resume=True)
    assert [step for step, _ in wandb.points] == [4, 8, 12]
    assert [step for step, _ in curves(tmp_path / "run" / "tensorboard")["train/loss"]] == [4, 8, 12]


def test_a_run_that_stops_is_not_shown_as_finished(tmp_path: Path, wandb: FakeWandb) -> None:
    with pytest.raises(_KilledError), Tracking([WandbTracker("digits", tmp_path, {})]):
        raise _KilledError
    assert wandb.exit_codes == [1]


def test_wandb_that_lets_nobody_in_is_a_message(
    tmp_path: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**arguments: Any) -> None:
        raise RuntimeError("No API key configured.\nmore")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ConfigError, match=r"No API key configured\.\n(?s:.*)WANDB_MODE=offline"):
        train(small("--train.wandb=digits"), tmp_path / "run")
