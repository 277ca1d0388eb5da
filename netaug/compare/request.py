"""What the user asks of a comparison, checked before anything starts."""

from __future__ import annotations

import math
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from netaug.errors import ConfigError

_OWN_KEYS = {
    "out": "give the folder of the whole comparison as --out of `netaug compare`",
    "overwrite": "give --overwrite to `netaug compare` itself",
    "train.seed": "leave it out; --seeds N runs the seeds 0 .. N-1",
    "train.threads": "give --threads to `netaug compare` itself",
    "netaug.enabled": "leave it out; both are trained",
}


@dataclass(frozen=True)
class CompareRequest:
    """One comparison of a recipe with and without NetAug.

    Args:
        recipe: Name or path of the recipe, as for `netaug train`.
        overrides: Raw arguments ``--key.sub=value``, passed on to every training run.
        seeds: Number of runs per arm; they use the seeds 0 .. seeds - 1.
        jobs: Training runs at the same time.
        out: Folder of the comparison.
        overwrite: Whether an earlier comparison in ``out`` is removed first; nothing else ever is.
        lrs: Peak learning rates; none takes the recipe's, several are chosen from for each arm by tuning.
        threads: CPU threads per run; None shares the machine's cores between the jobs.

    Raises:
        ConfigError: A number is out of range, or an override sets what the comparison itself sets.
    """

    recipe: str
    overrides: tuple[str, ...]
    seeds: int
    jobs: int
    out: Path
    overwrite: bool = False
    lrs: tuple[float, ...] = ()
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "jobs", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(
                    f"--{name} of `netaug compare` is out of range.",
                    got=value,
                    allowed="a whole number, 1 or more",
                )
        for lr in self.lrs:
            if not (math.isfinite(lr) and lr > 0):
                raise ConfigError("--lr is out of range.", got=lr, allowed="numbers greater than 0")
        if len(set(self.lrs)) < len(self.lrs):
            raise ConfigError("--lr names a rate twice.", got=self.lrs, allowed="different numbers")
        self._check_overrides()

    def _check_overrides(self) -> None:
        for key in override_keys(self.overrides):
            fix = _OWN_KEYS.get(key)
            if key == "train.lr" and self.lrs:
                fix = "give the rates with --lr only"
            if key == "data.holdout" and len(self.lrs) > 1:
                fix = "leave it out; tuning over --lr holds out training images by itself"
            if fix:
                raise ConfigError(
                    f"'--{key}' cannot be set here: the comparison sets it for each run.", fix=fix
                )

    @property
    def threads_per_run(self) -> int:
        """CPU threads of one training run."""
        return self.threads or max(1, _usable_cores() // self.jobs)

    @property
    def tunes(self) -> bool:
        """Whether the learning rate of each arm is chosen by tuning runs."""
        return len(self.lrs) > 1

    def command(self) -> str:
        """The command line that asks for this comparison, ready for a shell."""
        words = ["netaug", "compare", self.recipe, "--seeds", str(self.seeds), "--jobs", str(self.jobs)]
        words += ["--threads", str(self.threads_per_run), "--out", str(self.out)]
        if self.lrs:
            words += ["--lr", *(f"{lr:.15g}" for lr in self.lrs)]
        return shlex.join([*words, *self.overrides])


def override_keys(overrides: tuple[str, ...]) -> list[str]:
    """The dotted keys that raw ``--key.sub=value`` (or ``--key.sub value``) arguments set."""
    return [word[2:].split("=", 1)[0] for word in overrides if word.startswith("--")]


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # respects containers and taskset; Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
