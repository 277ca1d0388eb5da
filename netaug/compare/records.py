"""Run folders as typed records: the one place that knows their files."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from netaug.compare.plan import RunSpec
from netaug.errors import RunFolderError


@dataclass(frozen=True)
class RunSummary:
    """A finished run's ``summary.json``; accuracies in percent 0..100, times in seconds, forward MACs."""

    epochs: int
    val_top1: float
    val_loss: float
    train_top1: float
    train_loss: float
    train_seconds: float
    train_macs: int
    params: int
    macs: int
    val_split: str
    val_mean_per_class: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One line of ``metrics.jsonl``; validation is None in epochs without it, gradients where not measured."""

    epoch: int
    train_top1: float
    val_top1: float | None
    seconds: float
    train_macs: int = 0
    gradient_share: float | None = None
    gradient_cosine: float | None = None


@dataclass(frozen=True)
class RunRecord:
    """One run of a comparison and what came of it.

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
    summary = _read_summary(path) if path.exists() else None
    return RunRecord(spec, folder, summary, lr, _read_curve(folder), message)


def is_finished(spec: RunSpec, folder: Path) -> bool:
    """Whether the folder holds a finished run with the settings that ``spec`` fixes."""
    return (folder / "summary.json").exists() and spec.fits(read_config(folder))


def read_config(folder: Path) -> dict[str, Any]:
    """The run's resolved settings as a nested mapping; empty if there are none yet."""
    try:
        content = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def read_environment(folder: Path) -> dict[str, Any]:
    """Machine and versions of the run; empty if not recorded."""
    try:
        content = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def epochs_logged(folder: Path) -> int:
    """Number of epochs a run, perhaps still going, has logged."""
    try:
        return (folder / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def _read_summary(path: Path) -> RunSummary:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return RunSummary(
            **{item.name: content[item.name] for item in fields(RunSummary) if item.default is MISSING},
            val_mean_per_class=content.get("val_mean_per_class"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"'{path}' is not the summary of a finished run.",
            got=f"{type(error).__name__}: {error}",
            fix="remove that run folder; the comparison then trains it again",
        ) from error


def _read_curve(folder: Path) -> tuple[Epoch, ...]:
    epochs = []
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    for line in lines:
        try:
            content = json.loads(line)
            known = {item.name: content[item.name] for item in fields(Epoch) if item.default is MISSING}
            further = {item.name for item in fields(Epoch)}.intersection(content)
            epochs.append(Epoch(**known | {name: content[name] for name in further}))
        except (ValueError, KeyError, TypeError):  # the last line of a killed run may be cut off
            break
    return tuple(epochs)
