"""The kernels a second time, value by value in Python's whole numbers, from TFLite's definitions."""

from __future__ import annotations

import math

import numpy as np

from netaug.export.micro.calls import Scaling


def scaling_of(real: float) -> Scaling:
    """A factor as a 31-bit integer and a power of two."""
    if real == 0:
        return Scaling(0, 0)
    mantissa, exponent = math.frexp(real)
    multiplier = round(mantissa * 2**31)
    if multiplier == 2**31:
        multiplier, exponent = multiplier // 2, exponent + 1
    return Scaling(multiplier, exponent)


def scaled(value: int, scaling: Scaling) -> int:
    """Value * multiplier / 2^31 * 2^shift, rounded twice: the product to nearest, then halves away from zero."""
    left, right = max(scaling.shift, 0), max(-scaling.shift, 0)
    product = (value << left) * scaling.multiplier
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    high = abs(nudged) // 2**31 * (1 if nudged >= 0 else -1)
    if right == 0:
        return high
    return (abs(high) + (1 << (right - 1))) // (1 << right) * (1 if high >= 0 else -1)


def clamp(value: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(bounds[1], value))


def windows(shape_in, shape_out, window):
    """Per output pixel the pixels of its window that exist, with their position in the window."""
    for y in range(shape_out[0]):
        for x in range(shape_out[1]):
            top = y * window.stride_HW[0] - window.padding_top_left[0]
            left = x * window.stride_HW[1] - window.padding_top_left[1]
            yield (
                y,
                x,
                [
                    (i, j, top + i, left + j)
                    for i in range(window.size_HW[0])
                    for j in range(window.size_HW[1])
                    if 0 <= top + i < shape_in[0] and 0 <= left + j < shape_in[1]
                ],
            )


def convolution(source, target, window, values, *, weights, bias, scalings, bounds, depthwise):
    result = np.zeros(target.shape_HWC, np.int8)
    centered = values.astype(int) - source.zero_point
    for y, x, pixels in windows(source.shape_HWC, target.shape_HWC, window):
        for o in range(target.shape_HWC[2]):
            total = int(bias[o])
            for i, j, yy, xx in pixels:
                if depthwise:
                    total += int(centered[yy, xx, o]) * int(weights[i, j, o])
                else:
                    total += int((centered[yy, xx] * weights[o, i, j].astype(int)).sum())
            result[y, x, o] = clamp(scaled(total, scalings[o]) + target.zero_point, bounds)
    return result


def pool(source, target, window, values, bounds, kind):
    result = np.zeros(target.shape_HWC, np.int8)
    for y, x, pixels in windows(source.shape_HWC, target.shape_HWC, window):
        for c in range(target.shape_HWC[2]):
            inside = [int(values[yy, xx, c]) for _, _, yy, xx in pixels]
            total, count = sum(inside), len(inside)
            mean = (abs(total) + count // 2) // count * (1 if total > 0 else -1)
            result[y, x, c] = clamp(max(inside) if kind == "max" else mean, bounds)
    return result


def addition(sources, target, values, *, scalings, bounds):
    left, right = (
        value.astype(int) - source.zero_point for value, source in zip(values, sources, strict=True)
    )
    return np.array(
        [
            clamp(
                scaled(scaled(int(a) << 20, scalings[0]) + scaled(int(b) << 20, scalings[1]), scalings[2])
                + target.zero_point,
                bounds,
            )
            for a, b in zip(left.ravel(), right.ravel(), strict=True)
        ],
        np.int8,
    ).reshape(target.shape_HWC)


def product(sources, target, values, *, scaling, bounds):
    left, right = (
        value.astype(int) - source.zero_point for value, source in zip(values, sources, strict=True)
    )
    return np.array(
        [clamp(scaled(int(v), scaling) + target.zero_point, bounds) for v in (left * right).ravel()], np.int8
    ).reshape(target.shape_HWC)


def mean(source, target, values, scaling):
    totals = (values.astype(int) - source.zero_point).sum((0, 1))
    return np.array(
        [clamp(scaled(int(v), scaling) + target.zero_point, (-128, 127)) for v in totals], np.int8
    ).reshape(target.shape_HWC)
