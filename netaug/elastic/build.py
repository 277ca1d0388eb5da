"""Build the supernet of a model: record its graph, plan what widens, prove the plan by running it.

Besides those that ``keep`` names, a group freezes for one of three reasons, kept for ``netaug inspect``: an operation
of the graph cannot pass its channels on, a wider network fails on the shapes, or it computes other values in the base
channels. A group that froze stays frozen, so the search for a plan ends.

With ``resolution`` below 1 a dry run of base and widest network at that size, and a check that no convolution
strides over a single pixel, come before training. The graph is recorded a second time at that size, so that
its MACs are counted as they are: padded odd maps make them differ from those at full size times a factor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from netaug.core.errors import ConfigError, ModelError, ShapeError, UnsupportedModelError
from netaug.core.modules import copied
from netaug.elastic.dry_run import DryRun, Outcome
from netaug.elastic.neutral import kept_generators
from netaug.elastic.passes import smaller
from netaug.elastic.plan import Plan
from netaug.elastic.planner import Follower, Planner
from netaug.elastic.preconditions import check_preconditions
from netaug.elastic.proof import Proof
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.supernet import Supernet


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
    """Build a supernet as :func:`augment` does, also if nothing widens: its groups then say why."""
    config = config or AugmentConfig()
    example = example_input if isinstance(example_input, tuple) else (example_input,)
    check_preconditions(model, example)
    with kept_generators():
        proof = Proof(model, example, config)  # first, as it knows better why a network cannot be recorded
        plan = _proven_plan(Planner(model, example, config), DryRun(model, example, config), proof)
        if config.resolution < 1.0:
            plan = with_small_layers(plan, model, example, config)
    supernet = Supernet(copied(model), plan, config)
    supernet.training = model.training  # the copy of the model has its modes already
    return supernet


def _proven_plan(planner: Planner, dry_run: DryRun, proof: Proof) -> Plan:
    """Return a plan that holds: where a run fails, attributes follow the widths if that helps, else groups freeze."""
    frozen: dict[str, str] = {}
    followed: tuple[Follower, ...] = ()
    hopeless: set[str] = set()  # modules, numbers aside, in which following attributes does not help
    while True:
        plan = planner.plan(frozen, followed)
        trial, outcome = _first_failure(plan, dry_run, proof)
        if outcome.error is None:
            return plan
        if not plan.widest:
            raise UnsupportedModelError(
                "the network fails though nothing in it is wider: two runs of it differ.", got=outcome.error
            )
        pattern = re.sub(r"\d+", "*", outcome.module)  # blocks of one kind fail for one reason
        more = None
        if pattern not in hopeless:
            more = _followed_further(planner, trial, frozen, followed, outcome)
        if more is None:
            hopeless.add(pattern)
            frozen.update(_broken_groups(planner, trial, plan, outcome))
        else:
            followed = more


class _TrialRun(NamedTuple):
    """Describes a run that a plan has to pass at these widths: of shapes alone, or of values."""

    runner: DryRun | Proof
    widths: Mapping[str, int]

    def of(self, plan: Plan, widths: Mapping[str, int] | None = None) -> Outcome:
        """Run a plan at these widths, or others; groups that the plan freezes are left out."""
        given, free = self.widths if widths is None else widths, plan.base_widths
        return self.runner.run(plan, {name: width for name, width in given.items() if name in free})


def _first_failure(plan: Plan, dry_run: DryRun, proof: Proof) -> tuple[_TrialRun, Outcome]:
    """Return the first run that fails, else the last: shapes of the widest network, then values of several networks."""
    # Shapes come first: they need no values, and a network with wrong shapes has none to compare.
    trials = [_TrialRun(dry_run, plan.widest), *(_TrialRun(proof, widths) for widths in proof.widths(plan))]
    for trial in trials:
        outcome = trial.of(plan)
        if outcome.error is not None:
            break
    return trial, outcome


def _followed_further(
    planner: Planner,
    trial: _TrialRun,
    frozen: Mapping[str, str],
    followed: tuple[Follower, ...],
    before: Outcome,
) -> tuple[Follower, ...] | None:
    """Return the attributes to follow with those added that let the network run furthest; None if none help."""
    best, reached = None, before.operations  # the only measure of progress in code that is not ours
    for more in planner.followers():
        if not set(more) <= set(followed):
            outcome = trial.of(planner.plan(frozen, (*followed, *more)))
            if outcome.error is None:
                return (*followed, *more)
            if outcome.operations > reached:
                best, reached = (*followed, *more), outcome.operations
    return best


def _broken_groups(planner: Planner, trial: _TrialRun, plan: Plan, outcome: Outcome) -> dict[str, str]:
    """Find the groups near the failure that make the network fail even if nothing else widens, each with the error."""
    base, wide = plan.base_widths, trial.widths
    near = [name for name in planner.groups_of(outcome.module) if wide.get(name, 0) > base.get(name, 0)]
    # The module that fails may only have received what another one made wrong.
    for suspects in (near, [name for name in wide if wide[name] > base[name]]):
        alone = {name: trial.of(plan, {name: wide[name]}) for name in suspects}
        broken = {name: run.reason for name, run in alone.items() if run.error is not None}
        if broken:
            return broken
    if isinstance(trial.runner, Proof):
        return dict.fromkeys(_fewest(trial, plan, near), outcome.reason)
    return dict.fromkeys(near or wide, f"the network fails when everything widens: {outcome.error}")


def _fewest(trial: _TrialRun, plan: Plan, near: list[str]) -> list[str]:
    """Return a set of groups, near ones if possible, that fails and fails no more without any one of them."""
    kept = dict(trial.widths)
    # Far groups are left out first, so that what stays is near the failure if it can be.
    for name in [*(name for name in trial.widths if name not in near), *near]:
        fewer = {other: width for other, width in kept.items() if other != name}
        if trial.of(plan, fewer).error is not None:
            kept = fewer
    return list(kept)


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


def with_small_layers(
    plan: Plan, model: nn.Module, example: tuple[Tensor, ...], config: AugmentConfig
) -> Plan:
    """Return the plan with its layers also counted at ``config.resolution``, where the widest network is run once.

    Args:
        plan: Proven at full size.
        model: Recorded again: where it pools or pads, its cost is not that at full size times a factor.
        example: At full size.
        config: Holds the resolution.

    Raises:
        ModelError: There are no images among the inputs, or the network does not run on smaller ones.
    """
    shapes = ", ".join(str(list(tensor.shape)) for tensor in example)
    small = tuple(smaller(tensor, config.resolution) if _is_images(tensor) else tensor for tensor in example)
    if all(after is before for after, before in zip(small, example, strict=True)):
        raise ModelError(
            "the augmented pass has a resolution below 1, but no input is a batch of images.",
            got=shapes,
            allowed="a floating-point tensor [N, C, H, W]",
            fix="leave resolution at 1",
        )
    try:
        error = DryRun(model, small, config).run(plan, plan.widest).error
        layers = None if error else Planner(model, small, config).plan().layers
    except (ModelError, ShapeError) as failed:
        error, layers = str(failed.got or failed), None
    if layers is None or [layer.weight for layer in layers] != [layer.weight for layer in plan.layers]:
        sizes = ", ".join(str(list(tensor.shape)) for tensor in small)
        raise ModelError(
            f"the network cannot run its augmented passes at resolution {config.resolution:g}.",
            got=f"images of {sizes} in place of {shapes}: {error or 'other layers run than at full size'}",
            fix="raise resolution; 1 always works",
        )
    return replace(plan, small_layers=layers)


def _is_images(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and tensor.is_floating_point()
