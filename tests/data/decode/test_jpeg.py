"""Which decoder is installed changes the speed, not the pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from netaug.core.seeding import generator
from netaug.data.decode import jpeg
from netaug.data.decode.image import decode_content

KINDS = [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}, {"quality": 30}, {"mode": "L"}]


def smooth(height: int, width: int) -> np.ndarray:
    """Colors without sharp edges, so that a JPEG of them keeps most."""
    draws = torch.rand(1, 3, 6, 7, generator=generator(0, "smooth"))
    wide = torch.nn.functional.interpolate(draws, (height, width), mode="bicubic")[0]
    return (wide.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()


def encoded(height: int, width: int, *, mode: str = "RGB", **options: Any) -> bytearray:
    file = io.BytesIO()
    Image.fromarray(smooth(height, width)).convert(mode).save(file, "jpeg", **options)
    return bytearray(file.getvalue())


@pytest.mark.parametrize("in_chans", [1, 3])
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("size_HW", [(64, 48), (67, 45)])
def test_all_decoders_give_the_same_bits(
    size_HW: tuple[int, int], kind: dict[str, Any], in_chans: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    content = encoded(*size_HW, **kind)
    whole = jpeg.decode_whole(content, in_chans)
    smaller = [jpeg.decode_smaller(content, in_chans, size_HW, divisor) for divisor in jpeg.DIVISORS]
    assert whole is not None
    mode = ImageReadMode.GRAY if in_chans == 1 else ImageReadMode.RGB
    theirs = decode_jpeg(torch.frombuffer(content, dtype=torch.uint8), mode)
    assert np.array_equal(whole, theirs.permute(1, 2, 0).numpy())
    monkeypatch.setattr(jpeg, "simplejpeg", None)
    assert jpeg.decode_whole(content, in_chans) is None
    assert torch.equal(decode_content(content, "a.jpg", in_chans), theirs)
    for divisor, pixels in zip(jpeg.DIVISORS, smaller, strict=True):
        assert pixels is not None
        assert pixels.shape == (-(-size_HW[0] // divisor), -(-size_HW[1] // divisor), in_chans)
        drafted = jpeg.decode_smaller(content, in_chans, size_HW, divisor)
        assert drafted is not None
        assert np.array_equal(pixels, drafted)


def test_smaller_is_the_mean_of_what_it_covers() -> None:
    """Decoding at a fraction is close to averaging the whole image's pixels."""
    content = encoded(256, 192, quality=95)
    whole = jpeg.decode_smaller(content, 3, (256, 192), 4)
    exact = smooth(256, 192).astype(np.float64).reshape(64, 4, 48, 4, 3).mean((1, 3))
    assert whole is not None
    assert np.abs(whole - exact).mean() < 1.0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
def test_turned_images_are_recognised_and_turned(order: str, orientation: int | None) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
    content = encoded(40, 24, exif=exif)
    assert b"Exif" in content
    assert jpeg.is_plain(content) == (orientation in (None, 1))
    height, width = (24, 40) if orientation == 6 else (40, 24)
    assert decode_content(content, "a.jpg", 3).shape == (3, height, width)


def test_what_is_unclear_is_not_called_plain() -> None:
    content = encoded(40, 24)
    assert jpeg.is_plain(content)
    assert not jpeg.is_plain(content[:12])
    assert not jpeg.is_plain(b"\xff\xd8" + b"rubbish" * 9)
    assert not jpeg.is_plain(b"\xff\xd8\xff\xe1\x00\x20Exif\0\0" + b"?" * 40)
    assert not jpeg.is_plain(b"\xff\xd8\xff\xe1\x00\x20Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\0" * 4)


def test_four_colors_and_damage_are_left_to_others() -> None:
    pytest.importorskip("simplejpeg")
    whole = encoded(40, 24)
    assert jpeg.decode_whole(whole[: len(whole) // 2], 3) is None
    assert jpeg.decode_smaller(whole[: len(whole) // 2], 3, (40, 24), 2) is None
    four = encoded(40, 24, mode="CMYK")
    assert not jpeg.is_plain(four)
    assert decode_content(four, "a.jpg", 3).shape == (3, 40, 24)


def test_the_decoder_has_a_name_and_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "simplejpeg", None)
    assert jpeg.decoder().startswith("torchvision 0.")
