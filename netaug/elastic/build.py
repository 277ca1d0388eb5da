"""From a model to its supernet: trace, plan, prove the plan by running it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from netaug.elastic.copying import copied
from netaug.elastic.plan import Plan
from netaug.elastic.planner import Follower, Planner
from netaug.elastic.rehearsal import Outcome, Rehearsal
from netaug.elastic.resolution import with_small_layers
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.supernet import Supernet
from netaug.errors import ConfigError, UnsupportedModelError


def augment(
    model: nn.Module,
    example_input: Tensor | tuple[Tensor, ...],
    config: AugmentConfig | None = None,
) -> Supernet:
    """Build the supernet of a model; the model itself is left untouched.

    Args:
        model: Any network whose operations ``torch.export`` can record.
        example_input: A batch as in training (two examples or more), or a tuple for several inputs.
        config: What to widen and how far; the paper's settings by default.

    Raises:
        ModelError: The model does not run on the example, or not at ``config.resolution``.
        UnsupportedModelError: The model cannot be recorded, or nothing in it can be widened.
        ConfigError: A setting has no effect on this model.

    Source:
        Cai et al. 2022, Network Augmentation for Tiny Deep Learning, arXiv:2110.08890.
    """
    supernet = plan_supernet(model, example_input, config)
    _refuse_if_nothing_widens(supernet, model)
    if supernet.config.batch_norm == "shared" and not supernet.plan.statistics:
        raise ConfigError(
            f"batch_norm shared has no effect: no layer of {type(model).__name__} keeps running statistics.",
            got="shared",
            fix="leave batch_norm out",
        )
    return supernet


def plan_supernet(
    model: nn.Module, example_input: Tensor | tuple[Tensor, ...], config: AugmentConfig | None = None
) -> Supernet:
    """The same as :func:`augment`, also if nothing widens: its groups then say why."""
    config = config or AugmentConfig()
    example = example_input if isinstance(example_input, tuple) else (example_input,)
    plan = _proven_plan(Planner(model, example, config), Rehearsal(model, example, config))
    if config.resolution < 1.0:
        plan = with_small_layers(plan, model, example, config)
    supernet = Supernet(copied(model), plan, config)
    supernet.training = model.training
    return supernet


def _proven_plan(planner: Planner, rehearsal: Rehearsal) -> Plan:
    """A plan whose widest network runs: attributes follow the widths if that gets it further, else groups freeze."""
    frozen: dict[str, str] = {}
    followed: tuple[Follower, ...] = ()
    in_vain: set[str] = set()
    while True:
        plan = planner.plan(frozen, followed)
        outcome = rehearsal.run(plan, plan.widest)
        if outcome.error is None:
            return plan
        if not plan.widest:
            raise UnsupportedModelError(
                "the network fails though nothing in it is wider: two runs of it differ.", got=outcome.error
            )
        place = re.sub(r"\d+", "*", outcome.module)  # blocks of one kind fail for one reason
        more = None
        if place not in in_vain:
            more = _followed_further(planner, rehearsal, frozen, followed, outcome)
        if more is None:
            in_vain.add(place)
            frozen.update(_broken_groups(planner, rehearsal, plan, outcome))
        else:
            followed = more


def _followed_further(
    planner: Planner,
    rehearsal: Rehearsal,
    frozen: Mapping[str, str],
    followed: tuple[Follower, ...],
    before: Outcome,
) -> tuple[Follower, ...] | None:
    """The attributes followed, and those further ones with which the widest network runs furthest, if any help."""
    best, reached = None, before.operations
    for more in planner.followers():
        if not set(more) <= set(followed):
            plan = planner.plan(frozen, (*followed, *more))
            outcome = rehearsal.run(plan, plan.widest)
            if outcome.error is None:
                return (*followed, *more)
            if outcome.operations > reached:
                best, reached = (*followed, *more), outcome.operations
    return best


def _broken_groups(planner: Planner, rehearsal: Rehearsal, plan: Plan, outcome: Outcome) -> dict[str, str]:
    """The groups near the failure with which the network fails also if nothing else widens, each with the error."""
    base, most = plan.base_widths, plan.widest
    near = [name for name in planner.groups_of(outcome.module) if most.get(name, 0) > base.get(name, 0)]
    for suspects in (near, list(most)):
        broken = {}
        for name in suspects:
            alone = rehearsal.run(plan, {**base, name: most[name]})
            if alone.error is not None:
                broken[name] = f"the network fails when it widens: {alone.error}"
        if broken:
            return broken
    reason = f"the network fails when everything widens: {outcome.error}"
    return dict.fromkeys(near or most, reason)


def _refuse_if_nothing_widens(supernet: Supernet, model: nn.Module) -> None:
    groups = supernet.plan.groups.values()
    if any(group.most > group.base for group in groups):
        return
    free = [group.name for group in groups if group.role != "frozen"]
    if free:
        got = f"the multipliers leave every width as it is, in all {len(free)} groups that could widen"
    else:
        reasons = [f"'{group.name}': {group.reason}" for group in groups] or ["there are no dense layers"]
        got = f"all {len(groups)} width groups are frozen, first reason: {reasons[0]}"
    raise UnsupportedModelError(
        f"nothing in '{type(model).__name__}' can be widened.",
        got=got,
        fix="see every reason with `netaug inspect`; check `keep` and the lists of multipliers",
    )
