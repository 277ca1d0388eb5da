"""A run is repeatable, and what it leaves behind is the network it measured."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from netaug.cli import main
from netaug.config import RunConfig
from netaug.config.loading import load_config
from netaug.core.errors import RunFolderError, TrainingError, UnsupportedModelError
from netaug.models import create_model
from netaug.runs.checkpoints import Checkpoints
from netaug.runs.listing import read_run
from netaug.train import journal
from netaug.train import run as run_module
from netaug.train.run import RunResult, train
from netaug.train.trainer import Trainer
from netaug.weights.metadata import load_weights

SMALL = (
    "--data.limit=192",
    "--data.batch_size=32",
    "--train.epochs=3",
    "--train.warmup_epochs=1",
    "--train.threads=1",
)
TIMES = ("seconds", "val_seconds", "images_per_second")


def small(*words: str) -> RunConfig:
    return load_config("demo/digits", [*SMALL, "--train.eval_every=2", *words])


def metrics(result: RunResult, drop: tuple[str, ...] = TIMES) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in result.folder.metrics.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in drop} for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return train(small(), tmp_path_factory.mktemp("runs") / "first")


@pytest.mark.slow
def test_a_run_folder_is_complete(finished: RunResult) -> None:
    names = {entry.name for entry in finished.folder.path.iterdir()}
    assert names == {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        ".lock",
        "model.safetensors",
        "best.safetensors",
        "summary.json",
    }
    assert load_config(str(finished.folder.config)) == small()
    lines = metrics(finished, drop=())
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line["val_top1"] is None for line in lines] == [True, False, False]
    assert all(line["widths"] for line in lines)
    summary = json.loads(finished.folder.summary.read_text())
    assert summary == finished.summary
    assert summary["train_macs"] == sum(int(str(line["train_macs"])) for line in lines)
    assert summary["train_macs"] > 3 * 192 * summary["macs"]
    assert summary["steps"] == 18
    assert summary["val_top1"] == lines[-1]["val_top1"]
    assert (summary["arm"], summary["seed"], summary["val_split"]) == ("netaug", 0, "test")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same_metrics_and_weights_whatever_the_workers(
    finished: RunResult, tmp_path: Path, workers: int
) -> None:
    torch.manual_seed(99)  # what was drawn before must not matter
    again = train(small(f"--data.workers={workers}"), tmp_path / "again")
    assert metrics(again) == metrics(finished)
    assert again.folder.weights.read_bytes() == finished.folder.weights.read_bytes()


@pytest.mark.slow
def test_another_seed_gives_another_run(finished: RunResult, tmp_path: Path) -> None:
    other = train(small("--train.seed=1", "--train.epochs=1"), tmp_path / "other")
    assert metrics(other)[0]["train_loss"] != metrics(finished)[0]["train_loss"]


@pytest.mark.slow
def test_the_saved_network_is_the_plain_one(finished: RunResult) -> None:
    """Same class and keys as without NetAug, and it is the base of the supernet in the checkpoint."""
    config = small()
    plain = create_model(config.model.name, num_classes=10, in_chans=1, **config.model.options)
    loaded, card = load_weights(finished.folder.weights)
    plain.load_state_dict(loaded.state_dict(), strict=True)
    assert type(plain) is type(loaded)
    assert card.top1 == finished.summary["val_top1"]
    assert card.class_names == tuple("0123456789")
    found = Checkpoints(finished.folder.checkpoints).newest()
    assert found is not None
    checkpoint = found[1]
    assert (checkpoint["epochs"], checkpoint["step"]) == (3, 18)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(checkpoint["network"][f"base.{name}"], tensor)


@pytest.mark.slow
def test_both_arms_share_the_first_weights_and_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a rate of nearly zero, the base pass of NetAug sees exactly what the baseline sees."""
    words = ("--train.lr=1e-30", "--train.epochs=1")
    netaug = train(small(*words), tmp_path / "netaug")
    baseline = train(small(*words, "--netaug.enabled=false"), tmp_path / "baseline")
    (with_netaug,), (without,) = metrics(netaug), metrics(baseline)
    for name in ("train_loss", "train_top1", "val_loss", "val_top1", "lr", "steps"):
        assert with_netaug[name] == without[name]
    assert without["widths"] == {}
    assert without["train_macs"] == 192 * baseline.summary["macs"]
    assert baseline.summary["arm"] == "baseline"


@pytest.mark.slow
def test_an_existing_run_is_left_alone(finished: RunResult) -> None:
    before = _files(finished.folder.path)
    with pytest.raises(RunFolderError, match="a finished run"):
        train(small("--train.seed=5"), finished.folder.path)
    assert _files(finished.folder.path) == before


def _files(folder: Path) -> dict[str, bytes]:
    return {str(entry): entry.read_bytes() for entry in folder.rglob("*") if entry.is_file()}


def test_a_network_that_cannot_widen_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError):
        train(small("--netaug.width=1", "--netaug.expand=1"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_rate_far_too_high_is_a_message_and_no_summary(tmp_path: Path) -> None:
    config = small("--netaug.enabled=false", "--train.lr=1e30")
    with pytest.raises(TrainingError, match=r"not finite at step \d+(?s:.*)lower train\.lr"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "summary.json").exists()


def test_memory_that_runs_out_is_a_message_with_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def hungry(self: Trainer, number: int, *arguments: Any) -> None:
        if number == 8:
            torch.empty(10**15)
        step(self, number, *arguments)

    monkeypatch.setattr(Trainer, "step", hungry)
    config = small("--netaug.enabled=false", "--train.checkpoint_every=1")
    with pytest.raises(
        TrainingError, match=r"memory ran out(?s:.*)batch_size 32(?s:.*)accumulate 2"
    ) as caught:
        train(config, tmp_path / "run")
    assert f"the last good checkpoint is {tmp_path / 'run/checkpoints/000000006.ckpt'}" in str(caught.value)


def test_advice_and_skipped_steps_are_in_the_summary_and_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def advice(
        records: Sequence[object],
        val_size: int,
        classes: int,
        *,
        augmented: bool,
        regularizers: Sequence[str],
    ) -> str:
        asked.append((records[-1], val_size, classes, augmented, regularizers))
        return "do less"

    monkeypatch.setattr(journal, "advise", advice)
    config = small("--netaug.enabled=false", "--train.deterministic=true")
    result = train(config, tmp_path / "run")
    assert asked == [(result.folder.records()[-1], 359, 10, False, ["label smoothing 0.1"])]
    assert (result.summary["skipped_steps"], result.summary["advice"]) == (0, "do less")
    assert read_run(tmp_path / "run").advice == "do less"
    assert torch.are_deterministic_algorithms_enabled()


def test_ctrl_c_says_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(run_module.TrainingConsole):
        def epoch(self, record: object) -> None:
            if record.epoch == 1:  # type: ignore[attr-defined]
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_module, "TrainingConsole", Impatient)
    config = small("--netaug.enabled=false", "--train.checkpoint_every=1")
    with pytest.raises(KeyboardInterrupt, match=r"saved after step 12 in .*checkpoints"):
        train(config, tmp_path / "run")
    load_weights(tmp_path / "run" / "model.safetensors")
    assert not (tmp_path / "run" / "summary.json").exists()


def test_settings_of_the_process_are_applied(tmp_path: Path) -> None:
    config = small("--netaug.enabled=false", "--train.epochs=1")
    train(replace(config, train=replace(config.train, threads=1)), tmp_path / "run")
    assert torch.get_num_threads() == 1
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["threads"] == 1


def test_mean_per_class_accuracy_is_logged_where_it_is_customary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("netaug.data.labeled.customary_metric", lambda name: "mean_per_class")
    out = tmp_path / "run"
    finished = train(small(), out)
    line = metrics(finished, drop=())[-1]
    assert line["val_mean_per_class"] == finished.summary["val_mean_per_class"]
    assert line["val_mean_per_class"] != line["val_top1"]
    shown = f"{line['val_mean_per_class']:.2f} %"
    assert f"per class {shown}" in capsys.readouterr().err
    assert main(["eval", str(out)]) == 0
    assert f"mean per class {shown}" in capsys.readouterr().out
