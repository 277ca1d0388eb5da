"""Training with teachers, caches and regularizers from the command line, and its mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from netaug.cli import main
from netaug.core.errors import RunFolderError
from netaug.train.microbatches import Preparation
from netaug.weights.metadata import load_weights

SMALL = [
    "demo/digits",
    "--data.limit",
    "192",
    "--train.epochs",
    "2",
    "--train.threads",
    "1",
    "--data.batch_size",
    "64",
]
LARGER = ["--model.options.channels", "[12, 16]", "--netaug.enabled", "false", "--train.lr", "0.05"]


def run(*words: str) -> int:
    return main(list(words))


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def loss_of_first_epoch(folder: Path) -> float:
    return float(json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["train_loss"])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    assert run("train", *SMALL, *LARGER, "--out", str(folder)) == 0
    return folder


@pytest.mark.slow
def test_a_cache_trains_as_the_teacher_does_to_half_precision(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One momentum-free epoch of small steps, in which rounding does not grow."""
    small = [*SMALL, "--data.distinct_epochs", "1", "--train.lr", "0.01", "--train.momentum", "0"]
    assert (
        run("distill-cache", *small, "--distill.teacher", str(teacher), "--out", str(tmp_path / "said")) == 0
    )
    told = capsys.readouterr()
    assert "192 images under 1 augmentations each, 20 bytes a row" in told.out
    assert f"--distill.cache {tmp_path / 'said'}" in told.out
    taught = ["--distill.weight", "3"]
    assert (
        run("train", *small, "--distill.teacher", str(teacher), *taught, "--out", str(tmp_path / "live")) == 0
    )
    assert (
        run(
            "train",
            *small,
            "--distill.cache",
            str(tmp_path / "said"),
            *taught,
            "--out",
            str(tmp_path / "read"),
        )
        == 0
    )
    assert run("train", *small, "--out", str(tmp_path / "alone")) == 0
    live, read, alone = (
        load_weights(tmp_path / name / "model.safetensors")[0].state_dict()
        for name in ("live", "read", "alone")
    )
    for name, tensor in live.items():
        torch.testing.assert_close(read[name], tensor, rtol=1e-3, atol=2e-4)
    assert any(not torch.allclose(alone[name], tensor, rtol=1e-3, atol=2e-4) for name, tensor in live.items())
    assert summary(tmp_path / "read")["teachers"] == [str(teacher)]
    assert summary(tmp_path / "live")["teacher_top1"] == summary(tmp_path / "read")["teacher_top1"]
    assert summary(tmp_path / "live")["train_macs"] > summary(tmp_path / "read")["train_macs"]
    assert summary(tmp_path / "read")["train_macs"] == summary(tmp_path / "alone")["train_macs"]


@pytest.mark.slow
def test_the_first_lines_say_what_teaches_and_what_regularizes(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--distill.teacher", str(teacher), "--distill.in_place", "1", "--regularize.mixup", "0.2"]
    dropping = ["--regularize.dropblock", "0.1", "--regularize.erasing", "0.25"]
    assert (
        run("train", *SMALL, *words, *dropping, "--train.accumulate", "2", "--out", str(tmp_path / "run"))
        == 0
    )
    text = capsys.readouterr().err
    assert f"teacher {teacher} (8 px, mean" in text
    assert "% on test" in text
    assert "in-place distillation from the drawn wider network to the base network: weight 1" in text
    assert "regularizers of images: mixup 0.2, erasing 0.25" in text
    assert (
        "regularizer: dropblock at 8 places: 'stages.0.0.expand.norm' (0.1) to" in text
        or "dropblock at" in text
    )
    plain, card = load_weights(tmp_path / "run/model.safetensors")
    assert card.class_names == tuple("0123456789")
    assert not any(module._forward_hooks for module in plain.modules())


@pytest.mark.slow
def test_a_stopped_run_with_all_of_it_goes_on_to_the_same_bits(teacher: Path, tmp_path: Path) -> None:
    words = [
        *("--distill.teacher", str(teacher), "--distill.in_place", "1", "--regularize.cutmix", "1"),
        *("--regularize.dropout", "0.2", "--regularize.auto_augment", "trivialaugment"),
        *("--train.checkpoint_every", "1"),
    ]
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert run("train", *SMALL, *words, "--out", str(straight)) == 0
    assert run("train", *SMALL, *words, "--out", str(broken)) == 0
    first, last = sorted((broken / "checkpoints").iterdir())
    assert first.name < last.name
    for path in (broken / "summary.json", broken / "model.safetensors", last):
        path.unlink()  # as if it had ended before its second epoch
    assert run("train", *SMALL, *words, "--out", str(broken)) == 0
    assert (broken / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_a_run_does_not_resume_with_a_teacher_that_changed() -> None:
    with pytest.raises(RunFolderError, match="the teacher is not the one that the run was started with"):
        Preparation(teacher="now").check_teacher("then")
    with pytest.raises(RunFolderError, match="the teacher is not the one that the run was started with"):
        Preparation().check_teacher("then")
    Preparation(teacher="now").check_teacher("now")


def test_a_teacher_that_is_worse_is_said_with_both_numbers(caplog: pytest.LogCaptureFixture) -> None:
    from netaug.config import DistillConfig
    from netaug.distill.distillation import Distillation
    from netaug.distill.distillation_loss import DistillationLoss

    teaching = Distillation(DistillationLoss(DistillConfig()), ("big",), 60.0)
    teaching.check_student(59.9)
    assert not caplog.text
    teaching.check_student(60.5)
    assert "the teacher big is no better than its student: 60.00 % against 60.50 %" in caplog.text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--distill.teacher", "assembled_resnet50"), "has no weights of its own"),
        (("--distill.teacher", "timm:resnet18"), "takes images of other channels than the data has"),
        (("--distill.teacher", "nowhere"), "there is no teacher 'nowhere'"),
        (("--distill.cache", "nowhere"), "'nowhere' holds no teacher outputs"),
        (("--distill.temperature", "2"), "distill.temperature has no effect without a teacher"),
        (("--regularize.stochastic_depth", "0.1"), "regularize.stochastic_depth finds no place in StagedNet"),
        (("--regularize.places", "x", "--regularize.dropout", "0.1"), "'x' matches no module"),
        (("--regularize.mixup", "much"), "regularize.mixup has a value of the wrong type"),
    ],
)
def test_mistakes_end_before_a_run_folder_is_made(
    words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", *SMALL, *words, "--out", str(tmp_path / "run")) == 2
    text = capsys.readouterr().err
    assert says in text
    assert "Traceback" not in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no --out"),
        (("--out", "x"), "needs a teacher"),
        (("--out", "x", "--top", "0"), "--top is out of range"),
        (("--out", "x", "--distill.teacher", "t", "--regularize.mixup", "1"), "mixed images are not cached"),
        (("--out", "x", "--distill.teacher", "t", "--distill.cache", "y"), "the folder to write is --out"),
    ],
)
def test_mistakes_of_distill_cache(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("distill-cache", "demo/digits", *words) == 2
    assert says in capsys.readouterr().err


def test_several_processes_do_not_write_one_cache(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert run("distill-cache", "demo/digits", "--distill.teacher", "t", "--out", "x") == 2
    assert "runs in a single process" in capsys.readouterr().err
