"""Read run folders as typed records; the only module of `compare` that knows their files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from netaug.compare.run_specs import RunSpec
from netaug.core.errors import ConfigError, RunFolderError
from netaug.core.yaml_files import read_yaml

Record = TypeVar("Record", "RunSummary", "Epoch")


@dataclass(frozen=True)
class RunSummary:
    """Hold a finished run's ``summary.json``; scores in percent 0..100, times in seconds, forward MACs.

    Args:
        epochs: Epochs trained.
        val_score: What the run is judged by, after the last epoch.
        val_loss: Loss on the evaluation split.
        train_score: The same score while training; None where it is not measured there, as in detection.
        train_loss: Loss while training.
        train_seconds: Spent in training, evaluation excluded.
        train_macs: Of all forwards of all passes.
        params: Of the final network.
        macs: Of the final network for one image.
        val_split: What it was evaluated on.
        val_mean_per_class: Mean per-class accuracy; None where it is not customary.
        score: Which metric the scores are; see :func:`netaug.core.display.score_name`.
        steps: Updates in all; None of earlier versions, which did not write them.
    """

    epochs: int
    val_score: float
    val_loss: float
    train_score: float | None
    train_loss: float
    train_seconds: float
    train_macs: int
    params: int
    macs: int
    val_split: str
    val_mean_per_class: float | None = None
    score: str = "top1"
    steps: int | None = None


@dataclass(frozen=True)
class Epoch:
    """Hold one line of ``metrics.jsonl``.

    The evaluation is None in epochs without it, gradients where not measured, and what earlier versions did not write.
    """

    epoch: int
    train_score: float | None
    val_score: float | None
    seconds: float
    train_macs: int = 0
    gradient_share: float | None = None
    gradient_cosine: float | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    lr: float | None = None
    images_per_second: float | None = None
    score: str = "top1"


@dataclass(frozen=True)
class RunRecord:
    """Hold one run of a comparison and its outcome.

    Args:
        spec: What was asked for.
        folder: Its run folder; missing if training never came that far.
        summary: None if the run failed.
        lr: Peak learning rate as resolved; None if unknown.
        curve: One entry per finished epoch.
        message: The last lines the run printed, if it failed.
    """

    spec: RunSpec
    folder: Path
    summary: RunSummary | None
    lr: float | None = None
    curve: tuple[Epoch, ...] = ()
    message: str = ""

    @property
    def status(self) -> str:
        """``ok`` or ``failed``."""
        return "failed" if self.summary is None else "ok"


def read_record(spec: RunSpec, folder: Path, message: str = "") -> RunRecord:
    """Read what a run left behind, finished or not.

    Raises:
        RunFolderError: ``summary.json`` is there but not complete.
    """
    config = read_config(folder)
    lr = (config.get("train") or {}).get("lr", spec.lr)
    path = folder / "summary.json"
    curve = _read_curve(folder)
    summary = _read_summary(path, curve) if path.is_file() else None
    return RunRecord(spec, folder, summary, lr, curve, message)


def is_finished(spec: RunSpec, folder: Path) -> bool:
    """Return whether the folder holds a finished run with the settings that ``spec`` fixes."""
    return (folder / "summary.json").exists() and spec.fits(read_config(folder))


def read_config(folder: Path) -> dict[str, Any]:
    """Return the run's resolved settings as a nested mapping; empty if there are none yet."""
    try:
        content = read_yaml(folder / "config.yaml")
    except ConfigError:
        return {}
    return content if isinstance(content, dict) else {}


def read_environment(folder: Path) -> dict[str, Any]:
    """Return machine and versions of the run; empty if not recorded."""
    path = folder / "environment.json"
    if not path.is_file():  # reading a pipe could wait for ever
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def epochs_logged(folder: Path) -> int:
    """Return the number of epochs that a run, perhaps still training, has logged."""
    try:
        # ends of lines, because the last line may be half written
        return (folder / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def _read_summary(path: Path, curve: Sequence[Epoch]) -> RunSummary:
    last = curve[-1] if curve else None
    known = {"score": last.score, f"val_{last.score}": last.val_score} if last else {}
    try:
        return _typed(RunSummary, known | json.loads(path.read_text(encoding="utf-8")))
    # json raises RecursionError for deeply nested content
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunFolderError(
            f"'{path}' is not the summary of a finished run.",
            got=f"{type(error).__name__}: {error}",
            fix="remove that run folder; the comparison then trains it again",
        ) from error


def _read_curve(folder: Path) -> tuple[Epoch, ...]:
    epochs, path = [], folder / "metrics.jsonl"
    if not path.is_file():
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    for line in lines:
        try:
            epochs.append(_typed(Epoch, json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            break  # the last line of a killed run may be cut off
    return tuple(epochs)


def _typed(kind: type[Record], content: Mapping[str, Any]) -> Record:
    """Return the fields of a record from those of a file, in which scores go by the metric's name.

    Raises:
        KeyError: One without a default is missing, by name.
    """
    score = content.get("score", "top1")
    values = {
        **content,
        "val_score": _scored(content, "val", score),
        "train_score": _scored(content, "train", score),
    }
    for item in fields(kind):
        value = values.get(item.name)
        text = item.name in ("score", "val_split")
        if value is not None and not isinstance(value, str if text else int | float):
            raise TypeError(f"{item.name} is {type(value).__name__}")
    # a field that the file lacks keeps its default: earlier versions wrote fewer
    names = [item.name for item in fields(kind) if item.default is MISSING or item.name in values]
    return kind(**{name: values[name] for name in names})


def _scored(content: Mapping[str, Any], split: str, score: str) -> float | None:
    """Return ``val_top1``, or the value in ``val_metrics`` under another metric's name; None without one."""
    if score != "top1" and f"{split}_metrics" in content:
        value_of_metric: float | None = content[f"{split}_metrics"].get(score)
        return value_of_metric
    name = f"{split}_{score}"
    return content.get(name) if split == "train" and score != "top1" else content[name]
