"""Define what a comparison is made of: arms that differ in settings, and the plan that holds them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Budget = Literal["time", "macs"]
Settings = tuple[tuple[str, Any], ...]
"""Settings by dotted key, in order."""

_RUN = re.compile(r"\{run:([^{}]+)\}")


@dataclass(frozen=True)
class Arm:
    """Describe one way of training that is compared with others.

    Args:
        name: Its name, also that of its run folders.
        recipe: What it trains, as for `netaug train`.
        settings: The settings it fixes. ``{run:STAGE}`` in a string is that stage's run folder of the same seed.
        times: Factors on numbers among its settings, such as twice the epochs; once they are worked out
            (:func:`netaug.compare.resolve.resolve_plan`), ``settings`` has what comes of them too.
        reference: The arm it is compared with; None if others are compared with it, or for a stage.
        stage: Whether it is only trained for other arms: a teacher, or a pre-training.
        once: Whether a stage is trained with seed 0 alone, for all seeds of the others.
    """

    name: str
    recipe: str
    settings: Settings = ()
    times: Settings = ()
    reference: str | None = None
    stage: bool = False
    once: bool = False

    @property
    def fixed(self) -> tuple[str, ...]:
        """Keys of the settings it fixes whatever the others are; what it multiplies is not among them."""
        multiplied = dict(self.times)
        return tuple(key for key, _ in self.settings if key not in multiplied)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the stages that come before it."""
        return tuple(dict.fromkeys(name for _, value in self.settings for name in stages_in(value)))


@dataclass(frozen=True)
class Plan:
    """Hold the arms that are trained, and what is made equal between them beside the epochs.

    Args:
        name: Its name.
        arms: In the order of the table.
        settings: Settings of all arms, on top of their recipes.
        budgets: What else is made equal: for each arm its reference is trained again for the arm's measured
            training time (``time``), or for its multiply-accumulates (``macs``).
        grid: Values by dotted key, of which each arm gets the best on held-out training images.
        seeds: Runs per arm; None leaves that to the command line.
        about: One line for lists.
    """

    name: str
    arms: tuple[Arm, ...]
    settings: Settings = ()
    budgets: tuple[Budget, ...] = ("time",)
    grid: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    seeds: int | None = None
    about: str = ""

    @property
    def rates(self) -> tuple[float, ...]:
        """The peak learning rates of the grid."""
        return tuple(float(value) for value in dict(self.grid).get("train.lr", ()))

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def against(self, reference: str) -> tuple[Arm, ...]:
        """Return the arms that are compared with that one, also at equal cost.

        The reference with other epochs is not among them: at equal cost it is itself.
        """
        return tuple(arm for arm in self.arms if arm.reference == reference and not self._only_longer(arm))

    def _only_longer(self, arm: Arm) -> bool:
        reference = self.arm(str(arm.reference))
        settings, other = dict(arm.settings), dict(reference.settings)
        # equal cost is reached by other epochs, so an arm with other epochs alone is the reference again
        settings.pop("train.epochs", None), other.pop("train.epochs", None)
        multiplied = {*dict(arm.times), *dict(reference.times)}
        return settings == other and arm.recipe == reference.recipe and multiplied == {"train.epochs"}

    @property
    def references(self) -> tuple[str, ...]:
        """The arms that others are compared with."""
        return tuple(dict.fromkeys(arm.reference for arm in self.arms if arm.reference))

    def levels(self) -> list[list[Arm]]:
        """Return the arms in the order in which they can be trained: none needs one of its own level or a later one.

        Of two arms the reference comes last: what keeps a network from being widened shows before any time is spent.
        Of more, what has no reference comes first: it asks for least, so if it cannot be trained, none can.
        """
        reference_last = sum(not arm.stage for arm in self.arms) == 2
        depth: dict[str, int] = {}

        def depth_of(arm: Arm) -> int:
            if arm.name not in depth:
                depth[arm.name] = 1 + max((depth_of(self.arm(name)) for name in arm.needs), default=-1)
            return depth[arm.name]

        levels: list[list[Arm]] = []
        for level in range(1 + max(depth_of(arm) for arm in self.arms)):
            arms_of_level = [arm for arm in self.arms if depth[arm.name] == level]
            levels.append(sorted(arms_of_level, key=lambda arm: (arm.reference is None) == reference_last))
        return levels


def two_arms(recipe: str) -> Plan:
    """Return the plan of a recipe alone: with and without NetAug, at equal epochs and at equal time."""
    baseline = Arm("baseline", recipe, (("netaug.enabled", False),))
    netaug = Arm("netaug", recipe, (("netaug.enabled", True),), reference="baseline")
    return Plan(recipe, (baseline, netaug))


def stages_in(value: object) -> list[str]:
    """Return the stages whose run folders a setting names."""
    if isinstance(value, list | tuple):
        return [name for item in value for name in stages_in(item)]
    return _RUN.findall(value) if isinstance(value, str) else []


def with_folders(value: Any, folders: Mapping[str, str]) -> Any:
    """Return a setting with the run folders of stages in place."""
    if isinstance(value, list | tuple):
        return [with_folders(item, folders) for item in value]
    # a function, since backslashes of a folder's name would act in a replacement text
    return _RUN.sub(lambda match: folders[match[1]], value) if isinstance(value, str) else value
