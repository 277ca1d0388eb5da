"""The fixed-point arithmetic is what gemmlowp and TFLite publish, on all pairs of edge values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netaug.export.fixed_point import (
    activation_bounds,
    high_multiply,
    multiply,
    quantize_multiplier,
    rounding_shift,
)
from netaug.export.graph import Activation

EDGES_32 = [
    value + off
    for power in (0, 1, 14, 15, 29, 30, 31)
    for value in (2**power, -(2**power))
    for off in (-1, 0, 1)
]
EDGES_32 = sorted({0, 12345, -54321, *(value for value in EDGES_32 if -(2**31) <= value < 2**31)})
EDGES_16 = [value for value in EDGES_32 if -(2**15) <= value < 2**15]


def published_high_multiply(a: int, b: int, bits: int) -> int:
    """Gemmlowp's SaturatingRoundingDoublingHighMul: a nudge, then C's division, which truncates."""
    smallest = -(2 ** (bits - 1))
    if a == b == smallest:
        return -smallest - 1
    product = a * b
    nudge = 2 ** (bits - 2) if product >= 0 else 1 - 2 ** (bits - 2)
    total = product + nudge
    return abs(total) // 2 ** (bits - 1) * (1 if total >= 0 else -1)


def published_rounding_shift(x: int, exponent: int) -> int:
    """Gemmlowp's RoundingDivideByPOT."""
    mask = 2**exponent - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


@pytest.mark.parametrize(("bits", "edges"), [(32, EDGES_32), (16, EDGES_16)])
def test_high_multiplication_of_all_pairs_of_edges(bits: int, edges: list[int]) -> None:
    a, b = (np.array(side) for side in zip(*itertools.product(edges, repeat=2), strict=True))
    expected = [published_high_multiply(int(x), int(y), bits) for x, y in zip(a, b, strict=True)]
    assert high_multiply(a, b, bits=bits).tolist() == expected
    assert len(expected) > 100


def test_rounding_shifts_of_all_edges() -> None:
    for exponent in range(32):
        expected = [published_rounding_shift(value, exponent) for value in EDGES_32]
        assert rounding_shift(np.array(EDGES_32), exponent).tolist() == expected


def test_halves_are_rounded_away_from_zero() -> None:
    assert rounding_shift(np.array([-6, -5, -3, -2, 2, 3, 5, 6]), 2).tolist() == [-2, -1, -1, -1, 1, 1, 1, 2]


@given(st.floats(1e-9, 1e6))
def test_a_multiplier_is_the_number_it_stands_for(real: float) -> None:
    value, shift = quantize_multiplier(real)
    assert 2**30 <= value < 2**31 or real < 2**-31
    assert value * 2.0 ** (shift - 31) == pytest.approx(real, rel=2**-30)


def test_multipliers_at_the_edges() -> None:
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(1.0) == (2**30, 1)
    assert quantize_multiplier(1 - 2**-40) == (
        2**30,
        1,
    )  # rounds up to 2**31, which needs another power of two
    assert quantize_multiplier(2**-33) == (0, 0)


@given(st.integers(-(2**27), 2**27), st.floats(2**-20, 7.9))
def test_a_product_is_rounded_to_the_nearest_integer(x: int, real: float) -> None:
    (product,) = multiply(np.array([x]), *quantize_multiplier(real)).tolist()
    # Two roundings: at most half an integer each, and the multiplier has 30 bits.
    assert abs(product - x * real) <= 1 + abs(x * real) * 2**-29


def test_bounds_of_activations() -> None:
    assert activation_bounds(Activation.NONE, 0.1, 5) == (-128, 127)
    assert activation_bounds(Activation.RELU, 0.1, 5) == (5, 127)
    assert activation_bounds(Activation.RELU6, 0.1, -100) == (-100, -40)
    assert activation_bounds(Activation.UNIT, 1 / 255, -128) == (-128, 127)
