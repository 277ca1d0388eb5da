"""Sizes of images from their headers, so that a small file that unfolds to gigabytes is refused beforehand."""

from __future__ import annotations

from netaug.core.errors import DataError

MAX_PIXELS = 89_478_485
"""Most pixels (height x width) of an image that is decoded: 256 MiB in color, the size Pillow warns from."""

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8"
_FILL, _LONE = 0xFF, {0x01, *range(0xD0, 0xDA)}  # markers without a length behind them
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers that start a JPEG's frame, which tells its size."""

_SCAN, _END = 0xDA, 0xD9


class OversizedImageError(DataError):
    """An image has more than :data:`MAX_PIXELS` pixels; it was not decoded."""


def header_size(content: bytes | bytearray | memoryview) -> tuple[int, int] | None:
    """Read height and width in pixels from the first bytes of a JPEG or PNG file.

    Args:
        content: The file, or enough of its start.

    Returns:
        Height and width; None if it is another kind of file, or its header is damaged or beyond ``content``.

    Source:
        PNG: IHDR comes first (W3C PNG 5.6). JPEG: the first start-of-frame segment (ITU T.81, B.2.2).
    """
    start = bytes(content[:8])
    if start == _PNG_START and bytes(content[12:16]) == b"IHDR" and len(content) >= 24:
        return _number(content, 20, 4), _number(content, 16, 4)
    return _jpeg_size(content) if start[:2] == _JPEG_START else None


def refuse_oversized(path: str, size_HW: tuple[int, int]) -> None:
    """Check an image's size before memory is taken for its pixels.

    Args:
        path: The file, for the message.
        size_HW: Height and width in pixels.

    Raises:
        OversizedImageError: It has more than :data:`MAX_PIXELS` pixels; names the file and its size.
    """
    height, width = size_HW
    if height * width > MAX_PIXELS:
        raise oversized(path, f"{width:,} x {height:,} pixels, {3 * height * width / 2**30:.1f} GiB in color")


def oversized(path: str, got: str) -> OversizedImageError:
    """Return the error for an image that is too large."""
    return OversizedImageError(
        f"the image '{path}' is too large: it was not decoded.",
        got=got,
        allowed=f"at most {MAX_PIXELS:,} pixels, width times height",
        fix="scale it down or delete it; `--data.on_error skip` leaves such files of a dataset out",
    )


def _jpeg_size(content: bytes | bytearray | memoryview) -> tuple[int, int] | None:
    """Walk the segments to the first frame header, past whatever lies between them, as decoders do."""
    position, end = 2, len(content)
    while position + 1 < end:
        if content[position] != _FILL or content[position + 1] in (_FILL, 0):
            position += 1
            continue
        marker = content[position + 1]
        position += 2
        if marker in _LONE:
            if marker == _END:
                return None
            continue
        if marker == _SCAN or position + 2 > end:
            return None
        if marker in FRAMES:
            return (
                (_number(content, position + 3, 2), _number(content, position + 5, 2))
                if position + 7 <= end
                else None
            )
        position += max(_number(content, position, 2), 2)
    return None


def _number(content: bytes | bytearray | memoryview, start: int, count: int) -> int:
    return int.from_bytes(bytes(content[start : start + count]), "big")
