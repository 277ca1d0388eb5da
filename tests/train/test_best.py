"""The network of the best epoch stays beside the last one; a training may end when its score no longer gets better."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.core.errors import ConfigError
from netaug.runs.records import EpochRecord, best_record
from netaug.weights.metadata import load_weights

WORDS = ["train", "demo/digits", "--data.limit", "128", "--train.epochs", "12", "--train.threads", "1"]
WORDS += ["--train.lr", "1e-6", "--train.warmup_epochs", "0", "--train.eval_every", "1"]  # learns nothing
WORDS += ["--train.patience", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "early"
    assert main([*WORDS, "--out", str(folder)]) == 0
    return folder


def records(run: Path) -> list[EpochRecord]:
    return [EpochRecord(**json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


@pytest.mark.slow
def test_a_training_ends_when_its_score_gets_no_better(run: Path) -> None:
    found, best = summary(run), best_record(records(run))
    assert best is not None
    assert found["stopped_early"]
    assert found["epochs"] == len(records(run)) == best.epoch + 1 + 2 < 12
    assert found["best"] == {"epoch": best.epoch + 1, "score": best.val_top1}
    assert found["val_top1"] == records(run)[-1].val_top1  # what is reported is the last network
    assert load_weights(run / "model.safetensors")[1].top1 == records(run)[-1].val_top1


@pytest.mark.slow
def test_the_best_network_is_measured_on_the_data_of_its_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = best_record(records(run))
    assert best is not None
    assert load_weights(run / "best.safetensors")[1].top1 == best.val_top1
    capsys.readouterr()
    assert main(["eval", str(run / "best.safetensors")]) == 0
    assert f"top-1 {best.val_top1:.2f} %" in capsys.readouterr().out


@pytest.mark.slow
def test_what_had_ended_early_ends_there_again_or_goes_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, logged = summary(run), (run / "metrics.jsonl").read_bytes()
    assert main([*WORDS, "--out", str(run), "--resume"]) == 0
    assert summary(run) == before
    assert (run / "metrics.jsonl").read_bytes() == logged
    said = capsys.readouterr().out
    assert f"stopped: no better score since epoch {before['best']['epoch']} (train.patience)" in said
    # a network that is no better than the last one is not worth a line
    assert ("chosen on these test images" in said) is (before["best"]["score"] > before["val_top1"])
    longer = tmp_path / "longer"
    shutil.copytree(run, longer)
    words = [*WORDS, "--train.patience", "null", "--train.keep_best", "false"]
    assert main([*words, "--out", str(longer), "--resume"]) == 0
    assert summary(longer)["epochs"] == 12
    assert not summary(longer)["stopped_early"]


def test_it_cannot_end_before_layers_have_faded() -> None:
    from netaug.config.loading import load_config

    with pytest.raises(ConfigError, match=r"train\.patience cannot end"):
        load_config("demo/digits", ["--train.patience=2", "--deepen.ratio=0.5"])


def test_the_first_of_equal_scores_is_the_best() -> None:
    def record(epoch: int, top1: float | None) -> EpochRecord:
        return EpochRecord(epoch, 1.0, 50.0, 1.0, top1, 0.1, 1.0, 0.1, 10.0, 1, 1, {})

    assert best_record([record(0, None)]) is None
    found = best_record([record(0, None), record(1, 40.0), record(2, 40.0), record(3, 39.0)])
    assert found is not None
    assert found.epoch == 1
