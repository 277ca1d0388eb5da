"""A few steps in every number format, memory format and way to run a step, beside the same steps in float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.cases import images, labels, require_same, state_of, supernet_of
from benchmarks.gpu.parts import Figures, NotPossible, Setting, require
from netaug import Supernet
from netaug.core.device import set_up
from netaug.core.errors import TrainingError
from netaug.train.compile import check_compiler, compile_base
from netaug.train.optim import make_optimizer
from netaug.train.updates import Amp, Updates

FIRST_STEP = {"bf16": 0.03, "fp16": 0.01, "float32": 2e-3}
"""Relative tolerance of the first step's loss, before rounding has changed any weight. GPUs compute convolutions in
float32 with ten bits of mantissa (TF32), so that another order of sums shows in the third digit."""
ALL_STEPS = 0.2
"""Relative tolerance of the mean loss of all steps: trainings in other formats drift apart."""


@dataclass
class Training:
    """The base pass's loss of every step, and the network afterwards."""

    losses: list[float]
    supernet: Supernet
    widths: set[tuple[int, ...]]


def train(
    setting: Setting,
    *,
    amp: Amp = "off",
    memory_format: torch.memory_format = torch.contiguous_format,
    prepare: Callable[[Supernet], None] | None = None,
    **settings: Any,
) -> Training:
    """Take a few NetAug steps on one batch."""
    _, supernet = supernet_of(setting, **settings)
    supernet.to(memory_format=memory_format)
    if prepare is not None:
        prepare(supernet)
    count, steps = (8, 6) if setting.small else (64, 20)
    x, y = images(setting, count).contiguous(memory_format=memory_format), labels(setting, count)
    optimizer = make_optimizer(supernet.parameters(), lr=0.02, momentum=0.9, weight_decay=4e-5)
    updates = Updates(optimizer, setting.device, amp, None)
    losses: list[Tensor] = []
    widths = set()
    for step in range(steps):
        updates.zero_grad()
        for pass_ in supernet.passes(step, 0.0):
            with updates.precision():
                loss = F.cross_entropy(supernet(x), y)
            updates.backward(pass_.weight * loss)
            if pass_.name == "base":
                losses.append(loss.detach())
            else:
                widths.add(tuple(pass_.widths.values()))
        updates.apply()
    return Training(torch.stack(losses).tolist(), supernet, widths)


def _compared(training: Training, reference: Training, tolerance: float) -> Figures:
    """Check that the losses are finite, fall, and are those of the reference within the tolerances."""
    losses, expected = training.losses, reference.losses
    require(all(map(math.isfinite, losses)), f"losses are not finite: {losses}")
    require(losses[-1] < losses[0], f"the loss does not fall: {losses[0]:.4g} to {losses[-1]:.4g}")
    first = abs(losses[0] - expected[0]) / expected[0]
    mean = abs(sum(losses) - sum(expected)) / sum(expected)
    require(first <= tolerance, f"the first loss is {first:.2g} from float32's, more than {tolerance:g}")
    require(mean <= ALL_STEPS, f"the mean loss is {mean:.2g} from float32's, more than {ALL_STEPS:g}")
    return {"first loss": losses[0], "last": losses[-1], "first off by": first, "mean off by": mean}


def amp(setting: Setting, kind: Amp) -> Figures:
    """Train in half precision; ``fp16`` with a scaled loss. Weights stay float32."""
    if setting.is_cuda and kind == "bf16" and not torch.cuda.is_bf16_supported():
        raise NotPossible("this GPU has no bf16")
    training = train(setting, amp=kind)
    dtypes = {tensor.dtype for tensor in training.supernet.parameters()}
    require(dtypes == {torch.float32}, f"weights are {dtypes}")
    return _compared(training, train(setting), FIRST_STEP[kind])


bf16, fp16 = partial(amp, kind="bf16"), partial(amp, kind="fp16")


def channels_last(setting: Setting) -> Figures:
    """Train in the channels_last memory format."""
    training = train(setting, memory_format=torch.channels_last)
    return _compared(training, train(setting), FIRST_STEP["float32"])


def compiled(setting: Setting) -> Figures:
    """Train with a compiled base pass; the CPU checks the graph alone, as a compiler for it takes half a minute."""
    backend = "inductor" if setting.is_cuda else "aot_eager"
    if setting.is_cuda:
        try:
            check_compiler(setting.device)
        except TrainingError as error:
            raise NotPossible(f"torch.compile does not work here: {error.got}") from error
    torch._dynamo.reset()
    training = train(setting, prepare=lambda supernet: compile_base(supernet.base, backend=backend))
    return _compared(training, train(setting), FIRST_STEP["float32"])


def deterministic(setting: Setting) -> Figures:
    """Check that two trainings with deterministic algorithms are equal to the bit."""
    set_up(setting.device, None, deterministic=True)
    first, second = train(setting), train(setting)
    require(first.losses == second.losses, f"losses differ: {first.losses} and {second.losses}")
    require_same(state_of(first.supernet), state_of(second.supernet), "values of two trainings")
    return {"steps": float(len(first.losses)), "last loss": first.losses[-1]}


def from_stage(setting: Setting) -> Figures:
    """Compare steps that compute the part before a stage once with steps that compute it in each pass."""
    stage = "stages.1" if setting.small else "stages.3"

    def alone(supernet: Supernet) -> None:
        supernet._prefix = None

    training = train(setting, from_stage=stage)
    require(training.supernet.shares_prefix, f"the part before {stage} is not shared")
    return _compared(training, train(setting, prepare=alone, from_stage=stage), FIRST_STEP["float32"])


def palette(setting: Setting) -> Figures:
    """Check that the steps draw from the palette, and learn."""
    size = 3
    training = train(setting, palette=size)
    require(
        1 < len(training.widths) <= size,
        f"{len(training.widths)} different networks came out of a palette of {size}",
    )
    return {"networks": float(len(training.widths)), **_compared(training, training, 0.0)}
