"""Crops of pictures: as those of the whole image, or scaled down while decoding if they are large enough."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from netaug.core.errors import DataError
from netaug.data.decode import picture as pictures
from netaug.data.decode.image import decode_content
from netaug.data.decode.picture import Box, Pixels, PlainJpeg, open_picture
from tests.data.decode.test_jpeg import encoded


def test_a_small_crop_is_cut_from_the_whole_image() -> None:
    content = encoded(90, 120)
    picture, box = open_picture(content, "a.jpg", 3), Box(11, 20, 63, 70)
    assert isinstance(picture, PlainJpeg)
    assert picture.size == (90, 120)
    expected = decode_content(content, "a.jpg", 3)[:, 11:74, 20:90]
    assert torch.equal(picture.crop(box, 32), expected)


@pytest.mark.parametrize(
    ("side", "divisor"), [(102, 1), (101, 2), (51, 2), (50, 4), (26, 4), (25, 8), (2, 8)]
)
def test_the_largest_divisor_that_leaves_enough_pixels_is_taken(side: int, divisor: int) -> None:
    picture = open_picture(encoded(301, 277), "a.jpg", 3)
    box = Box(53, 27, 203, 217)
    cropped_CHW = picture.crop(box, side)
    for found, whole in zip(cropped_CHW.shape[1:], (203, 217), strict=True):
        assert found >= min(side, whole)
        assert abs(found - whole / divisor) <= 1


def test_scaling_while_decoding_hardly_changes_the_resized_crop() -> None:
    """Against the same rectangle decoded in full: the mean difference is below one of 255 levels."""
    content = encoded(400, 320, quality=92)
    box = Box(24, 16, 344, 296)
    scaled = open_picture(content, "a.jpg", 3).crop(box, 40)
    assert max(scaled.shape) == 344 // 4
    whole = Pixels(decode_content(content, "a.jpg", 3)).crop(box, 40)
    small = [
        F.interpolate(image[None], [40, 40], mode="bilinear", antialias=True) for image in (scaled, whole)
    ]
    difference = (small[0].float() - small[1].float()).abs()
    assert not torch.equal(small[0], small[1])
    assert difference.mean() < 1.0


def test_what_cannot_be_scaled_while_decoding_is_decoded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    content, box = encoded(80, 64), Box(0, 0, 80, 64)
    monkeypatch.setattr(pictures, "decode_smaller", lambda *_: None)
    assert torch.equal(open_picture(content, "a.jpg", 3).crop(box, 8), decode_content(content, "a.jpg", 3))


def test_all_but_plain_jpegs_are_decoded_when_opened() -> None:
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "png")
    turned = Image.Exif()
    turned[0x0112] = 6
    for content, size in ((bytearray(file.getvalue()), (20, 30)), (encoded(40, 24, exif=turned), (24, 40))):
        picture = open_picture(content, "a", 3)
        assert isinstance(picture, Pixels)
        assert picture.size == size


def test_a_damaged_jpeg_is_named_when_its_crop_is_asked_for() -> None:
    content = encoded(80, 64)
    for side in (8, 64):
        with pytest.raises(DataError, match=r"folder/broken\.jpg"):
            open_picture(content[: len(content) // 2], "folder/broken.jpg", 3).crop(Box(0, 0, 80, 64), side)
