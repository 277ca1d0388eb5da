from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from netaug.config import DataConfig
from netaug.data import build_data
from netaug.data.decode.headers import MAX_PIXELS, OversizedImageError, header_size, refuse_oversized
from netaug.data.decode.image import decode_file, read_size

SIDE = 50_000


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(path: Path) -> Path:
    """A whole image of 50,000 x 50,000 gray pixels by its header, in a few bytes."""
    if path.suffix == ".png":
        header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))
        return path
    small = io.BytesIO()
    Image.new("L", (16, 16)).save(small, path.suffix[1:].replace("jpg", "jpeg"))
    content = bytearray(small.getvalue())
    if path.suffix == ".jpg":
        frame = content.index(b"\xff\xc0")
        content[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    else:  # bmp
        content[18:26] = struct.pack("<ii", SIDE, SIDE)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_decompression_bomb_is_refused_before_memory_is_taken(tmp_path: Path, suffix: str):
    path = str(bomb(tmp_path / f"bomb{suffix}"))
    tracemalloc.start()
    for read in (lambda: decode_file(path, 3), lambda: read_size(path)):
        with pytest.raises(OversizedImageError, match=f"'{path}' is too large") as caught:
            read()
        assert ("50,000 x 50,000" if suffix != ".bmp" else "2500000000 pixels") in str(caught.value.got)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_a_bomb_in_a_dataset_is_named_or_left_out(two_classes: Path, cache: str):
    path = bomb(two_classes / "train" / "cat" / "bomb.jpg")

    def images(on_error: str) -> int:
        data = build_data(
            DataConfig("folder", str(two_classes), 8, cache=cache, batch_size=5, on_error=on_error),  # type: ignore[arg-type]
            seed=0,
        )
        return sum(len(batch) for batch in data.train.epoch(0))

    with pytest.raises(OversizedImageError, match=str(path)):
        images("raise")
    assert images("skip") in (9, 10)  # of eleven: one is left over or left out


@pytest.mark.parametrize("height", [1, 255, 256, 700])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(60_000)}])
def test_the_header_says_what_pillow_says(height: int, options: dict[str, object]):
    image = Image.fromarray(np.zeros((height, 33, 3), np.uint8))
    for kind in ("jpeg", "png"):
        file = io.BytesIO()
        image.save(file, kind, **options if kind == "jpeg" else {})
        assert header_size(file.getvalue()) == (height, 33)


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xc0\0\x11"]),
)
def test_no_content_makes_the_header_reader_fail(content: bytes, start: bytes):
    size = header_size(start + content)
    assert size is None or min(size) >= 0


def test_the_limit_itself_is_allowed():
    refuse_oversized("picture.jpg", (1, MAX_PIXELS))
    with pytest.raises(OversizedImageError):
        refuse_oversized("picture.jpg", (1, MAX_PIXELS + 1))
