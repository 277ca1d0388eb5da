"""Writes and reads the files of a run folder: settings, environment, metrics, checkpoints, weights and summary."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netaug
from netaug.config import RunConfig
from netaug.config.loading import load_config, to_yaml
from netaug.config.settings import settings
from netaug.core.errors import RunFolderError, TrainingError
from netaug.core.escaping import terminal
from netaug.core.existing import WEIGHTS_NAME, is_hub_name, local_weights
from netaug.core.io import append_line, is_leftover, remove_leftovers, write_atomic
from netaug.core.lock import NAME as LOCK
from netaug.core.yaml_files import read_yaml
from netaug.data.decode.jpeg import decoder
from netaug.runs.checkpoints import Checkpoints
from netaug.runs.records import EpochRecord
from netaug.weights.files import weights_file
from netaug.weights.hub import fetch
from netaug.weights.metadata import ModelCard, save_weights


class RunFolder:
    """Writes and reads the files of one run. ``summary.json`` is written last: it marks a finished run.

    Args:
        path: The folder; see :meth:`create` for a new one and :func:`find_weights` for an old one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.held_out = path / "validation_images.txt"
        self.checkpoints = path / "checkpoints"
        self.weights = path / WEIGHTS_NAME
        self.best = path / "best.safetensors"
        self.summary = path / "summary.json"
        self._saved = 0

    @classmethod
    def create(cls, path: Path, config: RunConfig, device: torch.device) -> RunFolder:
        """Make the folder of a new run, with the whole configuration and its environment.

        Raises:
            RunFolderError: It exists and is not empty, or cannot be created.
        """
        refuse_existing(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"the run folder '{path}' cannot be created.", got=error) from None
        run = cls(path)
        run.describe(config, device)
        return run

    def describe(self, config: RunConfig, device: torch.device) -> None:
        """Write the whole configuration that the run starts or resumes with, and the environment it was started in.

        The settings come first: they make it a run, whose environment a process that was killed may not have written.
        """
        write_atomic(self.config, to_yaml(config))
        if not self.environment.is_file():
            facts = environment(device, config.model.weights)
            write_atomic(self.environment, json.dumps(facts, indent=2) + "\n")

    def name_held_out(self, names: Sequence[str]) -> None:
        """Write which images are held out from training, one name per line."""
        if names:
            write_atomic(self.held_out, "".join(f"{terminal(name)}\n" for name in names))

    def log(self, record: EpochRecord) -> None:
        """Append an epoch to ``metrics.jsonl``."""
        append_line(self.metrics, json.dumps(asdict(record)))

    def save(
        self, state: Mapping[str, Any], settings: Mapping[str, Any], data: Mapping[str, Any], *, keep: int
    ) -> None:
        """Write a checkpoint.

        Args:
            state: Of the trainer.
            settings: The whole configuration as plain values.
            data: Fingerprint of the data.
            keep: How many of the newest checkpoints stay.
        """
        content = {**state, "config": dict(settings), "data": dict(data)}
        Checkpoints(self.checkpoints, keep).save(content)
        self._saved = state["step"]

    def reopen(self) -> tuple[list[EpochRecord], dict[str, Any] | None]:
        """Return the epochs logged until the newest checkpoint, and its content; None without a checkpoint.

        Epochs that were logged later are removed from ``metrics.jsonl``: they will be logged again. Partial files of a
        killed process are removed.

        Raises:
            CheckpointError: All checkpoints are damaged.
        """
        for folder in (self.path, self.checkpoints):
            remove_leftovers(folder)
        newest = Checkpoints(self.checkpoints).newest()
        # Epochs after the checkpoint are trained again, and logged again.
        records = self.records()[: newest[1]["epochs"]] if newest else []
        write_atomic(self.metrics, "".join(json.dumps(asdict(record)) + "\n" for record in records))
        self._saved = newest[1]["step"] if newest else 0
        return records, newest[1] if newest else None

    def records(self) -> list[EpochRecord]:
        """Return the epochs logged so far, without a line that was cut off at the end."""
        records = []
        for line in self.metrics.read_text().splitlines() if self.metrics.is_file() else ():
            try:
                records.append(EpochRecord(**json.loads(line)))
            except (ValueError, TypeError, RecursionError):
                break
        return records

    def save_network(self, network: nn.Module, card: ModelCard) -> None:
        """Write the plain network as ``model.safetensors``."""
        save_weights(self.weights, network, card)

    def save_best(self, network: nn.Module, card: ModelCard) -> None:
        """Write the plain network of the epoch with the best validation score so far as ``best.safetensors``."""
        save_weights(self.best, network, card)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``: the run is finished."""
        write_atomic(self.summary, json.dumps(dict(summary), indent=2) + "\n")

    def saved_so_far(self) -> str:
        """Return a sentence about what a stopped run has saved."""
        if not self._saved:
            return f"stopped before the first checkpoint; see {self.path}"
        return (
            f"stopped; saved after step {self._saved} in {self.checkpoints}. "
            "The same command resumes from there to the same result"
        )

    def with_last_checkpoint(self, error: TrainingError) -> TrainingError:
        """Return the same error with the last checkpoint in its fix; errors of other kinds name it already."""
        if type(error) is not TrainingError:
            return error
        kept = Checkpoints(self.checkpoints).paths()
        last = f"the last good checkpoint is {kept[0]}" if kept else "there is no checkpoint yet"
        complete = TrainingError(
            error.where,
            got=error.got,
            allowed=error.allowed,
            fix=f"{error.fix}; {last}" if error.fix else last,
            diverged=error.diverged,
        )
        complete.loud = error.loud
        return complete


def refuse_existing(path: Path) -> None:
    """Refuse a run folder that holds something already; nothing is ever overwritten.

    Raises:
        RunFolderError: The path is a file, or a folder that is not empty.
    """
    if path.is_dir() and all(entry.name == LOCK or is_leftover(entry.name) for entry in path.iterdir()):
        return
    if path.exists():
        raise RunFolderError(
            f"the run folder '{path}' exists already.",
            got="a finished run" if (path / "summary.json").exists() else "an unfinished run or other files",
            allowed="a new or an empty folder",
            fix="choose another with --out, or remove it yourself; --resume with more train.epochs continues it",
        )


def find_weights(source: str | Path) -> Path:
    """Return the weights file of a run folder, the weights file itself, or that of ``hf:user/name`` on the Hub.

    Raises:
        RunFolderError: There is no such file or folder, or the folder holds no weights.
        CheckpointError: It cannot be fetched from the Hub.
    """
    return fetch(source) if is_hub_name(source) else local_weights(source)


def run_of(source: str | Path) -> Path | None:
    """Return the run folder that a network is from: ``source`` itself, or that of a file; None without one."""
    path = Path(source)
    folder = path if path.is_dir() else path.parent
    return folder if RunFolder(folder).config.is_file() else None


def read_config(run: Path, overrides: tuple[str, ...] = ()) -> RunConfig:
    """Return the settings of a run folder, with overrides applied.

    Raises:
        RunFolderError: The folder has no ``config.yaml``.
        ConfigError: A setting is wrong.
    """
    path = RunFolder(run).config
    if not path.is_file():
        raise RunFolderError(f"'{run}' is not a run folder.", got="no config.yaml")
    older = [f"--{key}={value}" for key, value in _MEANT_BEFORE.items() if key in unrecorded(run)]
    return load_config(
        str(path), (*older, *overrides), builds=False
    )  # the network is that of its weights file


_MEANT_BEFORE = {"netaug.sort_gates": "false"}
"""What a run did that was started before a setting existed, where that is not the setting's default."""


def unrecorded(run: Path) -> set[str]:
    """Return the settings that did not exist yet, by ``group.key``, when a run was started."""
    path = RunFolder(run).config
    tree = read_yaml(path)
    groups = tree if isinstance(tree, dict) else {}
    return {
        key for key in settings() if key.partition(".")[2] not in (groups.get(key.partition(".")[0]) or {})
    }


def default_folder(recipe: str, *, augmented: bool, seed: int) -> Path:
    """Return the default run folder, ``runs/NAME-ARM-seedN``, of a run with or without NetAug."""
    arm = "netaug" if augmented else "baseline"
    return Path("runs") / f"{recipe.replace('/', '-')}-{arm}-seed{seed}"


def environment(device: torch.device, weights: str | None = None) -> dict[str, Any]:
    """Return machine, versions, command line and the digest of the initial weights, for ``environment.json``."""
    content = None if weights is None else weights_file(weights).read_bytes()
    return {
        "command": sys.argv,
        "netaug": netaug.__version__,
        "python": platform.python_version(),
        **_versions(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "decoder": decoder(),
        "weights_sha256": None if content is None else hashlib.sha256(content).hexdigest(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "torchvision", "numpy", "timm")}


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
