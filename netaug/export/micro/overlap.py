"""How far an output must start before the input that it slides over: a kernel has read a byte before it writes there.

The generated kernels walk over output pixels row by row. After the write of an element they only read at or behind some
address of the input, which grows from pixel to pixel; the output may follow it as closely as the largest difference
allows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

IN_PLACE = 0
"""Element-wise kernels read an element, then write it at the same place."""


def window_distance(
    input_HWC: Sequence[int],
    output_HWC: Sequence[int],
    *,
    stride_HW: Sequence[int] = (1, 1),
    padding_HW: Sequence[int] = (0, 0),
    per_channel: bool = False,
) -> int:
    """Return the distance in bytes for a kernel that reads a window of pixels per output pixel.

    Args:
        input_HWC: Height, width and channels of the int8 input.
        output_HWC: Of the output.
        stride_HW: Pixels from one window to the next.
        padding_HW: Rows above and columns left of the first pixel that the first window covers.
        per_channel: Whether channel c of the output reads channel c of the input only, as depthwise ones and pools do.
    """
    _, width, channels_in = input_HWC
    rows, columns, channels_out = output_HWC
    row = np.maximum(np.arange(rows, dtype=np.int64) * stride_HW[0] - padding_HW[0], 0)
    column = np.maximum(np.arange(columns, dtype=np.int64) * stride_HW[1] - padding_HW[1], 0)
    return _distance((row[:, None] * width + column).ravel() * channels_in, channels_out, per_channel)


def resize_distance(input_HWC: Sequence[int], factor: int) -> int:
    """Return the distance in bytes for nearest-neighbor enlargement by a whole factor."""
    rows, columns, channels = input_HWC
    row = np.arange(rows * factor, dtype=np.int64) // factor
    column = np.arange(columns * factor, dtype=np.int64) // factor
    return _distance((row[:, None] * columns + column).ravel() * channels, channels, per_channel=True)


def _distance(window_starts: np.typing.NDArray[np.int64], channels: int, per_channel: bool) -> int:
    """Return the distance from the first address that each output pixel reads.

    While pixel p is written, its own window is read again for each further channel, from its first byte on, or with
    ``per_channel`` from the byte of the next channel on. After its last channel only later windows are read.
    """
    future_reads = np.minimum.accumulate(window_starts[::-1])[::-1]
    written = np.arange(len(window_starts), dtype=np.int64) * channels
    within = written - future_reads + (0 if per_channel else channels - 1)
    after = written[1:] - future_reads[1:]
    return max(int(within.max()) if channels > 1 else 0, int(after.max(initial=0)), 0)
