"""Augmented passes on smaller images: whether the network runs on them, and what it then costs."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from netaug.core.errors import ModelError, ShapeError
from netaug.elastic.dry_run import Rehearsal
from netaug.elastic.passes import smaller
from netaug.elastic.plan import Plan
from netaug.elastic.planner import Planner
from netaug.elastic.settings import AugmentConfig


def with_small_layers(
    plan: Plan, model: nn.Module, example: tuple[Tensor, ...], config: AugmentConfig
) -> Plan:
    """The plan with its layers also counted at ``config.resolution``, after a trial run of the widest network there.

    Args:
        plan: Proven at full size.
        model: Recorded anew: where it pools or pads, its cost is not that at full size times a factor.
        example: At full size.
        config: Holds the resolution.

    Raises:
        ModelError: There are no images among the inputs, or the network does not run on smaller ones.
    """
    shapes = ", ".join(str(list(tensor.shape)) for tensor in example)
    small = tuple(smaller(one, config.resolution) if _is_images(one) else one for one in example)
    if all(after is before for after, before in zip(small, example, strict=True)):
        raise ModelError(
            "the augmented pass has a resolution below 1, but no input is a batch of images.",
            got=shapes,
            allowed="a floating-point tensor [N, C, H, W]",
            fix="leave resolution at 1",
        )
    try:
        error = Rehearsal(model, small, config).run(plan, plan.widest).error
        found = None if error else Planner(model, small, config).plan().layers
    except (ModelError, ShapeError) as failed:
        error, found = str(failed.got or failed), None
    if found is None or [one.weight for one in found] != [one.weight for one in plan.layers]:
        sizes = ", ".join(str(list(tensor.shape)) for tensor in small)
        raise ModelError(
            f"the network cannot run its augmented passes at resolution {config.resolution:g}.",
            got=f"images of {sizes} in place of {shapes}: {error or 'other layers run than at full size'}",
            fix="raise resolution; 1 always works",
        )
    return replace(plan, small_layers=found)


def _is_images(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and tensor.is_floating_point()
