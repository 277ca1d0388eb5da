"""Which runs a comparison consists of, and how long the baseline trains at NetAug's cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from netaug.compare.request import CompareRequest

Arm = Literal["baseline", "netaug", "baseline-long"]
Phase = Literal["tune", "final"]
ARMS: tuple[Arm, ...] = ("baseline", "netaug", "baseline-long")
TUNE_SEED = 0
TUNE_HOLDOUT = 0.1


@dataclass(frozen=True)
class RunSpec:
    """One training run of a comparison.

    Args:
        arm: ``baseline-long`` is the baseline with as many epochs as fit in NetAug's training time.
        phase: ``tune`` runs choose the learning rate on held-out training images; ``final`` runs are judged.
        seed: Same seed, same initialisation and data order in every arm.
        lr: Peak learning rate; None takes the recipe's.
        epochs: None takes the recipe's.
        threads: CPU threads.
    """

    arm: Arm
    phase: Phase
    seed: int
    lr: float | None
    epochs: int | None
    threads: int

    @property
    def name(self) -> str:
        """Name of the run folder inside the comparison's folder."""
        phase = "tune-" if self.phase == "tune" else ""
        lr = "" if self.lr is None else f"-lr{self.lr:.15g}"
        return f"{phase}{self.arm}{lr}-seed{self.seed}"

    def settings(self) -> dict[str, Any]:
        """The settings this run fixes, by dotted key; all others are those of recipe and overrides."""
        fixed: dict[str, Any] = {
            "train.seed": self.seed,
            "train.threads": self.threads,
            "netaug.enabled": self.arm == "netaug",
        }
        if self.lr is not None:
            fixed["train.lr"] = self.lr
        if self.epochs is not None:
            fixed["train.epochs"] = self.epochs
        if self.phase == "tune":
            fixed["data.holdout"] = TUNE_HOLDOUT
        return fixed

    def arguments(self) -> list[str]:
        """The settings as arguments of `netaug train`."""
        return [f"--{key}={_yaml(value)}" for key, value in self.settings().items()]

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a run's resolved configuration (nested mapping) has the settings this run fixes."""
        for dotted, value in self.settings().items():
            section, key = dotted.split(".")
            found = config.get(section)
            if not isinstance(found, Mapping) or _yaml(found.get(key)) != _yaml(value):
                return False
        return True


def tune_runs(request: CompareRequest, arms: tuple[Arm, ...], epochs: int | None = None) -> list[RunSpec]:
    """The runs that choose a learning rate: each arm at each rate, one seed."""
    threads = request.threads_per_run
    return [RunSpec(arm, "tune", TUNE_SEED, lr, epochs, threads) for lr in request.lrs for arm in arms]


def final_runs(
    request: CompareRequest, rates: Mapping[Arm, float | None], epochs: int | None = None
) -> list[RunSpec]:
    """The runs that are judged: each arm of ``rates`` at its rate, all seeds, a seed's arms side by side.

    Side by side, so that whatever else the machine does slows the arms alike.
    """
    threads = request.threads_per_run
    return [
        RunSpec(arm, "final", seed, lr, epochs, threads)
        for seed in range(request.seeds)
        for arm, lr in rates.items()
    ]


def long_epochs(epochs: int, netaug_seconds: list[float], baseline_seconds: list[float]) -> int:
    """Epochs with which the baseline trains as long as NetAug did.

    Args:
        epochs: Epochs of both measured arms.
        netaug_seconds: Training seconds of NetAug's runs, in the order of their pairs.
        baseline_seconds: Training seconds of the baseline's runs, same order.

    Returns:
        ``epochs`` times the median ratio, rounded; at least one epoch more than ``epochs``.
    """
    ratios = [long / short for long, short in zip(netaug_seconds, baseline_seconds, strict=True) if short > 0]
    return max(epochs + 1, round(epochs * statistics.median(ratios or [1.0])))


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{float(value):.15g}" if isinstance(value, int | float) else str(value)
