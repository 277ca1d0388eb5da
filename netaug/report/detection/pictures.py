"""Draw boxes on images: on a picture of its own for `netaug predict`, and as SVG in a detector's page."""

from __future__ import annotations

import base64
import colorsys
import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from netaug.report.detection.examples import Mark

Color = tuple[int, int, int]
_TURN = 0.381966  # of the color circle from class to class: the golden angle, so that no two are close
_SIDE = 560  # pixels of the longer side in the page
_QUALITY = 78
_FEW = 6  # boxes of a kind up to which each has its name written beside it


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


def picture(pixels_CHW: Tensor, marks: Sequence[Mark], description: str) -> Markup:
    """Return the image, scaled down, with its boxes.

    Args:
        pixels_CHW: uint8, as large as the file that the boxes are in pixels of.
        marks: The boxes; the last lies on top.
        description: What the picture shows, for those who do not see it.
    """
    height, width = pixels_CHW.shape[-2:]
    kinds = Counter(mark.kind for mark in marks)
    size = max(width, height) / 34
    boxes = Markup("").join(_box(mark, size, named=kinds[mark.kind] <= _FEW) for mark in marks)
    return Markup(
        '<svg class="picture" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<image href="data:image/jpeg;base64,{data}" width="{w}" height="{h}"/>{boxes}</svg>'
    ).format(w=width, h=height, label=description, data=_jpeg(pixels_CHW), boxes=boxes)


def _box(mark: Mark, size: float, *, named: bool) -> Markup:
    left, top, right, bottom = mark.box
    text = Markup('<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}">{text}</text>').format(
        x=left, y=top - size / 4 if top > 1.3 * size else top + size, size=size, text=mark.text
    )
    return Markup(
        '<g class="{kind}"><title>{text}</title>'
        '<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/>{name}</g>'
    ).format(
        kind=mark.kind,
        text=mark.text,
        x=left,
        y=top,
        w=max(0.0, right - left),
        h=max(0.0, bottom - top),
        name=text if named else "",
    )


def _jpeg(pixels_CHW: Tensor) -> str:
    pixels_HWC = pixels_CHW.permute(1, 2, 0).contiguous().cpu().numpy()
    # Pillow takes no array with a last axis of one channel
    image = Image.fromarray(pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC).convert("RGB")
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
