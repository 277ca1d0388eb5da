"""A folder dataset with one image of every kind that a check remarks on."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 24


def picture(number: int, mode: str = "RGB", side: int = SIDE) -> Image.Image:
    """Noise, other for each number."""
    shape = (side, side, 3)
    noise = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def jpeg(number: int, **options: object) -> bytes:
    file = io.BytesIO()
    picture(number).save(file, "JPEG", **options)
    return file.getvalue()


def huge_png() -> bytes:
    """A file of under a hundred bytes whose header says 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def sound(root: Path) -> Path:
    """Eight training and four evaluation images of two classes, all different."""
    for number, (split, name) in enumerate(
        (split, name)
        for split, count in (("train", 4), ("val", 2))
        for name in ("cat", "dog")
        for _ in range(count)
    ):
        folder = root / split / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02d}.jpg").write_bytes(jpeg(number))
    return root


def motley(root: Path) -> Path:
    """The sound one with files of every kind added; their names are those of their kinds."""
    cat, dog, val = (sound(root) / place for place in ("train/cat", "train/dog", "val/cat"))
    thumbnail = Image.Exif()
    thumbnail[0x0112] = 6
    whole = jpeg(100, exif=thumbnail)
    (cat / "rotated.jpg").write_bytes(whole)
    (cat / "truncated.jpg").write_bytes(jpeg(101)[:-300])
    (cat / "truncated_end.jpg").write_bytes(jpeg(102)[:-2])
    (cat / "not_image.jpg").write_bytes(b"<html>404</html>")
    (cat / "not_image_empty.png").write_bytes(b"")
    (cat / "oversized.png").write_bytes(huge_png())
    png = io.BytesIO()
    picture(103).save(png, "PNG")
    (cat / "corrupt.png").write_bytes(png.getvalue()[:700] + bytes(40) + png.getvalue()[740:])
    picture(104, "CMYK").save(cat / "cmyk.jpg")
    picture(105, "L").save(cat / "grey.jpg")
    deep = np.random.default_rng(0).integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)
    Image.fromarray(deep).save(cat / "sixteen_bit.png")
    (cat / "unused.txt").write_text("notes")
    (val / "leaked.jpg").write_bytes((cat / "00.jpg").read_bytes())
    picture(106).save(cat / "contradictory.png")
    picture(106).save(dog / "contradictory.bmp")
    (dog / "repeated.jpg").write_bytes((dog / "05.jpg").read_bytes())
    return root
