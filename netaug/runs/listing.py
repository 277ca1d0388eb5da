"""Reads the state of runs from their folders, without torch; a damaged folder gives a row like any other."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from netaug.config.datasets import DATASETS
from netaug.core.errors import ConfigError, RunFolderError, first_line
from netaug.core.lock import NAME as LOCK
from netaug.core.lock import is_held
from netaug.core.yaml_files import read_yaml

State = Literal["finished", "running", "stopped", "failed", "unreadable"]
_FILES = ("config.yaml", "environment.json", "metrics.jsonl", "summary.json", "model.safetensors")
_ENOUGH_FILES = 2
"""A folder with this many of a run's files is a run folder, so that a lone config.yaml of another program is not."""


@dataclass(frozen=True)
class RunStatus:
    """Holds the state of a run.

    Args:
        path: The run folder.
        state: ``failed`` ended before anything was saved; ``stopped`` can be resumed.
        problem: Why it is unreadable; None for all others.
        recipe: As on the command line; None if unknown.
        model: As in the settings.
        arm: ``netaug`` or ``baseline``.
        seed: Of the settings.
        epochs_done: Epochs that are logged.
        epochs: Epochs in all.
        data: The dataset's name; of your own images the name of their folder.
        task: ``classify``, ``detect`` or another; None where the dataset is of a plugin.
        score: The metric that its results are reported in, such as ``top1`` or ``ap50``.
        best: Best score of the epochs, in percent; None before the first evaluation.
        last: Score of the last evaluation, in percent.
        images_per_second: Training images in the last epoch.
        size: Bytes on disk, checkpoints included.
        changed: When a file of it was last written, seconds since 1970.
        advice: The sentence about under-fitting of a finished run; None without one.
    """

    path: Path
    state: State
    changed: float
    problem: str | None = None
    recipe: str | None = None
    model: str | None = None
    arm: str | None = None
    seed: int | None = None
    epochs_done: int = 0
    epochs: int | None = None
    data: str | None = None
    task: str | None = None
    score: str | None = None
    best: float | None = None
    last: float | None = None
    images_per_second: float | None = None
    size: int = 0
    advice: str | None = None


def find_runs(folder: Path) -> list[RunStatus]:
    """Find the runs in a folder and all folders below it, those of comparisons too; last written first.

    Raises:
        RunFolderError: There is no such folder.
    """
    if not folder.is_dir():
        raise RunFolderError(
            f"there is no folder '{folder}'.",
            got="a file" if folder.exists() else None,
            fix="give the folder that holds your runs, or start one with `netaug train demo/digits`",
        )
    return sorted((read_run(path) for path in _run_folders(folder)), key=lambda run: (-run.changed, run.path))


def read_run(path: Path) -> RunStatus:
    """Read the state of the run in this folder."""
    changed = _changed(path)
    try:
        config = _mapping(_settings(path / "config.yaml"))
        lines = _epochs(path / "metrics.jsonl")
        summary = _json(path / "summary.json")
        settings, netaug = _mapping(config["train"]), _mapping(config["netaug"])
        data = _mapping(config["data"])
        scores = [score for line in lines if _is_number(score := _score(line))]
        return RunStatus(
            path,
            _state(path, finished=summary is not None, epochs=len(lines)),
            changed,
            recipe=_recipe(path / "environment.json"),
            model=str(_mapping(config["model"])["name"]),
            arm="netaug" if netaug["enabled"] else "baseline",
            seed=int(settings["seed"]),
            epochs_done=len(lines),
            epochs=int(settings["epochs"]),
            data=_name_of(data),
            task=DATASETS[data["name"]].task if data["name"] in DATASETS else None,
            score=str(lines[-1].get("score", "top1")) if lines else None,
            best=max(scores, default=None),
            last=scores[-1] if scores else None,
            images_per_second=_number(lines[-1].get("images_per_second")) if lines else None,
            size=_size(path),
            advice=None if summary is None else _text(summary.get("advice")),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return RunStatus(path, "unreadable", changed, problem=_reason(error))


def _run_folders(folder: Path) -> Iterator[Path]:
    for parent, below, files in os.walk(folder):
        if len({*files}.intersection(_FILES)) >= _ENOUGH_FILES:
            below.clear()  # what is in a run folder is the run's
            yield Path(parent)
        below[:] = [name for name in below if not name.startswith(".")]


def _state(path: Path, *, finished: bool, epochs: int) -> State:
    if is_held(path):
        return "running"
    if finished:
        return "finished"
    return "stopped" if epochs or any(path.glob("checkpoints/*.ckpt")) else "failed"


def _epochs(path: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``, without a last one that was cut off."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(_mapping(json.loads(line)))
        except ValueError:
            if number < len(lines):
                raise ValueError(f"line {number} of metrics.jsonl is not JSON") from None
    return records


def _settings(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return read_yaml(path)
    except ConfigError as error:
        message = error.where.replace(f"'{path}'", path.name).replace(str(path), path.name)
        raise ValueError(message.rstrip(".")) from None


def _recipe(path: Path) -> str | None:
    """Return the word after `train` on the command line that started the run."""
    try:
        command = list((_json(path) or {})["command"])
        return str(command[command.index("train") + 1])
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None  # the run was started from Python


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():  # reading a pipe could wait forever
        return None
    try:
        return _mapping(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        raise ValueError(f"{path.name} is damaged") from None


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError("config.yaml does not hold the settings of a run")


def _changed(path: Path) -> float:
    times = [0.0]
    for entry in (path, path / "checkpoints", *(path / name for name in (*_FILES, LOCK))):
        try:
            times.append(entry.stat().st_mtime)
        except OSError:
            continue
    return max(times)


def _name_of(data: Mapping[str, Any]) -> str:
    """Return a dataset's name, or that of the folder where the name is only the form of its files."""
    name, root = str(data["name"]), data.get("root")
    is_layout = name in DATASETS and DATASETS[name].is_layout
    return Path(root).name or name if root and is_layout else name


def _score(epoch: Mapping[str, Any]) -> Any:
    """Return an epoch's validation score in the metric that results are reported in, None without one."""
    name = epoch.get("score", "top1")
    return epoch.get("val_top1") if name == "top1" else (epoch.get("val_metrics") or {}).get(name)


def _size(path: Path) -> int:
    total = 0
    for parent, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:  # gone meanwhile
                continue
    return total


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no config.yaml"
    if isinstance(error, KeyError):
        return f"config.yaml lacks {error}"
    if isinstance(error, UnicodeDecodeError):
        return "a file is not text"
    return first_line(error)
