"""The integer arithmetic of TFLite's reference kernels, on NumPy arrays: doubling high multiplication, rounding shifts.

The rules follow gemmlowp's definitions (``fixedpoint.h``) and TFLite's «double rounding»: a product is first rounded
to 32 bits, then shifted with a second rounding. Kernels compiled with single rounding differ in the last bit.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netaug.export.graph import Activation
from netaug.export.int8 import Multiplier

Integers: TypeAlias = NDArray[np.signedinteger[Any]]


def quantize_multiplier(real: float) -> Multiplier:
    """Return a positive real number as a 31-bit integer and a power of two.

    Args:
        real: The number, >= 0; below 2**-32 it becomes zero.
    """
    if real == 0.0:
        return Multiplier(0, 0)
    fraction, shift = math.frexp(real)
    value = math.floor(fraction * 2**31 + 0.5)  # half away from zero; Python's round takes the even neighbor
    if value == 2**31:
        value, shift = value // 2, shift + 1
    return Multiplier(value, shift) if shift >= -31 else Multiplier(0, 0)


def high_multiply(a: Integers, b: Integers | int, *, bits: int = 32) -> Integers:
    """Return ``a * b / 2**(bits - 1)`` rounded to the nearest, halves upward; the one overflow saturates.

    Args:
        a: Integers that fit ``bits`` bits.
        b: The other factors, broadcast against ``a``.
        bits: 32 or 16.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    # Adding this nudge and truncating toward zero is the published rule; it equals floor(x + 1/2).
    rounded = (product + (1 << (bits - 2))) >> (bits - 1)
    result: Integers = np.minimum(rounded, (1 << (bits - 1)) - 1)
    return result


def rounding_shift(x: Integers, exponent: Integers | int) -> Integers:
    """Return ``x / 2**exponent`` rounded to the nearest, halves away from zero.

    Args:
        x: Integers.
        exponent: In [0, 31], broadcast against ``x``.
    """
    x, exponent = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    result: Integers = (x >> exponent) + ((x & mask) > threshold)
    return result


def multiply(x: Integers, values: Integers | int, shifts: Integers | int) -> Integers:
    """Return ``x * value * 2**(shift - 31)`` as the reference kernels round it: once to 32 bits, once in the shift.

    Args:
        x: int32 accumulators.
        values: Values of `Multiplier`, broadcast against ``x``.
        shifts: Their shifts.
    """
    shifts = np.asarray(shifts, np.int64)
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    shifted = (np.asarray(x, np.int64) << left).astype(np.int32)
    return rounding_shift(high_multiply(shifted, values), right)


def activation_bounds(activation: Activation, scale: float, zero_point: int) -> tuple[int, int]:
    """Return the smallest and largest int8 output of an activation.

    Args:
        activation: What clips the real values.
        scale: Scale of the output.
        zero_point: Zero point of the output.
    """
    low, high = activation.value
    # The kernels divide in float32 and round halves away from zero, so float64 could give another bound.
    lowest = -128 if low == -np.inf else zero_point + _round(np.float32(low) / np.float32(scale))
    highest = 127 if high == np.inf else zero_point + _round(np.float32(high) / np.float32(scale))
    return max(-128, lowest), min(127, highest)


def _round(value: np.float32) -> int:
    return math.floor(float(value) + 0.5)
