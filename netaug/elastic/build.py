"""From a model to its supernet: trace, plan, prove the plan by running it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netaug.elastic.planner import Planner
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.supernet import Supernet
from netaug.elastic.trace import first_line
from netaug.errors import UnsupportedModelError


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
        ModelError: The model does not run on the example.
        UnsupportedModelError: The model cannot be recorded, or nothing in it can be widened.

    Source:
        Cai et al. 2022, Network Augmentation for Tiny Deep Learning, arXiv:2110.08890.
    """
    supernet = plan_supernet(model, example_input, config)
    _refuse_if_nothing_widens(supernet, model)
    return supernet


def plan_supernet(
    model: nn.Module, example_input: Tensor | tuple[Tensor, ...], config: AugmentConfig | None = None
) -> Supernet:
    """The same as :func:`augment`, also if nothing widens: its groups then say why."""
    config = config or AugmentConfig()
    example = example_input if isinstance(example_input, tuple) else (example_input,)
    planner = Planner(model, example, config)
    frozen: dict[str, str] = {}
    while True:
        supernet = Supernet(copy.deepcopy(model), planner.plan(frozen), config)
        broken = _broken_groups(supernet, example)
        if not broken:
            break
        frozen.update(broken)
    supernet.training = model.training
    return supernet


def _broken_groups(supernet: Supernet, example: tuple[Tensor, ...]) -> dict[str, str]:
    """Run the widest network; if it fails, find the groups that make it fail, each with the error."""
    error = _trial(supernet, supernet.plan.widest, example)
    if error is None:
        return {}
    base, most = supernet.plan.base_widths, supernet.plan.widest
    broken = {}
    for name in most:
        alone = _trial(supernet, {**base, name: most[name]}, example)
        if alone is not None:
            broken[name] = f"the network fails when it widens: {alone}"
    return broken or dict.fromkeys(most, f"the network fails when everything widens: {error}")


def _trial(supernet: Supernet, widths: Mapping[str, int], example: tuple[Tensor, ...]) -> str | None:
    """Run these widths in training mode; the error's first line, or None if all is well."""
    inputs = tuple(torch.cat([tensor, tensor]) if len(tensor) == 1 else tensor for tensor in example)
    modes = {module: module.training for module in supernet.modules()}
    buffers = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    try:
        with torch.no_grad(), torch.random.fork_rng(), supernet.at(widths):
            supernet.train()
            shapes = _shapes(supernet(*inputs))
            supernet.base.eval()
            supernet.use_base()
            expected = _shapes(supernet(*inputs))
            if shapes != expected:
                return f"the output's shape changes from {expected} to {shapes}"
    except Exception as error:
        return f"{type(error).__name__}: {first_line(error)}"
    finally:
        for module, training in modes.items():
            module.training = training
        for name, buffer in buffers.items():
            supernet.get_buffer(name).copy_(buffer)
    return None


def _shapes(outputs: Any) -> list[tuple[int, ...]]:
    leaves = torch.utils._pytree.tree_leaves(outputs)
    return [tuple(leaf.shape) for leaf in leaves if isinstance(leaf, Tensor)]


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
