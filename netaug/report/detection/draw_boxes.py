"""Draw the boxes of a detector's page as SVG."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup
from PIL import Image
from torch import Tensor

from netaug.report.detection.examples import Mark

_SIDE = 560  # pixels of the longer side in the page
_QUALITY = 78
_FEW = 6  # boxes of a kind up to which each has its name written beside it


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
