"""Measure one classifier: does it widen, how much of it, and is all of it exact."""

from __future__ import annotations

import copy
import resource
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.coverage.catalogue import Entry, build, image_shape, macs_by_module
from benchmarks.coverage.causes import frozen_causes, widened_macs
from netaug import AugmentConfig, Supernet, augment
from netaug.core.errors import UnsupportedModelError
from netaug.elastic.build import plan_supernet

SIZES = (64, 96, 128, 160, 192, 224, 256)
"""Pixels of the inputs that are tried, smallest first; the model's own size is last."""
BATCH, FEWER, LARGE = 4, 2, 192
"""Images in a batch; fewer if they have this many pixels or more."""
DROP = 0.1
"""Rate of dropout and drop path, where a model of timm takes one: what is drawn has to agree as well."""

WEIGHT_DRAWS = 4
"""In one of so many draws of weights each added parameter has to get a gradient."""


@dataclass
class Record:
    """Hold the results of one model; a line of the cache.

    Args:
        name: ``timm:NAME`` or ``torchvision:NAME``.
        size: Height = width in pixels of the images it was checked on.
        seconds: Processor time of :func:`netaug.augment`.
        widened: Part of the MACs at the default input in layers that widen, in [0, 1].
        growth: MACs of the widest network / MACs of the base network.
        held: Part of those MACs by what holds it at base width.
        groups_wide: Number of groups that widen.
        groups_frozen: Number of groups that do not.
        causes: Frozen groups by cause.
        exact_base: Whether a base pass is the model, to the bit.
        exact_extract: Whether extracted networks are the supernet, to the bit.
        gradients: Whether every added parameter gets a gradient that is not all zero.
        notes: What went wrong in a check, one line each.
        error: Why nothing could be checked, else empty.
        mib: Most memory the worker held, in MiB.
        total: Processor time of everything, in seconds.
        code: Commit of the project.
    """

    name: str
    size: int = 0
    seconds: float = 0.0
    widened: float = 0.0
    growth: float = 1.0
    held: dict[str, float] = field(default_factory=dict)
    groups_wide: int = 0
    groups_frozen: int = 0
    causes: dict[str, int] = field(default_factory=dict)
    exact_base: bool = False
    exact_extract: bool = False
    gradients: bool = False
    notes: list[str] = field(default_factory=list)
    error: str = ""
    mib: int = 0
    total: float = 0.0
    code: str = ""

    @property
    def exact(self) -> bool:
        """Whether it was checked and every promise holds."""
        return self.exact_base and self.exact_extract and self.gradients


def probe(entry: Entry) -> Record:
    """Augment one classifier and check it; never raises."""
    record, start = Record(entry.name), time.process_time()
    try:
        _fill(record, entry)
    except Exception as error:
        record.error = f"{type(error).__name__}: {_first_line(error)}"
    record.total = round(time.process_time() - start, 1)
    record.mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return record


def _fill(record: Record, entry: Entry) -> None:
    torch.manual_seed(0)
    model = build(entry.name, drop=DROP).train()
    revive(model)
    channels, own_size = image_shape(model)
    record.size = smallest_size(model, channels, own_size)
    images = images_of(channels, record.size)
    start = time.process_time()
    try:
        supernet = augment(model, images, AugmentConfig())
    except UnsupportedModelError as error:
        record.error = f"{type(error).__name__}: {_first_line(error)}"
        if "can be widened" not in str(error):
            return
        supernet = plan_supernet(model, images, AugmentConfig())
    record.seconds = round(time.process_time() - start, 2)
    groups = supernet.groups.values()
    record.groups_wide = sum(group.most > group.base for group in groups)
    record.groups_frozen = len(supernet.groups) - record.groups_wide
    record.causes = frozen_causes(supernet)
    record.widened, record.held = widened_macs(supernet, macs_by_module(model, channels, own_size))
    record.growth = round(supernet.macs(supernet.plan.widest) / max(supernet.macs(), 1), 2)
    if record.groups_wide:
        check(record, model, supernet, images)


def check(record: Record, model: nn.Module, supernet: Supernet, images: Tensor) -> None:
    """Test all promises; each that does not hold is noted by itself."""
    for name, promise in (
        ("gradients", gradients_reach_all_that_is_added),
        ("exact_base", base_is_the_model),
        ("exact_extract", extracted_is_the_supernet),
    ):
        try:
            problem = promise(model, supernet, images)
        except Exception as error:
            problem = f"{type(error).__name__}: {_first_line(error)}"
        setattr(record, name, not problem)
        if problem:
            record.notes.append(f"{name}: {problem}")


def revive(model: nn.Module) -> None:
    """Give parameters that start at zero random values: a zero would hide every fault behind it."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and not parameter.any():
                parameter.normal_(0.0, 0.1)


def images_of(channels: int, size: int) -> Tensor:
    """Return a batch of noise, always the same."""
    batch = BATCH if size < LARGE else FEWER
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1))


def smallest_size(model: nn.Module, channels: int, own_size: int) -> int:
    """Return the least of the usual sizes that the model runs on, forward and in both modes, else its own."""
    for size in sorted({size for size in SIZES if size < own_size}):
        network = copy.deepcopy(model)
        try:
            with torch.no_grad():
                for training in (True, False):
                    network.train(training)(images_of(channels, size))
        except Exception:  # whatever a model does with a size it is not made for
            continue
        return size
    return own_size


def gradients_reach_all_that_is_added(model: nn.Module, supernet: Supernet, images: Tensor) -> str:
    """Return which added parameters the widest network does not train; one behind a dead rectifier has a retry."""
    network = copy.deepcopy(supernet).train()
    network.use_widest()
    dead = {
        name for name, parameter in network.added.items() if parameter.requires_grad and parameter.numel()
    }
    generator = torch.Generator().manual_seed(4)
    for _ in range(WEIGHT_DRAWS):
        network.zero_grad()
        _run(network, images)[1].backward()
        missing = [name for name in dead if network.added[name].grad is None]
        if missing:
            return f"{len(missing)} of {len(network.added)} get none, first {missing[0]}"
        dead = {name for name in dead if not network.added[name].grad.nan_to_num(0, 0, 0).any()}
        if not dead:
            return ""
        _shake(network, generator)
    return f"{len(dead)} of {len(network.added)} get zeros, first {min(dead)}"


def _shake(network: nn.Module, generator: torch.Generator) -> None:
    """Perturb every parameter by as much as its values differ."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.is_floating_point() and parameter.numel() > 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * parameter.std())


def base_is_the_model(model: nn.Module, supernet: Supernet, images: Tensor) -> str:
    """Return how a base pass, after augmented passes with frozen weights, differs from the model; empty if not."""
    network = copy.deepcopy(supernet).train()
    for step in range(2):
        for pass_ in network.passes(step, 0.0):
            if pass_.name == "augmented":
                _run(network, images)[1].backward()
    network.zero_grad()
    twin = copy.deepcopy(model).train()
    (outputs, loss), (expected, expected_loss) = _run(network, images), _run(twin, images)
    loss.backward()
    expected_loss.backward()
    if not _same(outputs, expected):
        return "outputs differ"
    for name, parameter in twin.named_parameters():
        if not _same_or_none(network.base.get_parameter(name).grad, parameter.grad):
            return f"the gradient of {name} differs"
    for name, buffer in twin.named_buffers():
        if not _same([network.base.get_buffer(name)], [buffer]):
            return f"the buffer {name} differs"
    return ""


def extracted_is_the_supernet(model: nn.Module, supernet: Supernet, images: Tensor) -> str:
    """Return how extracted networks differ: base in both modes, two draws and the widest on batch statistics."""
    network = copy.deepcopy(supernet)
    if list(network.extract().state_dict()) != list(model.state_dict()):
        return "the extracted network has other keys"
    for training in (False, True):
        plain = network.extract().train(training)
        expected = _outputs(copy.deepcopy(network).train(training), images)
        if not _same(_outputs(plain, images), expected):
            return f"base differs in {'training' if training else 'evaluation'} mode"
    for widths_name, widths in (
        ("a draw", network.sample(1)),
        ("another draw", network.sample(2)),
        ("the widest", network.plan.widest),
    ):
        plain = network.extract(widths).train()
        with network.at(widths):
            expected = _outputs(network.train(), images)
            if not _same(_outputs(plain, images), expected):
                return f"{widths_name} differs, {_how_far(plain, network, images)}"
    return ""


def _how_far(plain: nn.Module, network: nn.Module, images: Tensor) -> str:
    """Return how large a difference is, and whether it is there too while gradients are recorded.

    To torch a matrix product is another one if its weight needs no gradient (`should_fold` in LinearAlgebra.cpp),
    and the supernet's wide weights, which are computed, need none while none are recorded.
    """
    pairs = list(zip(_outputs(plain, images), _outputs(network, images), strict=True))
    if any(first.shape != second.shape for first, second in pairs):
        return "in shape"
    largest = max(float((first - second).abs().max() / second.abs().max()) for first, second in pairs)
    same = _same(_run(plain, images)[0], _run(network, images)[0])
    return (
        f"by {largest:.0e} of the largest output; {'exact' if same else 'also'} while gradients are recorded"
    )


def _run(network: nn.Module, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return outputs with dropout keyed, and a scalar of which each output's gradient is another number."""
    torch.manual_seed(2)
    outputs = _leaves(network(images))
    generator = torch.Generator().manual_seed(3)
    loss = sum((out * torch.randn(out.shape, generator=generator)).sum() for out in outputs)
    assert isinstance(loss, Tensor)
    return outputs, loss


def _outputs(network: nn.Module, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return _run(network, images)[0]


def _leaves(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def _same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def _same_or_none(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.equal(first, second)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0][:300]
