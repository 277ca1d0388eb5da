"""Turn a plan as it is written into the arms that are trained: cases are multiplied out, names are checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netaug.compare.arms import Arm, Plan, Settings
from netaug.compare.budgets import longer_names
from netaug.compare.planfile import Part, PlanFile, is_plan_file, read_plan
from netaug.config.recipes import find_recipe, recipe_names
from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest

SMALL = "-small"
"""Ends the name of a packaged plan's version for a CPU."""
_FOLDER = Path(__file__).parent.parent / "plans"


def plan_names() -> list[str]:
    """Return the names of the packaged plans, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def plan_path(name: str) -> Path | None:
    """Return the file of a packaged plan; None if there is none of that name."""
    return _FOLDER / f"{name}.yaml" if name in plan_names() else None


def find_plan(name: str, small: bool = False) -> Plan | None:
    """Return the plan of that name or in that file; None if it is a recipe.

    Args:
        name: A packaged plan or recipe, or the path of a YAML file of either.
        small: Whether a packaged plan's version for a CPU is meant.

    Raises:
        ConfigError: It is neither, there is no small version, or the plan is wrong.
    """
    if small:
        return expand_plan(read_plan(_small(name)))
    path = plan_path(name)
    # a file of the working directory does not hide a packaged recipe of its name
    if path is None and Path(name).is_file() and name not in recipe_names():
        path = Path(name) if is_plan_file(Path(name)) else None
    if path is not None:
        return expand_plan(read_plan(path))
    try:
        find_recipe(name)
    except ConfigError as error:
        close = nearest(name, [*plan_names(), *recipe_names()])
        hint = f"{did_you_mean(close)} " if close else ""
        raise ConfigError(
            f"there is no plan or recipe {name!r}.",
            got=name,
            allowed="a name of `netaug compare --list` or `netaug recipes`, or the path of a YAML file",
            fix=f"{hint}`netaug compare --list` lists the plans",
        ) from error
    return None


def plan_lines() -> dict[str, str]:
    """Return the packaged plans, each with its one line."""
    return {name: read_plan(path).about for name in plan_names() if (path := plan_path(name))}


def expand_plan(written: PlanFile) -> Plan:
    """Return the plan with a copy of each arm per case, its names checked.

    Raises:
        ConfigError: An unknown arm, reference or stage, nothing to compare, or no recipe; names file and place.
    """
    stages = tuple(_stage(written, stage) for stage in written.stages)
    arms = [_arm(written, case, arm) for case in written.cases or (None,) for arm in written.arms]
    plan = Plan(
        written.name,
        (*stages, *arms),
        written.settings,
        written.budgets,
        written.grid,
        written.seeds,
        written.about,
    )
    _check_stages(written, plan)
    _check_references(written)
    _check_names(written, plan)
    return plan


def _small(name: str) -> Path:
    wanted = name if name.endswith(SMALL) else f"{name}{SMALL}"
    path = plan_path(wanted)
    if path is None:
        small_plans = [plan for plan in plan_names() if plan.endswith(SMALL)]
        raise ConfigError(
            f"there is no small version of {name!r}.",
            got=wanted,
            allowed=", ".join(small_plans),
            fix="leave --small out",
        )
    return path


def _stage(written: PlanFile, stage: Part) -> Arm:
    recipe = _recipe(written, stage.recipe, f"stages.{stage.name}")
    return Arm(stage.name, recipe, stage.settings, stage.times, stage=True, once=stage.once)


def _arm(written: PlanFile, case: Part | None, arm: Part) -> Arm:
    """Return an arm in a case: its own settings and recipe count before those of the case."""
    before = f"{case.name}." if case else ""
    reference = arm.reference or written.reference
    case_settings: Settings = case.settings if case else ()
    factors = {key for key, _ in arm.times}
    settings = dict(case_settings) | dict(arm.settings)
    if twice := factors & dict(arm.settings).keys():
        raise ConfigError(
            f"{min(twice)!r} is both set and multiplied ({written.where}: arms.{arm.name}).",
            fix="leave one of them out",
        )
    return Arm(
        before + arm.name,
        _recipe(written, arm.recipe or (case.recipe if case else None), f"arms.{before}{arm.name}"),
        tuple(settings.items()),
        arm.times,
        # the plan's reference has none of its own
        before + reference if reference and reference != arm.name else None,
    )


def _recipe(written: PlanFile, recipe_of_part: str | None, where_in_file: str) -> str:
    recipe = recipe_of_part or written.recipe
    if recipe is None:
        raise ConfigError(
            f"the plan does not name what is trained ({written.where}: {where_in_file}).",
            fix="give the plan, the case or the arm a 'recipe'",
        )
    return recipe


def _check_references(written: PlanFile) -> None:
    names = [arm.name for arm in written.arms]
    for where_in_file, name in [("reference", written.reference)] + [
        (f"arms.{arm.name}.reference", arm.reference) for arm in written.arms
    ]:
        if name is not None and name not in names:
            raise _unknown("arm", name, names, f"{written.where}: {where_in_file}")
    if written.reference is None and not any(arm.reference for arm in written.arms):
        raise ConfigError(
            f"the plan does not name the arm that the others are compared with ({written.where}).",
            allowed=f"reference: one of {', '.join(names)}",
        )
    above = {arm.name: arm.reference or written.reference for arm in written.arms}
    for start in names:
        seen, name = [start], above[start]
        # the plan's reference is its own reference in `above`: there the walk ends
        while name is not None and name != seen[-1]:
            if name in seen:
                raise ConfigError(
                    f"arms are each other's reference ({written.where}).", got=" -> ".join([*seen, name])
                )
            seen.append(name)
            name = above[name]


def _check_stages(written: PlanFile, plan: Plan) -> None:
    stages = [stage.name for stage in written.stages]
    for arm in plan.arms:
        for name in arm.needs:
            if name not in stages:
                raise _unknown("stage", name, stages, f"{written.where}: {arm.name}")
    used = {name for arm in plan.arms for name in arm.needs}
    # a stage costs a whole training: one that nothing names is most likely misspelled where it is needed
    if idle := [name for name in stages if name not in used]:
        raise ConfigError(
            f"no arm needs the stage {idle[0]!r} ({written.where}).",
            fix=f"name its run folder where it is needed, as {{run:{idle[0]}}}, or leave the stage out",
        )
    for start in stages:
        _check_order(written, plan, start, ())


def _check_order(written: PlanFile, plan: Plan, stage: str, inside: Sequence[str]) -> None:
    if stage in inside:
        raise ConfigError(
            f"stages need each other, so none can be the first ({written.where}).",
            got=" -> ".join([*inside[inside.index(stage) :], stage]),
        )
    for name in plan.arm(stage).needs:
        _check_order(written, plan, name, (*inside, stage))


def _check_names(written: PlanFile, plan: Plan) -> None:
    """Check that no two arms have one name, nor an arm that of a longer reference: folders are named after them."""
    names = [arm.name for arm in plan.arms]
    longer = set(longer_names(plan))
    for name in names:
        if names.count(name) > 1 or name in longer:
            other = "a reference that trains longer" if name in longer else "another arm or stage"
            raise ConfigError(
                f"the name {name!r} is also that of {other} ({written.where}).",
                fix="give one of them another name",
            )


def _unknown(kind: str, name: str, allowed: Sequence[str], where_in_file: str) -> ConfigError:
    close = nearest(name, allowed, count=1)
    return ConfigError(
        f"there is no {kind} {name!r} ({where_in_file}).",
        got=name,
        allowed=", ".join(allowed) or f"none: the plan has no {kind}s",
        fix=did_you_mean(map(repr, close)),
    )
