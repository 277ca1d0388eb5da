"""List the runs that a comparison consists of, and compute how long a reference trains at another arm's cost."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from netaug.compare.arms import Arm, Settings, stages_in, with_folders
from netaug.compare.request import Choice, CompareRequest
from netaug.config import DataConfig

Phase = Literal["tune", "final"]
TUNE_SEED = 0
TUNE_HOLDOUT = 0.1


@dataclass(frozen=True)
class RunSpec:
    """Describe one training run of a comparison.

    Args:
        arm: Name of the arm; ``REFERENCE-long`` is the reference with as many epochs as fit in another's training time.
        phase: ``tune`` runs choose settings on held-out training images; ``final`` runs are judged.
        seed: Same seed, same initialization and data order in every arm.
        lr: Peak learning rate; None takes the recipe's.
        epochs: None takes the recipe's.
        threads: CPU threads; None leaves them to the training, within its share of the cores.
        arm_settings: What the arm sets, by dotted key.
        tuned: What else was chosen for it, by dotted key.
        recipe: What is trained; None is the request's.
        tuned_on: The setting that holds images out for tuning.
    """

    arm: str
    phase: Phase
    seed: int
    lr: float | None
    epochs: int | None
    threads: int | None
    arm_settings: Settings = ()
    tuned: Settings = ()
    recipe: str | None = None
    tuned_on: str = "data.holdout"

    def __hash__(self) -> int:
        return hash(self.name)  # settings may be mappings, which have no hash

    @property
    def name(self) -> str:
        """Name of the run folder inside the comparison's folder."""
        phase = "tune-" if self.phase == "tune" else ""
        lr = "" if self.lr is None else f"-lr{self.lr:.15g}"
        # values may hold characters that names of folders may not
        more = "".join(f"-{key.split('.')[-1]}{text(value)}" for key, value in self.tuned)
        return f"{phase}{self.arm}{lr}{re.sub(r'[^A-Za-z0-9_.+-]+', '_', more)}-seed{self.seed}"

    @property
    def choice(self) -> Choice:
        """What was chosen for it by tuning."""
        return Choice(self.lr, self.tuned)

    def settings(self) -> dict[str, Any]:
        """Return the settings this run fixes, by dotted key; all others are those of recipe and overrides."""
        fixed: dict[str, Any] = {"train.seed": self.seed}
        if self.threads is not None:
            fixed["train.threads"] = self.threads
        fixed |= dict(self.arm_settings) | dict(self.tuned)
        if self.lr is not None:
            fixed["train.lr"] = self.lr
        if self.epochs is not None:
            fixed["train.epochs"] = self.epochs
        if self.phase == "tune":
            fixed[self.tuned_on] = TUNE_HOLDOUT
        return fixed

    def arguments(self, folders: Mapping[str, str]) -> list[str]:
        """Return the settings as arguments of `netaug train`, with the run folders of the stages it needs."""
        given = {key: with_folders(value, folders) for key, value in self.settings().items()}
        return [f"--{key}={text(value)}" for key, value in given.items()]

    def needs(self, arms: Sequence[Arm]) -> dict[str, str]:
        """Return the stages this run needs, each with the name of its run folder."""
        names = {name for _, value in self.arm_settings for name in stages_in(value)}
        once = {arm.name: arm.once for arm in arms}
        return {
            name: RunSpec(name, self.phase, 0 if once[name] else self.seed, None, None, 1).name
            for name in sorted(names)
        }

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Return whether a run's resolved configuration (nested mapping) has the settings this run fixes."""
        return all(
            # the run folder of a stage moves with the comparison's folder, so it is not compared
            stages_in(value) or text(_value_at(config, key)) == text(value)
            for key, value in self.settings().items()
        )


def fed_in_tuning(data: DataConfig) -> DataConfig:
    """Return the settings of the images that a rate is chosen with, of those that an arm is judged with."""
    if data.holdout > 0:
        return replace(data, tune_holdout=TUNE_HOLDOUT)
    return replace(data, holdout=TUNE_HOLDOUT)


def specs_of(
    request: CompareRequest,
    arm: Arm,
    phase: Phase,
    choices: Sequence[Choice],
    *,
    epochs: int | None = None,
    name: str | None = None,
) -> list[RunSpec]:
    """Return the runs of one arm: each choice with each seed of the phase.

    Args:
        request: Seeds and threads.
        arm: Whose settings.
        phase: Tuning has one seed.
        choices: What was or may be chosen for it.
        epochs: In place of its own.
        name: In place of its own, for a longer reference.
    """
    seeds = [TUNE_SEED] if phase == "tune" or (arm.stage and arm.once) else range(request.seeds)
    return [
        RunSpec(
            name or arm.name,
            phase,
            seed,
            choice.lr,
            epochs,
            request.threads,
            arm.settings,
            choice.others,
            arm.recipe,
            request.tuned_on(arm),
        )
        for seed in seeds
        for choice in choices
    ]


def train_arguments(request: CompareRequest, spec: RunSpec) -> list[str]:
    """Return the arguments of `netaug train` that make a run, its recipe first."""
    folders = {stage: str(request.out / run) for stage, run in spec.needs(request.arms).items()}
    settings = [
        *(f"--{key}={text(value)}" for key, value in request.whole_plan.settings),
        *(*request.overrides, *spec.arguments(folders)),
    ]
    last_positions = {
        word.split("=", 1)[0]: position for position, word in enumerate(settings)
    }  # each once, the last one counts
    return [
        *(spec.recipe or request.recipe, "--out", str(request.out / spec.name)),
        *(
            word
            for position, word in enumerate(settings)
            if last_positions[word.split("=", 1)[0]] == position
        ),
        *request.trust_arguments(),
    ]


def tune_runs(request: CompareRequest, arms: Sequence[str], epochs: int | None = None) -> list[RunSpec]:
    """Return the runs that choose settings: each arm with each choice, one seed."""
    runs: list[RunSpec] = []
    for arm in map(request.arm, arms):
        runs += specs_of(request, arm, "tune", request.choices(arm), epochs=epochs)
    order = {choice: number for number, choice in enumerate(request.grid())}
    return sorted(runs, key=lambda spec: order.get(spec.choice, -1))


def final_runs(
    request: CompareRequest, chosen: Mapping[str, Choice], epochs: int | None = None
) -> list[RunSpec]:
    """Return the runs that are judged: each arm with what was chosen for it, all seeds, a seed's arms side by side.

    Side by side, so that whatever else the machine does slows the arms alike.
    """
    runs = [
        spec
        for name, choice in chosen.items()
        for spec in specs_of(request, request.arm(name), "final", [choice], epochs=epochs)
    ]
    return sorted(runs, key=lambda spec: spec.seed)


def long_epochs(epochs: int, arm_costs: Sequence[float], reference_costs: Sequence[float]) -> int:
    """Return the epochs with which a reference trains at the cost of another arm.

    Args:
        epochs: Epochs of the reference.
        arm_costs: Training seconds, or MACs, of the arm's runs, in the order of their pairs.
        reference_costs: Those of the reference's runs, same order.

    Returns:
        ``epochs`` times the median ratio, rounded; at least one epoch more than ``epochs``.
    """
    ratios = [
        cost / reference_cost
        for cost, reference_cost in zip(arm_costs, reference_costs, strict=True)
        if reference_cost > 0
    ]
    # with the same epochs it would be the reference again
    return max(epochs + 1, round(epochs * statistics.median(ratios or [1.0])))


def text(value: object) -> str:
    """Return a setting's value as on the command line; equal values give equal texts."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return (
            f"[{', '.join(text(item) if not isinstance(item, str) else json.dumps(item) for item in value)}]"
        )
    # whatever the order of the keys
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True)
    # 1 and 1.0 are one setting: YAML may read either
    return f"{float(value):.15g}" if isinstance(value, int | float) else str(value)


def _value_at(config: Mapping[str, Any], key: str) -> object:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


# a setting that is missing has a text that no value has, so it never fits
class _Missing:
    def __str__(self) -> str:
        return "\0missing"


_MISSING = _Missing()
