"""Check what the user asks of a comparison before anything starts."""

from __future__ import annotations

import itertools
import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from netaug.compare.arms import Arm, Plan, Settings, two_arms
from netaug.core.errors import ConfigError
from netaug.core.parallel import default_jobs

_OWN_KEYS = {
    "out": "give the folder of the whole comparison as --out of `netaug compare`",
    "overwrite": "give --overwrite to `netaug compare` itself",
    "train.seed": "leave it out; --seeds N runs the seeds 0 .. N-1",
    "train.threads": "give --threads to `netaug compare` itself",
}


@dataclass(frozen=True)
class Choice:
    """Hold what tuning chooses for an arm.

    Args:
        lr: Peak learning rate; None is the recipe's.
        others: Further settings by dotted key.
    """

    lr: float | None = None
    others: Settings = ()

    def __hash__(self) -> int:
        return hash((self.lr, *dict(self.others)))  # values may be mappings, which have no hash


@dataclass(frozen=True)
class CompareRequest:
    """Describe one comparison: of a recipe with and without NetAug, or of the arms of a plan.

    Args:
        recipe: Name or path of the recipe, as for `netaug train`, or of the plan.
        overrides: Raw arguments ``--key.sub=value``, passed on to every training run.
        seeds: Number of runs per arm; they use the seeds 0 .. seeds - 1.
        jobs: Training runs at the same time.
        out: Folder of the comparison.
        overwrite: Whether an earlier comparison in ``out`` is removed first; nothing else ever is.
        lrs: Peak learning rates; none takes the recipe's, several are chosen from for each arm by tuning.
        threads: CPU threads per run; None leaves them to each training, within its share of the cores.
        nproc: Processes that train one run together, started by torchrun.
        plan: The arms; None is the recipe with NetAug and without.
        trusted: Factories ``package.module:function`` that plan, recipes and runs may name, beside ``overrides``.

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
    nproc: int = 1
    plan: Plan | None = None
    trusted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("seeds", "jobs", "threads", "nproc"):
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
        self._check_tuning()

    def _check_overrides(self) -> None:
        tuned = {key for key, values in self.further_grid if len(values) > 1}
        # reversed, so that a message names the first arm that sets a key
        setters = {key: arm.name for arm in reversed(self.arms) for key in arm.fixed}
        for key in override_keys(self.overrides):
            fix = _OWN_KEYS.get(key)
            if key in setters:
                both = key == "netaug.enabled" and self.plan is None
                fix = "leave it out; " + ("both are trained" if both else f"the arm '{setters[key]}' sets it")
            if key == "train.lr" and self.lrs:
                fix = "give the rates with --lr only"
            elif key in tuned:
                fix = "leave it out; the plan tunes it"
            if fix:
                raise ConfigError(
                    f"'--{key}' cannot be set here: the comparison sets it for each run.", fix=fix
                )

    def _check_tuning(self) -> None:
        """Check that every value to choose from is one that some arm may take."""
        for key in (*(["train.lr"] if self.lrs else []), *dict(self.further_grid)):
            if all(arm.stage or key in arm.fixed or key in dict(arm.times) for arm in self.arms):
                option = "--lr" if key == "train.lr" else f"the plan's grid of {key}"
                raise ConfigError(
                    f"{option} has no effect: every arm of the plan sets {key} itself.",
                    fix=f"leave it out, or take {key} out of the arms",
                )

    @property
    def arms(self) -> tuple[Arm, ...]:
        """What is compared."""
        return self.whole_plan.arms

    @property
    def whole_plan(self) -> Plan:
        """The plan, also where only a recipe was given."""
        return self.plan or two_arms(self.recipe)

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return self.whole_plan.arm(name)

    @property
    def further_grid(self) -> tuple[tuple[str, tuple[object, ...]], ...]:
        """Further settings than the learning rate that are tuned; a plan's rates are in ``lrs``."""
        return tuple(row for row in self.whole_plan.grid if row[0] != "train.lr")

    def grid(self) -> list[Choice]:
        """Return all choices, in the order of the grid; one that leaves all to the recipe if there is no grid."""
        rows = [[(key, value) for value in values] for key, values in self.further_grid]
        return [Choice(lr, others) for lr in self.lrs or (None,) for others in itertools.product(*rows)]

    def choices(self, arm: Arm) -> list[Choice]:
        """Return the choices for an arm: what it sets itself is not tuned, and stages are not."""
        if arm.stage:
            return [Choice()]
        fixed = {*arm.fixed, *dict(arm.times)}
        # choices that differ only in settings that the arm fixes are one choice
        return list(
            dict.fromkeys(
                Choice(
                    None if "train.lr" in fixed else choice.lr,
                    tuple(item for item in choice.others if item[0] not in fixed),
                )
                for choice in self.grid()
            )
        )

    def tuned_on(self, arm: Arm) -> str:
        """Return the setting that holds images out to choose an arm's rate on.

        Where evaluation images are held out themselves, others have to be: a rate chosen on the images that it is
        judged by would be judged too well.
        """
        words = dict(word[2:].split("=", 1) for word in self.overrides if "=" in word)
        given = {**dict(self.whole_plan.settings), **words, **dict(arm.settings)}
        return "data.tune_holdout" if float(given.get("data.holdout", 0)) > 0 else "data.holdout"

    @property
    def most_threads(self) -> int:
        """CPU threads that one training run may take."""
        return self.threads or max(1, default_jobs() // self.jobs)

    @property
    def tunes(self) -> bool:
        """Whether the learning rate of each arm, or more, is chosen by tuning runs."""
        return len(self.grid()) > 1

    def command(self) -> str:
        """Return the command line that asks for this comparison, ready for a shell."""
        arguments = ["netaug", "compare", self.recipe, "--seeds", str(self.seeds), "--jobs", str(self.jobs)]
        if self.threads is not None:
            arguments += ["--threads", str(self.threads)]
        arguments += ["--out", str(self.out)]
        if self.nproc > 1:
            arguments += ["--nproc", str(self.nproc)]
        if self.lrs:
            arguments += ["--lr", *(f"{lr:.15g}" for lr in self.lrs)]
        return shlex.join([*arguments, *self.overrides, *self.trust_arguments()])

    def trust_arguments(self) -> list[str]:
        """Return the option that names the trusted factories, last on a command line."""
        return ["--trust", *self.trusted] if self.trusted else []


def override_keys(overrides: tuple[str, ...]) -> list[str]:
    """Return the dotted keys that raw ``--key.sub=value`` (or ``--key.sub value``) arguments set."""
    return [word[2:].split("=", 1)[0] for word in overrides if word.startswith("--")]
