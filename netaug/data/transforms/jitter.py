"""Brightness and saturation of one image, changed in one pass over its pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in the grey image; torchvision's."""


Scratch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]


def scratch_for(chans: int, height: int, width: int) -> Scratch:
    """Memory that :func:`jitter_colors` works in, to be used again for the next image."""
    shape = (height, width)
    return np.empty((chans, *shape), np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)


def jitter_colors(
    image_CHW: npt.NDArray[np.uint8],
    out_CHW: npt.NDArray[np.uint8],
    scratch: Scratch,
    *,
    brightness: float,
    saturation: float,
    saturation_first: bool,
) -> None:
    """Multiply all values by ``brightness``, and their distance from grey by ``saturation``; write the result.

    Both are limited to 0..255, as one after the other would be, but rounded once: torchvision's two steps each cut off
    decimals. NumPy's single operations give the same bits on every machine and for any number of threads.

    Args:
        image_CHW: C is 1 or 3; one channel has no saturation.
        out_CHW: Where the result goes, same shape; may be the image itself.
        scratch: From :func:`scratch_for` of this shape; new memory for each image would take longer than the sums.
        brightness: Factor, at least 0.
        saturation: 0 gives grey, 1 leaves the image.
        saturation_first: Which of the two is done first; they differ where values reach 255.
    """
    values, grey_HW, part_HW = scratch
    np.copyto(values, image_CHW)
    if not saturation_first and brightness > 1:
        np.clip(values, 0, np.float32(255 / brightness), out=values)
    highest = 255 * min(1.0, brightness) if saturation_first else 255.0
    if len(values) == 1:
        values *= np.float32(brightness)
        values += np.float32(0.5)
    else:
        share = brightness * (1 - saturation)
        np.multiply(values[0], np.float32(share * _GREY[0]), out=grey_HW)
        grey_HW += np.multiply(values[1], np.float32(share * _GREY[1]), out=part_HW)
        grey_HW += np.multiply(values[2], np.float32(share * _GREY[2]), out=part_HW)
        grey_HW += np.float32(0.5)
        values *= np.float32(brightness * saturation)
        values += grey_HW
    np.clip(values, 0, np.float32(highest + 0.5), out=values)
    np.copyto(out_CHW, values, casting="unsafe")  # cuts off decimals: rounds, by the half added above
