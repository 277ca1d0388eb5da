"""Embed pictures in a page as data, so that it needs no other file."""

from __future__ import annotations

import base64
import io

from markupsafe import Markup
from PIL import Image
from torch import Tensor

_QUALITY = 78
_EXACT = 64
"""Longer side in pixels up to which a picture is kept to the bit: JPEG would blur what little there is."""


def data_uri(pixels_CHW: Tensor, side: int) -> str:
    """Return an image as a ``data:`` address, scaled down where it is larger.

    Args:
        pixels_CHW: uint8, one or three channels.
        side: Most pixels of the longer side.
    """
    pixels_HWC = pixels_CHW.permute(1, 2, 0).contiguous().cpu().numpy()
    # Pillow takes no array with a last axis of one channel
    image = Image.fromarray(pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC).convert("RGB")
    image.thumbnail((side, side))
    exact = max(image.size) <= _EXACT
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if exact else "JPEG", quality=_QUALITY)  # PNG ignores it
    kind = "png" if exact else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def thumbnail(pixels_CHW: Tensor, side: int, description: str) -> Markup:
    """Return an ``<img>`` element; a small picture is enlarged in whole pixels.

    Args:
        pixels_CHW: uint8, one or three channels.
        side: Most pixels of the longer side.
        description: What it shows, for those who do not see it.
    """
    small = max(pixels_CHW.shape[-2:]) <= _EXACT
    return Markup('<img class="picture{small}" alt="{alt}" src="{data}">').format(
        small=" pixels" if small else "", alt=description, data=data_uri(pixels_CHW, side)
    )
