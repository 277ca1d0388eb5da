"""The arena: nothing that is alive is overwritten, nothing is larger than it must be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netaug.export.micro.arena import plan_arena, plan_like_tflite_micro
from netaug.export.micro.lifetimes import Operation, align, buffers_of, overlaps_of
from netaug.export.micro.overlap import IN_PLACE, resize_distance, window_distance


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Operation], dict[str, int]]:
    """Chains whose operations also read an activation further back."""
    count = draw(st.integers(1, 12))
    sizes = {f"t{index}": draw(st.integers(1, 4000)) for index in range(count + 1)}
    operations = []
    for index in range(1, count + 1):
        back = draw(st.integers(0, index - 1))
        inputs = tuple(dict.fromkeys((f"t{index - 1}", f"t{back}")))
        distances = tuple(draw(st.one_of(st.none(), st.integers(0, 500))) for _ in inputs)
        operations.append(Operation(f"layer{index}", inputs, f"t{index}", distances))
    return operations, sizes


@settings(max_examples=150, deadline=None)
@given(networks(), st.booleans())
def test_live_activations_share_bytes_only_where_that_is_allowed(network, overlap) -> None:
    operations, sizes = network
    outputs = [operations[-1].output]
    plan = plan_arena(operations, sizes, ["t0"], outputs, overlap=overlap, moves=5)
    buffers = buffers_of(operations, sizes, ["t0"], outputs)
    allowed = {
        (buffers[pair.before].name, buffers[pair.after].name): pair.distance
        for pair in (overlaps_of(operations, buffers) if overlap else ())
    }
    for pair in itertools.combinations(buffers, 2):
        if pair[0].meets(pair[1]):
            low, high = sorted(pair, key=lambda buffer: plan.offsets[buffer.name])
            gap = plan.offsets[high.name] - plan.offsets[low.name]
            either = [
                allowed.get((high.name, low.name)),
                allowed.get((low.name, high.name)) if not gap else None,
            ]
            assert gap >= min([low.size, *(distance for distance in either if distance is not None)])
    assert plan.size >= plan.lower_bound
    assert all(offset % 16 == 0 for offset in plan.offsets.values())


def _smallest_distance(input_HWC, output_HWC, stride, padding, kernel, per_channel) -> int:
    """The distance by the definition: each write is compared with every read that comes after it."""
    height, width, channels_in = input_HWC
    rows, columns, channels = output_HWC
    reads, writes = [], []
    for y, x, channel in itertools.product(range(rows), range(columns), range(channels)):
        window = [
            (yy * width + xx) * channels_in + (channel if per_channel else 0)
            for yy in range(y * stride - padding, y * stride - padding + kernel)
            for xx in range(x * stride - padding, x * stride - padding + kernel)
            if 0 <= yy < height and 0 <= xx < width
        ]
        reads.append(min(window))
        writes.append((y * columns + x) * channels + channel)
    late = [write + 1 - min(reads[step + 1 :]) for step, write in enumerate(writes[:-1])]
    return max([0, *late])


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (5, 2, 2), (2, 2, 0)]
)
@pytest.mark.parametrize(("channels_in", "channels_out"), [(1, 1), (2, 5), (6, 3)])
def test_the_distance_is_the_smallest_that_is_safe(
    per_channel, kernel, stride, padding, channels_in, channels_out
) -> None:
    if per_channel:
        channels_out = channels_in
    shape_in = (7, 6, channels_in)
    rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in shape_in[:2])
    shape_out = (rows, columns, channels_out)
    distance = window_distance(
        shape_in,
        shape_out,
        stride_HW=(stride, stride),
        padding_HW=(padding, padding),
        per_channel=per_channel,
    )
    assert distance == _smallest_distance(shape_in, shape_out, stride, padding, kernel, per_channel)


def test_an_enlarged_output_ends_over_its_input() -> None:
    assert resize_distance((3, 4, 5), 2) >= 3 * 4 * 5 * 3  # nearly all of the three quarters that are new
    assert resize_distance((3, 4, 5), 1) == IN_PLACE


def test_an_expansion_covers_its_input() -> None:
    """The peak of a MobileNet is the wide activation, no longer the wide one and the one it is made from."""
    sizes = {"in": 8 * 100, "wide": 48 * 100, "narrow": 8 * 100}
    operations = [
        Operation("expand", ("in",), "wide", (window_distance((10, 10, 8), (10, 10, 48)),)),
        Operation("project", ("wide",), "narrow", (window_distance((10, 10, 48), (10, 10, 8)),)),
    ]
    plan = plan_arena(operations, sizes, ["in"], ["narrow"])
    assert plan.lower_bound <= plan.size <= 48 * 100 + 2 * 16
    assert plan.peak == "expand"
    assert plan_arena(operations, sizes, ["in"], ["narrow"], overlap=False).size == 56 * 100


def test_the_same_arena_on_every_machine() -> None:
    rng = np.random.default_rng(0)
    sizes = {f"t{index}": int(size) for index, size in enumerate(rng.integers(1, 9999, 30))}
    operations = [
        Operation(f"layer{index}", (f"t{index - 1}", f"t{max(0, index - 4)}"), f"t{index}")
        for index in range(1, 30)
    ]
    plans = [plan_arena(operations, sizes, ["t0"], ["t29"]) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0].size < sum(sizes.values())


def test_tflite_micro_takes_the_lowest_gap_for_the_largest_first() -> None:
    operations = [Operation("a", ("t0",), "t1"), Operation("b", ("t1",), "t2")]
    buffers = buffers_of(operations, {"t0": 100, "t1": 40, "t2": 90}, ["t0"], ["t2"])
    offsets, head = plan_like_tflite_micro(buffers)
    assert offsets == [0, align(100), 0]
    assert head == align(100) + align(40)
