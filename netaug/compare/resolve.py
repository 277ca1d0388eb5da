"""Resolve the settings of every arm before anything starts, so that a mistake in the last arm costs no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from netaug.compare.arms import Arm, Plan, with_folders
from netaug.compare.request import CompareRequest
from netaug.compare.run_specs import fed_in_tuning, text
from netaug.config import DataConfig, RunConfig
from netaug.config.loading import given_settings, load_config, to_mapping
from netaug.config.provenance import check_provenance
from netaug.core.errors import ConfigError, NetaugError


def resolve_plan(request: CompareRequest, *, builds: bool = True) -> Plan:
    """Return the plan with factors multiplied out and the settings of every arm checked.

    Args:
        request: What was asked.
        builds: Whether anything will be trained; what is only reported on may name any network.

    Raises:
        ConfigError: A recipe or setting is wrong, in the words of `netaug train`; two arms are the same; or a recipe
            holds images out although tuning does so itself.
    """
    plan = request.whole_plan
    plan = replace(plan, arms=tuple(_multiplied(request, arm, builds) for arm in plan.arms))
    seen: dict[str, str] = {}
    fed: dict[str, DataConfig] = {}
    for arm in plan.arms:
        config = arm_config(request, plan, arm, builds=builds)
        if request.tunes and request.tuned_on(arm) == "data.holdout" and config.data.holdout > 0:
            raise ConfigError(
                "with several --lr, tuning holds out training images itself, instead of those of data.holdout.",
                got=f"data.holdout {config.data.holdout} in the recipe '{arm.recipe}'",
                fix=f"--data.holdout {config.data.holdout}: where it is given to the comparison, others are held out",
            )
        fed[arm.name] = fed_in_tuning(config.data) if request.tunes else config.data
        if builds:
            _check_grid(request, plan, arm)
        # stages are not compared, so two of them may be alike
        same = arm.name if arm.stage else seen.setdefault(text(to_mapping(config)), arm.name)
        if same != arm.name:
            raise ConfigError(
                f"the arms '{same}' and '{arm.name}' have the same settings, so they would give the same results.",
                fix=f"leave one of them out of the plan '{plan.name}', or let it set something else",
            )
    if builds:
        _check_batches(fed)
    return plan


def arm_config(request: CompareRequest, plan: Plan, arm: Arm, *, builds: bool = True) -> RunConfig:
    """Return the settings of an arm's runs; seed, threads and what is tuned are those of the recipe.

    Raises:
        ConfigError: One of them is wrong; names the arm.
    """
    common = [f"--{key}={text(value)}" for key, value in plan.settings]
    arm_arguments = [f"--{key}={text(with_folders(value, _AnyFolder()))}" for key, value in arm.settings]
    # without the arm's own settings first, so that a mistake in what all share is not reported as this arm's
    load_config(arm.recipe, [*common, *request.overrides], builds=False)
    try:
        config = load_config(arm.recipe, [*common, *request.overrides, *arm_arguments], builds=False)
        if builds:
            check_provenance(
                config,
                given_settings({}, request.overrides),
                request.trusted,
                where=f"the arm '{arm.name}'",
                option="--model.name" if request.plan is None else "--trust",
            )
        return config
    except ConfigError as error:
        if request.plan is None:
            raise
        raise ConfigError(
            f"the arm '{arm.name}' of the plan '{plan.name}' cannot be trained: {error.where}",
            got=error.got,
            allowed=error.allowed,
            fix=error.fix,
        ) from error


def _check_batches(fed: Mapping[str, DataConfig]) -> None:
    """Refuse images that do not fill a batch; arms by name, with the images that they have.

    A training alone makes its batches and rate smaller; here an arm that sets its rate would keep it, the others not.
    """
    from netaug.data.counting import images_of_partial_batch  # torch is slow to load

    checked: list[DataConfig] = []
    for arm, data in fed.items():
        if data in checked:
            continue
        checked.append(data)
        try:
            images = images_of_partial_batch(data)
        except NetaugError:  # missing images are explained by the first run
            continue
        if images is not None:
            raise ConfigError(
                f"the training images of the arm '{arm}' do not fill one batch.",
                got=f"{images} images, data.batch_size {data.batch_size}",
                fix=f"--data.batch_size {min(32, images)}, and --train.lr in proportion",
            )


def _check_grid(request: CompareRequest, plan: Plan, arm: Arm) -> None:
    """Check the networks and teachers that tuning may choose for an arm as well."""
    for key, values in plan.grid:
        if key.startswith(("model.", "distill.")) and not arm.stage and key not in arm.fixed:
            for value in values:
                arm_config(request, plan, replace(arm, settings=(*arm.settings, (key, value))))


def common_settings(request: CompareRequest) -> dict[str, dict[str, Any]]:
    """Return the settings all arms share, nested; of several recipes each group is named with its recipe."""
    arguments = [f"--{key}={text(value)}" for key, value in request.whole_plan.settings]
    recipes = dict.fromkeys(arm.recipe for arm in request.arms)
    common: dict[str, dict[str, Any]] = {}
    for recipe in recipes:
        for group, values in to_mapping(
            load_config(recipe, [*arguments, *request.overrides], builds=False)
        ).items():
            common[group if len(recipes) == 1 else f"{recipe}: {group}"] = values
    return common


def _multiplied(request: CompareRequest, arm: Arm, builds: bool) -> Arm:
    """Return the arm with its factors turned into settings."""
    if not arm.times:
        return arm
    mapping = to_mapping(arm_config(request, request.whole_plan, arm, builds=builds))
    settings = dict(arm.settings)
    for key, factor in arm.times:
        group, name = key.split(".", 1)
        value = mapping[group][name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(
                f"'times' of the arm '{arm.name}' multiplies '{key}', which is not a number.", got=value
            )
        settings[key] = max(1, round(value * factor)) if isinstance(value, int) else value * factor
    return replace(arm, settings=tuple(settings.items()))


class _AnyFolder(dict[str, str]):
    """Stand for the folder of every stage, where only the other settings are checked."""

    def __missing__(self, name: str) -> str:
        return f"the run of {name}"
