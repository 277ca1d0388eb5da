"""Functions of one int8 value as tables of 256 outputs, in the integer steps of TFLite's reference kernels."""

from __future__ import annotations

import math

import numpy as np

from netaug.export.fixed_point import (
    Integers,
    activation_bounds,
    high_multiply,
    multiply,
    quantize_multiplier,
    rounding_shift,
)
from netaug.export.graph import Activation
from netaug.export.int8 import Int8Array, TensorInt8

_INPUTS = np.arange(-128, 128, dtype=np.int64)
_ONE = 2**31 - 1
"""The largest value below 1 with 31 bits behind the point, gemmlowp's one."""


def relu_table(source: TensorInt8, target: TensorInt8) -> Int8Array:
    """Return the table of ``max(x, 0)``, with the change from one scale and zero point to another."""
    value, shift = quantize_multiplier(float(np.float32(source.scale) / np.float32(target.scale)))
    outputs = multiply(_INPUTS - source.zero_point, value, shift) + target.zero_point
    low, high = activation_bounds(Activation.RELU, target.scale, target.zero_point)
    return np.clip(outputs, low, high).astype(np.int8)


def hard_swish_table(source: TensorInt8, target: TensorInt8) -> Int8Array:
    """Return the table of ``x * relu6(x + 3) / 6``, in 16-bit fixed point as the kernel HARD_SWISH has it."""
    fine_scale = np.float32(1 / 128) * np.float32(source.scale)
    output_value, output_shift = _sixteen_bit(float(fine_scale / np.float32(target.scale)))
    gate_value, gate_shift = _sixteen_bit(float(fine_scale / np.float32(np.float32(3) / np.float32(32768))))
    fine = (_INPUTS - source.zero_point) << 7
    scaled = high_multiply(fine, output_value, bits=16)
    gate = fine
    if gate_shift > 0:
        gate = _saturated(gate << (gate_shift - 1))
    gate = high_multiply(gate, gate_value, bits=16)
    if gate_shift > 0:
        gate = _saturated(gate << 1)
    elif gate_shift < 0:
        gate = rounding_shift(gate, -gate_shift)
    gate = (gate + (1 << 15)) >> 1  # from [-1, 1] to [0, 1]
    # Truncated, not rounded: this cancels the upward bias of the two rounded products above.
    product = gate * scaled
    before_shift = np.minimum(np.sign(product) * (np.abs(product) >> 15), 2**15 - 1)
    outputs = rounding_shift(before_shift, -output_shift) + target.zero_point
    return np.clip(outputs, -128, 127).astype(np.int8)


def gelu_table(source: TensorInt8, target: TensorInt8, *, approximate: bool = False) -> Int8Array:
    """Return the table of ``x / 2 * (1 + erf(x / sqrt(2)))``, rounded from float32 as LiteRT's kernel GELU has it.

    Args:
        source: The input.
        target: The output.
        approximate: Whether ``tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))`` takes the place of erf.
    """
    reals = (np.float32(source.scale) * (_INPUTS - source.zero_point).astype(np.float32)).astype(np.float32)
    if approximate:
        cubes = np.float32(0.044715) * reals * reals * reals
        step = np.tanh(np.float32(math.sqrt(2 / math.pi)) * (reals + cubes))
    else:
        errors = (math.erf(value) for value in (reals * np.float32(math.sqrt(0.5))).tolist())
        step = np.fromiter(errors, np.float32)
    outputs = np.float32(0.5) * reals * (np.float32(1) + step) * (np.float32(1) / np.float32(target.scale))
    rounded = np.sign(outputs) * np.floor(np.abs(outputs) + np.float32(0.5))  # halves away from zero
    table: Int8Array = np.clip(rounded + target.zero_point, -128, 127).astype(np.int8)
    return table


def rsqrt_table(source: TensorInt8, target: TensorInt8) -> Int8Array:
    """Return the table of ``1 / sqrt(x)`` as the kernel RSQRT has it; zero and what is below it give the largest."""
    real = np.float32(math.sqrt(np.float32(source.scale))) * np.float32(target.scale)
    value, shift = quantize_multiplier(1.0 / float(real))
    table = []
    for integer in _INPUTS.tolist():
        root, root_shift = _inverse_root(max(integer - source.zero_point, 1))
        fine = multiply(np.array(1), root, root_shift + 20)  # 20 bits behind the point until the last step
        output = int(multiply(fine, value, shift - 20)) + target.zero_point
        table.append(127 if integer <= source.zero_point else min(max(output, -128), 127))
    return np.array(table, np.int8)


def _inverse_root(x: int) -> tuple[int, int]:
    """Return ``1 / sqrt(x)`` of an integer as a multiplier: five steps of Newton with 28 bits behind the point."""
    if x == 1:
        return _ONE, 0
    pairs = (31 - x.bit_length()) // 2 - 1
    shift = 11 - pairs
    half = rounding_shift(np.array((x << 2 * pairs) >> 1), 1)
    root: Integers = np.array(1 << 28)
    for _ in range(5):
        cube = _saturated_shift(high_multiply(high_multiply(root, root), root), 6)
        root = _saturated_shift(high_multiply(root, 3 << 27) - high_multiply(half, cube), 3)
    root = high_multiply(root, 1518500250)  # sqrt(1/2), with 31 bits behind the point
    return (int(root) << -shift, 0) if shift < 0 else (int(root), -shift)


def _sixteen_bit(real: float) -> tuple[int, int]:
    value, shift = quantize_multiplier(real)
    return min((value + (1 << 15)) >> 16, 2**15 - 1), shift


def _saturated(x: Integers) -> Integers:
    result: Integers = np.clip(x, -(2**15), 2**15 - 1)
    return result


def logistic_table(source: TensorInt8) -> Int8Array:
    """Return the table of ``1 / (1 + exp(-x))`` with scale 1/256 and zero point -128, as the kernel LOGISTIC has it.

    The bits are tflite-micro's. LiteRT rounds the float function instead: of 76,800 entries at random scales one was
    different, by one.
    """
    value, shift = quantize_multiplier(source.scale * 2**27)
    radius = math.floor(15 * 2**27 / 2**shift)
    centered = _INPUTS - source.zero_point
    inside = np.clip(centered, -radius + 1, radius - 1)
    quarter_bits = multiply(inside, value, shift)  # 4 bits before the point, 27 behind it
    outputs = rounding_shift(_logistic(quarter_bits), 23) - 128
    outputs = np.where(centered <= -radius, -128, np.where(centered >= radius, 127, outputs))
    return np.clip(outputs, -128, 127).astype(np.int8)


def _logistic(x: Integers) -> Integers:
    """Return the logistic function of numbers with 27 bits behind the point, with 31 bits behind it (gemmlowp)."""
    positive = _one_over_one_plus(_exp_of_negative(-np.abs(x)))
    result: Integers = np.where(x > 0, positive, np.where(x < 0, _ONE - positive, 1 << 30))
    return result


def _one_over_one_plus(x: Integers) -> Integers:
    """Return ``1 / (1 + x)`` for x in [0, 1] by three steps of Newton and Raphson, as gemmlowp has it."""
    half = (x + _ONE + 1) >> 1  # rounded half sum of non-negative numbers
    guess = 1515870810 + high_multiply(
        half, -1010580540
    )  # 48/17 - 32/17 * half, with 29 bits behind the point
    for _ in range(3):
        rest = (1 << 29) - high_multiply(half, guess)
        guess = guess + _saturated_shift(high_multiply(guess, rest), 2)
    return _saturated_shift(guess, 1)


def _exp_of_negative(x: Integers) -> Integers:
    """Return ``exp(x)`` for x <= 0 with 27 bits behind the point: a polynomial times one factor per bit."""
    quarter = 1 << 25
    fraction = (x & (quarter - 1)) - quarter
    result = _exp_between_quarter_and_zero(_saturated_shift(fraction, 4))
    rest = fraction - x
    # exp(-2**k) for k = -2, ..., 3, with 31 bits behind the point
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401)
    for bit, factor in enumerate(factors, start=25):
        result = np.where(rest & (1 << bit), high_multiply(result, factor), result)
    return np.where(x == 0, _ONE, result)


def _exp_between_quarter_and_zero(x: Integers) -> Integers:
    """Return ``exp(x)`` for x in [-1/4, 0) with 31 bits behind the point: a polynomial around -1/8."""
    constant, third = 1895147668, 715827883
    y = x + (1 << 28)
    square = high_multiply(y, y)
    cube, fourth = high_multiply(square, y), high_multiply(square, square)
    tail = high_multiply(rounding_shift(fourth, 2) + cube, third) + square
    return constant + high_multiply(y + rounding_shift(tail, 1), constant)


def _saturated_shift(x: Integers, bits: int) -> Integers:
    result: Integers = np.clip(np.asarray(x, np.int64) << bits, -(2**31), 2**31 - 1)
    return result
