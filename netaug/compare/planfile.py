"""Read plans from YAML files, strictly: an error names the file and the key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from netaug.compare.arms import Budget, Settings
from netaug.compare.planvalues import read_factors, read_grid, read_mapping, read_settings
from netaug.config.recipes import find_recipe
from netaug.core.errors import ConfigError
from netaug.core.yaml_files import read_text, read_yaml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")
_OF_PLANS = re.compile(r"^(arms|cases|stages|reference|budgets|grid)\s*:", re.MULTILINE)
_TOP = ("about", "recipe", "settings", "stages", "cases", "arms", "reference", "budgets", "grid", "seeds")


@dataclass(frozen=True)
class Part:
    """Hold a stage, case or arm of a plan as it is written.

    Args:
        name: Its name.
        recipe: What it trains; None leaves that to the case or the plan.
        settings: The settings it fixes.
        times: Factors on numbers among the settings.
        reference: The arm it is compared with; None leaves that to the plan.
        once: Whether a stage is trained with seed 0 alone.
    """

    name: str
    recipe: str | None = None
    settings: Settings = ()
    times: Settings = ()
    reference: str | None = None
    once: bool = False


@dataclass(frozen=True)
class PlanFile:
    """Hold a plan as it is written; :func:`netaug.compare.planning.expand_plan` makes a plan of it.

    Args:
        name: Of the plan.
        where: Its file, for messages.
        about: One line for lists.
        arms: What is compared, at least two.
        recipe: What is trained where nothing else is named.
        settings: Settings of all stages and arms, on top of their recipes.
        stages: What is trained before the arms: teachers and pre-trainings.
        cases: Networks or datasets, each compared by itself; none is one case without a name.
        reference: The arm that others are compared with.
        budgets: What is made equal beside the epochs.
        grid: Values by setting, of which each arm gets the best on held-out training images.
        seeds: Runs per arm; None leaves that to the command line.
    """

    name: str
    where: str
    about: str
    arms: tuple[Part, ...]
    recipe: str | None = None
    settings: Settings = ()
    stages: tuple[Part, ...] = ()
    cases: tuple[Part, ...] = ()
    reference: str | None = None
    budgets: tuple[Budget, ...] = ("time",)
    grid: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    seeds: int | None = None


def is_plan_file(path: Path) -> bool:
    """Return whether a YAML file has keys at its top that plans have and recipes have not."""
    try:
        return _OF_PLANS.search(read_text(path)) is not None
    except ConfigError:
        return False


def read_plan(path: Path) -> PlanFile:
    """Read a plan.

    Raises:
        ConfigError: No YAML, an unknown key (with the nearest valid name), a value of the wrong type, a name twice.
    """
    where = str(path)
    tree = read_mapping(read_yaml(path), where, _TOP)
    if len(read_mapping(tree.get("arms"), f"{where}: arms")) < 2:
        raise ConfigError(
            f"a plan needs two 'arms' or more to compare ({where}).",
            got=", ".join(tree.get("arms") or {}) or "none",
            allowed="arms: {baseline: {set: {netaug.enabled: false}}, netaug: {}}",
        )

    def parts(key: str, *keys: str) -> tuple[Part, ...]:
        return _parts(tree.get(key), f"{where}: {key}", keys, path)

    return PlanFile(
        name=path.stem,
        where=where,
        about=_line(tree.get("about", ""), f"{where}: about"),
        arms=parts("arms", "recipe", "set", "times", "reference"),
        recipe=_recipe(tree.get("recipe"), f"{where}: recipe", path),
        settings=read_settings(tree.get("settings"), f"{where}: settings"),
        stages=parts("stages", "recipe", "set", "times", "once"),
        cases=parts("cases", "recipe", "set"),
        reference=_optional_name(tree.get("reference"), f"{where}: reference"),
        budgets=_budgets(tree.get("budgets", ["time"]), f"{where}: budgets"),
        grid=read_grid(tree.get("grid"), f"{where}: grid"),
        seeds=_seeds(tree.get("seeds"), f"{where}: seeds"),
    )


def _parts(tree: object, where_in_file: str, keys: Sequence[str], path: Path) -> tuple[Part, ...]:
    parts = []
    for name, values in read_mapping(tree, where_in_file).items():
        where_in_part = f"{where_in_file}.{name}"
        # the folders of tuning runs are named tune-ARM
        if not _NAME.fullmatch(name) or name.startswith("tune-"):
            allowed = (
                "letters, digits, '-', '_' and '+', not beginning with 'tune-': it is part of folders' names"
            )
            raise ConfigError(f"this name cannot be used ({where_in_file}).", got=repr(name), allowed=allowed)
        part = read_mapping(values, where_in_part, keys)
        once = part.get("once", False)
        if not isinstance(once, bool):
            raise ConfigError(f"'once' must be true or false ({where_in_part}).", got=repr(once))
        parts.append(
            Part(
                name,
                _recipe(part.get("recipe"), f"{where_in_part}.recipe", path),
                read_settings(part.get("set"), f"{where_in_part}.set"),
                read_factors(part.get("times"), f"{where_in_part}.times"),
                _optional_name(part.get("reference"), f"{where_in_part}.reference"),
                once,
            )
        )
    return tuple(parts)


def _recipe(name: object, where_in_file: str, path: Path) -> str | None:
    """Return a recipe's packaged name, or its path, which may be relative to the plan."""
    if name is None:
        return None
    if not isinstance(name, str):
        raise ConfigError(f"a recipe must be a name or a path ({where_in_file}).", got=repr(name))
    beside = path.parent / name
    try:
        find_recipe(recipe := str(beside) if beside.is_file() else name)
    except ConfigError as error:
        where = f"{error.where.rstrip('.')} ({where_in_file})."
        raise ConfigError(where, got=error.got, allowed=error.allowed, fix=error.fix) from error
    return recipe


def _optional_name(value: object, where_in_file: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"this is not the name of an arm ({where_in_file}).", got=repr(value))
    return value


def _line(value: object, where_in_file: str) -> str:
    if not isinstance(value, str) or "\n" in value.strip():
        raise ConfigError(f"this must be one line of text ({where_in_file}).", got=repr(value))
    return value.strip()


def _budgets(value: object, where_in_file: str) -> tuple[Budget, ...]:
    known: tuple[Budget, ...] = get_args(Budget)
    if (
        not isinstance(value, list)
        or any(name not in known for name in value)
        or len(set(value)) < len(value)
    ):
        raise ConfigError(
            f"'budgets' must be a list of what is made equal ({where_in_file}).",
            got=repr(value),
            allowed=f"[{', '.join(known)}], one of them, or [] for equal epochs alone",
        )
    return tuple(value)


def _seeds(value: object, where_in_file: str) -> int | None:
    # True is an int to Python
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigError(
            f"'seeds' is out of range ({where_in_file}).",
            got=repr(value),
            allowed="a whole number, 1 or more",
        )
    return value
