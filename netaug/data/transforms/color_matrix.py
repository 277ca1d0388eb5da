"""Brightness, saturation and hue of one image, changed in one pass over its pixels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

# Red, green and blue to luma and two chromas, rows Y, I, Q (FCC 1953, the analogue NTSC standard).
_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB = np.linalg.inv(_YIQ)


def colour_matrix(brightness: float, saturation: float, hue: float) -> np.ndarray:
    """The 3 x 3 matrix that changes colours (red, green, blue); greys stay grey.

    Args:
        brightness: Factor on all values, at least 0.
        saturation: Factor on the distance from grey; 0 gives grey, 1 leaves it.
        hue: Turn of the colour circle about the axis of greys; 1 is a whole turn.
    """
    angle = 2 * math.pi * hue
    cosine, sine = saturation * math.cos(angle), saturation * math.sin(angle)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix: np.ndarray = brightness * (_RGB @ turn @ _YIQ)
    return matrix


def change_colours(image_CHW: Tensor, matrix: np.ndarray) -> Tensor:
    """Multiply each pixel's colours with a matrix, to the nearest value in 0..255.

    NumPy's single operations give the same bits on every machine and for any number of threads.

    Args:
        image_CHW: uint8, shape ``[3, H, W]``.
        matrix: From :func:`colour_matrix`.
    """
    values = image_CHW.numpy().astype(np.float32)
    out = np.empty(values.shape, np.uint8)
    part = np.empty(values.shape[1:], np.float32)
    for row, weights in enumerate(matrix.astype(np.float32)):
        mixed = values[0] * weights[0]
        mixed += np.multiply(values[1], weights[1], out=part)
        mixed += np.multiply(values[2], weights[2], out=part)
        mixed += np.float32(0.5)
        np.clip(mixed, 0, np.float32(255.5), out=mixed)
        np.copyto(out[row], mixed, casting="unsafe")  # cuts off decimals: rounds, by the half added above
    return torch.from_numpy(out)
