"""A wide tensor and its gradients are those of slicing and torch.cat, written by hand and left to autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from netaug import AugmentConfig, augment
from netaug.elastic import assembly
from netaug.elastic.assembly import MOST_BLOCKS, assemble
from netaug.elastic.axes import Axis, Span, added_dims, added_shape
from tests import tiny

OUT = Axis((Span("out", 1, 4, 7),))
IN = Axis((Span("in", 1, 3, 5),))
CAT = Axis((Span("left", 1, 2, 4), Span("kept", 1, 3, 3), Span("right", 2, 1, 3)))
MANY = Axis(tuple(Span(f"g{number}", 1, 1, 3) for number in range(MOST_BLOCKS)))
CASES: dict[str, tuple[tuple[int, ...], dict[int, Axis]]] = {
    "bias": ((4,), {0: OUT}),
    "linear of a concatenation": ((4, 7), {0: OUT, 1: CAT}),
    "convolution": ((4, 3, 3, 3), {0: OUT, 1: IN}),
    "transposed convolution": ((3, 4, 2, 2), {0: IN, 1: OUT}),
    "more blocks than are copied one by one": ((MOST_BLOCKS, 3), {0: MANY, 1: IN}),
}
BY_CASE = pytest.mark.parametrize("case", CASES)
BY_WIDTH = pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0], ids=["base", "between", "widest"])


def parts_of(shape: tuple[int, ...], axes: dict[int, Axis]) -> tuple[Tensor, dict[int, Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def drawn(size: tuple[int, ...]) -> Tensor:
        return torch.randn(size, dtype=torch.float64, generator=generator).requires_grad_()

    return drawn(shape), {dim: drawn(added_shape(shape, axes, dim)) for dim in added_dims(axes)}


def widths_of(axes: dict[int, Axis], fraction: float) -> dict[str, int]:
    spans = [span for axis in axes.values() for span in axis.spans]
    return {span.group: span.base + int(fraction * (span.most - span.base)) for span in spans}


def assembled(
    base: Tensor, added: dict[int, Tensor], axes: dict[int, Axis], widths: dict[str, int]
) -> Tensor:
    return assemble(base, added, {dim: axes[dim].segments(widths) for dim in added_dims(axes)})


def by_hand(base: Tensor, added: dict[int, Tensor], axes: dict[int, Axis], widths: dict[str, int]) -> Tensor:
    """The widest tensor from the last dimension to the first, then what each group has of it, group after group."""
    whole = base
    for dim in sorted(axes, reverse=True):
        whole = torch.cat([whole, added[dim]], dim)
    for dim, axis in axes.items():
        base_at, added_at, slices = 0, base.shape[dim], []
        for span in axis.spans:
            length, more = span.base * span.repeat, (widths[span.group] - span.base) * span.repeat
            slices += [whole.narrow(dim, base_at, length), whole.narrow(dim, added_at, more)]
            base_at, added_at = base_at + length, added_at + (span.most - span.base) * span.repeat
        whole = torch.cat(slices, dim)
    return whole


@BY_WIDTH
@BY_CASE
def test_values_and_gradients_are_those_of_slicing_and_cat(case: str, fraction: float) -> None:
    shape, axes = CASES[case]
    base, added = parts_of(shape, axes)
    widths = widths_of(axes, fraction)
    found, expected = (make(base, added, axes, widths) for make in (assembled, by_hand))
    assert torch.equal(found, expected)
    upstream = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sources = [base, *added.values()]
    gradients = torch.autograd.grad(found, sources, upstream)
    for one, other in zip(gradients, torch.autograd.grad(expected, sources, upstream), strict=True):
        assert torch.equal(one, other)
    if fraction == 0.0:
        assert torch.equal(found, base)
        assert not any(gradient.any() for gradient in gradients[1:]), "zeros, where no channel is read"


def test_gradients_hold_against_finite_differences() -> None:
    shape, axes = CASES["linear of a concatenation"]
    base, added = parts_of(shape, axes)
    widths = widths_of(axes, 0.5)

    def of_parts(base: Tensor, *parts: Tensor) -> Tensor:
        return assembled(base, dict(zip(added, parts, strict=True)), axes, widths).square()

    assert torch.autograd.gradcheck(of_parts, (base, *added.values()))


@BY_CASE
def test_a_frozen_base_gets_no_gradient_and_what_is_added_still_does(case: str) -> None:
    shape, axes = CASES[case]
    base, added = parts_of(shape, axes)
    base.requires_grad_(False)
    assembled(base, added, axes, widths_of(axes, 1.0)).sum().backward()
    assert base.grad is None
    assert all(
        torch.equal(part.grad, torch.ones_like(part)) for part in added.values() if part.grad is not None
    )
    assert all(part.grad is not None for part in added.values())


def test_the_memory_format_of_the_base_is_kept_and_nothing_is_shared_with_it() -> None:
    shape, axes = CASES["convolution"]
    base, added = parts_of(shape, axes)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        laid_out = base.detach().contiguous(memory_format=memory_format)
        wide = assembled(laid_out, added, axes, widths_of(axes, 0.5))
        assert wide.is_contiguous(memory_format=memory_format)
        assert torch.equal(wide, by_hand(base, added, axes, widths_of(axes, 0.5)))
        with torch.no_grad():
            wide.zero_()
        assert torch.equal(laid_out, base)


BY_ROAD = pytest.mark.parametrize("most_blocks", [MOST_BLOCKS, 0], ids=["copied", "gathered"])


@BY_ROAD
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_copied_and_gathered_weights_and_gradients_are_those_by_hand(
    most_blocks: int,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a GPU does (gather and scatter by one index) runs on the CPU too, and gives the same bits."""
    monkeypatch.setattr(assembly, "MOST_BLOCKS", most_blocks)
    shape, axes = CASES["convolution"]
    base, added = parts_of(shape, axes)

    def laid_out(tensor: Tensor) -> Tensor:
        return tensor.detach().to(dtype).contiguous(memory_format=memory_format).requires_grad_()

    base, added = laid_out(base), {dim: laid_out(part) for dim, part in added.items()}
    for fraction in (0.0, 0.5, 1.0):
        widths = widths_of(axes, fraction)
        wide, expected = (make(base, added, axes, widths) for make in (assembled, by_hand))
        assert wide.dtype is dtype
        assert torch.equal(wide, expected)
        upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        sources = [base, *added.values()]
        gradients = torch.autograd.grad(wide, sources, upstream)
        for gradient, reference, source in zip(
            gradients, torch.autograd.grad(expected, sources, upstream), sources, strict=True
        ):
            assert torch.equal(gradient, reference)
            assert gradient.is_contiguous(memory_format=memory_format) or source.numel() == 0


@BY_ROAD
def test_second_derivatives_hold_against_finite_differences(
    most_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradient penalties and sharpness-aware methods differentiate a gradient."""
    monkeypatch.setattr(assembly, "MOST_BLOCKS", most_blocks)
    shape, axes = CASES["bias"]
    base, added = parts_of(shape, axes)
    widths = widths_of(axes, 0.5)

    def cubes(base: Tensor, part: Tensor) -> Tensor:
        return assembled(base, {0: part}, axes, widths).pow(3)

    assert torch.autograd.gradgradcheck(cubes, (base, added[0]))


@BY_ROAD
@pytest.mark.parametrize("name", sorted(tiny.NETWORKS))
def test_a_step_of_a_network_gives_the_same_bits_on_both_roads(
    name: str, most_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gradients() -> dict[str, Tensor]:
        supernet = augment(tiny.build(name), tiny.images(), AugmentConfig(width=(1.0, 1.5, 2.0)))
        for step in range(3):
            for pass_ in supernet.passes(step, 0.0):
                (pass_.weight * supernet(tiny.images()).square().mean()).backward()
        return {key: tensor.grad for key, tensor in supernet.named_parameters() if tensor.grad is not None}

    expected = gradients()
    monkeypatch.setattr(assembly, "MOST_BLOCKS", most_blocks)
    for key, gradient in gradients().items():
        assert torch.equal(gradient, expected.pop(key)), key
    assert not expected


@pytest.mark.parametrize("name", sorted(tiny.NETWORKS))
def test_gradients_added_at_once_are_those_that_autograd_adds_one_by_one(name: str) -> None:
    def gradients(*, at_once: bool, wide_first: bool) -> dict[str, Tensor]:
        config = AugmentConfig(width=(1.0, 1.5, 2.0), draws=2)
        supernet = augment(tiny.build(name), tiny.images(), config)
        if at_once:
            supernet.accumulate_at_once()
        for step in range(2):
            for pass_ in supernet.passes(step, 0.0, wide_first=wide_first):
                (pass_.weight * supernet(tiny.images()).square().mean()).backward()
        return {key: tensor.grad for key, tensor in supernet.named_parameters() if tensor.grad is not None}

    for wide_first in (False, True):
        expected = gradients(at_once=False, wide_first=wide_first)
        for key, gradient in gradients(at_once=True, wide_first=wide_first).items():
            assert torch.equal(gradient, expected.pop(key)), key
        assert not expected


def test_a_frozen_layer_computes_no_gradient_of_its_wide_weight() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig())
    for name, parameter in supernet.named_parameters():
        parameter.requires_grad_("classifier" in name)
    supernet.use_widest()
    wide = supernet.wide_tensors()
    assert {name for name, tensor in wide.items() if tensor.requires_grad} == {
        name for name in wide if "classifier" in name
    }


def test_a_copy_of_a_supernet_keeps_its_own_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept index arrays belong to the widths of one supernet; a copy of it makes the same wide weights."""
    import copy

    monkeypatch.setattr(assembly, "MOST_BLOCKS", 0)
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig())
    supernet.use_widest()
    expected = {name: tensor.detach().clone() for name, tensor in supernet.wide_tensors().items()}
    twin = copy.deepcopy(supernet)
    for network in (twin, supernet):
        for step in range(3):
            network.use(network.sample(step))
            network.wide_tensors()
        network.use_widest()
        for name, tensor in network.wide_tensors().items():
            assert torch.equal(tensor, expected[name])
