"""Draw boxes with their names onto pictures."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Color = tuple[int, int, int]
_TURN = 0.381966  # of the color circle from class to class: the golden angle, so that no two are close


def class_color(label: int) -> Color:
    """Return the color of a class, the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb((0.58 + label * _TURN) % 1, 0.75, (0.95, 0.75)[label // 8 % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def text_color(background: Color) -> Color:
    """Return black or white, whichever can be read on a color."""
    red, green, blue = background
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def draw_boxes(
    pixels_CHW: Tensor, boxes_K4: npt.NDArray[np.float64], labels: Sequence[int], texts: Sequence[str]
) -> Image.Image:
    """Draw boxes with their names onto a copy of an image.

    Args:
        pixels_CHW: uint8, 1 or 3 channels.
        boxes_K4: Corners in pixels; the last is drawn first, so that the first lies on top.
        labels: Class of each box, for its color.
        texts: What is written at each box.
    """
    pixels_HWC = pixels_CHW.permute(1, 2, 0).contiguous().cpu().numpy()
    picture = Image.fromarray(pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC).convert("RGB")
    draw = ImageDraw.Draw(picture)
    side = max(picture.size)
    line, font = max(1, round(side / 320)), ImageFont.load_default(max(11, round(side / 42)))
    shown = [
        (box, text, class_color(label))
        for box, label, text in zip(boxes_K4.tolist(), labels, texts, strict=True)
    ]
    for box, _, color in reversed(shown):
        draw.rectangle(_whole(box), outline=color, width=line)
    for box, text, color in reversed(shown):  # over all lines, so that none crosses a name
        _write(draw, picture.size, box, text, color, font)
    return picture


def _whole(box: Sequence[float]) -> tuple[int, int, int, int]:
    """Return the pixels that a box ends on; edges that are the same pixel stay a line."""
    left, top = int(box[0]), int(box[1])
    return left, top, max(left, round(box[2]) - 1), max(top, round(box[3]) - 1)


def _write(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: Sequence[float],
    text: str,
    color: Color,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Write the text on a plate above the box; inside it where there is no room, never beyond the picture."""
    _, top, width, bottom = draw.textbbox((0, 0), text, font=font)
    height = bottom - top + 4
    x = max(0, min(int(box[0]), size[0] - int(width) - 4))
    y = int(box[1]) - height if box[1] >= height else max(0, min(int(box[1]), size[1] - int(height)))
    draw.rectangle((x, y, x + width + 3, y + height - 1), fill=color)
    draw.text((x + 2, y + 2 - top), text, fill=text_color(color), font=font)
