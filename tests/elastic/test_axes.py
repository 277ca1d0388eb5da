"""An axis reads, per group, the base channels and then the first of the added ones; the stored order never moves."""

from __future__ import annotations

import itertools

import pytest
import torch

from netaug.elastic.axes import Axis, Span, added_dims, added_key, added_shape, added_values, join, split

ONE = Axis((Span("a", 1, 3, 5),))
JOINED = Axis((Span("a", 1, 2, 4), Span("kept", 1, 3, 3), Span("b", 2, 1, 3)))
TWICE = Axis((Span("a", 2, 2, 3), Span("b", 1, 2, 2), Span("a", 2, 2, 3), Span("c", 3, 1, 4)))
AXES = pytest.mark.parametrize("axis", [ONE, JOINED, TWICE], ids=["one", "joined", "twice"])
Element = tuple[int, int, int]
"""Number of the span, channel of its group, number of the element in the channel."""


def stored(axis: Axis) -> list[Element]:
    """Each element in stored order: all base channels, then all added ones."""
    ranges = [(range(span.base), range(span.base, span.most)) for span in axis.spans]
    return [
        (number, channel, element)
        for part in (0, 1)
        for number, span in enumerate(axis.spans)
        for channel in ranges[number][part]
        for element in range(span.repeat)
    ]


def read(axis: Axis, widths: dict[str, int]) -> list[Element]:
    """Each element in the order in which the network of these widths has them."""
    return [
        (number, channel, element)
        for number, span in enumerate(axis.spans)
        for channel in range(widths[span.group])
        for element in range(span.repeat)
    ]


def all_widths(axis: Axis) -> list[dict[str, int]]:
    most = {span.group: range(span.base, span.most + 1) for span in axis.spans}
    return [dict(zip(most, chosen, strict=True)) for chosen in itertools.product(*most.values())]


@AXES
def test_pieces_read_every_width_in_the_order_of_the_network(axis: Axis) -> None:
    elements = stored(axis)
    base, added = elements[: axis.base_size], elements[axis.base_size :]
    assert len(all_widths(axis)) > 1
    for widths in all_widths(axis):
        segments = axis.segments(widths)
        found = [
            one
            for segment in segments
            for one in (added if segment.added else base)[segment.start : segment.stop]
        ]
        assert found == read(axis, widths)


@AXES
def test_sizes_are_the_number_of_elements(axis: Axis) -> None:
    narrowest, *_, widest = all_widths(axis)
    assert axis.base_size == len(read(axis, narrowest)) == axis.size({})
    assert axis.base_size + axis.added_size == len(read(axis, widest)) == len(stored(axis))
    for widths in all_widths(axis):
        assert axis.size(widths) == len(read(axis, widths))


@AXES
def test_every_group_that_widens_has_an_added_piece_at_every_width(axis: Axis) -> None:
    """Empty ones too: an added tensor takes part in every augmented pass and gets a gradient."""
    widening = sum(span.most > span.base for span in axis.spans)
    counts = {sum(segment.added for segment in axis.segments(widths)) for widths in all_widths(axis)}
    assert counts == {widening}


@AXES
def test_positions_hold_one_row_per_channel_of_the_group(axis: Axis) -> None:
    elements = stored(axis)
    for group in {span.group for span in axis.spans}:
        spans = [(number, span) for number, span in enumerate(axis.spans) if span.group == group]
        expected = [
            [(number, channel, element) for number, span in spans for element in range(span.repeat)]
            for channel in range(spans[0][1].most)
        ]
        assert [[elements[at] for at in row] for row in axis.positions(group).tolist()] == expected


def test_the_widest_tensor_is_the_base_in_the_corner_and_what_is_added_around_it() -> None:
    """Join and split are inverse; an added tensor is full in later dimensions and base-sized in earlier ones."""
    axes, shape = {0: ONE, 1: Axis((Span("kept", 1, 2, 2),)), 2: JOINED}, (3, 2, 7)
    assert added_dims(axes) == (0, 2)
    shapes = {dim: added_shape(shape, axes, dim) for dim in added_dims(axes)}
    assert shapes == {0: (2, 2, 13), 2: (3, 2, 6)}
    whole = torch.arange(5 * 2 * 13.0).view(5, 2, 13)
    base, added = whole[:3, :, :7], {2: whole[:3, :, 7:], 0: whole[3:]}
    assert torch.equal(join(base, added), whole)
    found, parts = split(whole, base.shape, added_dims(axes))
    assert torch.equal(found, base)
    assert {dim: tuple(part.shape) for dim, part in parts.items()} == shapes
    assert all(torch.equal(part, added[dim]) for dim, part in parts.items())


def test_added_values_are_spread_like_the_base_and_come_from_the_seed_alone() -> None:
    base = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.3 + 2.0
    axes = {0: Axis((Span("a", 1, 200, 20_000),))}
    found = added_values(base, axes, 0, seed=4)
    assert (found.shape, found.dtype) == ((19_800, 3), torch.float64)
    torch.testing.assert_close(found.mean(), base.mean(), rtol=0, atol=5e-3)
    torch.testing.assert_close(found.std(), base.std(correction=0), rtol=1e-2, atol=0)
    reach = base.std(correction=0) * 3**0.5  # a uniform distribution of this deviation ends there
    assert (found - base.mean()).abs().max() <= reach + 1e-6
    torch.rand(1)
    assert torch.equal(found, added_values(base, axes, 0, seed=4))
    assert not torch.equal(found, added_values(base, axes, 0, seed=5))
    keys = {added_key(name, dim) for name in ("a.weight", "a/weight.b", "a.weight.b") for dim in (0, 1)}
    assert len(keys) >= 4
    assert not any("." in key for key in keys), "torch allows no dots in names of parameters"
