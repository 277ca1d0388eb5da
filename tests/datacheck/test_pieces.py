"""The pieces of a check: the end of a JPEG, digests, groups of equal images, what limits."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from netaug.datacheck.look import digest, is_cut_off
from netaug.datacheck.scan import equal_groups
from netaug.datacheck.speed import Speed
from tests.datacheck.kit import jpeg, picture


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"quality": 100}]
)
def test_a_jpeg_is_cut_off_wherever_its_end_is_missing(options: dict[str, object]) -> None:
    content = jpeg(0, **options)
    assert not is_cut_off(content)
    assert not is_cut_off(content + bytes(100)), "rubbish behind the end harms nobody"
    assert all(is_cut_off(content[:end]) for end in range(3, len(content) - 1))


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image() -> None:
    inner = jpeg(1)
    segment = b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner
    content = b"\xff\xd8" + segment + jpeg(0)[2:]
    assert Image.open(io.BytesIO(content)).size == (24, 24)
    assert not is_cut_off(content)
    assert is_cut_off(content[:-2])


def test_other_files_are_not_cut_off_jpegs() -> None:
    file = io.BytesIO()
    picture(0).save(file, "PNG")
    assert not is_cut_off(file.getvalue()[:50])
    assert not is_cut_off(b"")


def test_a_digest_is_of_shape_and_pixels_not_of_memory_layout() -> None:
    pixels = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    assert digest(pixels) == digest(pixels.contiguous(memory_format=torch.contiguous_format).clone())
    assert digest(pixels) == digest(pixels.permute(1, 2, 0).contiguous().permute(2, 0, 1))
    assert digest(pixels) != digest(pixels.transpose(1, 2))
    other = pixels.clone()
    other[0, 7, 7] ^= 1
    assert digest(other) != digest(pixels)
    assert digest(torch.zeros(3, 10, 40, dtype=torch.uint8)) != digest(
        torch.zeros(3, 40, 10, dtype=torch.uint8)
    )


def test_groups_are_of_images_that_are_equal_not_of_equal_digests() -> None:
    images = [torch.tensor([value]) for value in (5, 7, 5, 8, 7, 5, 9)]
    digests = np.array([1, 1, 1, 1, 1, 1, 2], np.uint64)  # all but the last collide
    decoded = np.array([1, 1, 1, 1, 1, 0, 1], bool)
    assert list(equal_groups(digests, decoded, images.__getitem__)) == [[0, 2], [1, 4]]
    assert list(equal_groups(digests, np.zeros(7, bool), images.__getitem__)) == []


def test_what_limits_is_said_with_the_workers_that_would_be_needed() -> None:
    def speed(base: float, netaug: float) -> Speed:
        return Speed(
            176, "imagenet", delivered=100, cores=4, model="m", device="cuda", base=base, netaug=netaug
        )

    assert "the network limits" in speed(150, 50).verdict()
    assert "2 without NetAug, 1 with it" in speed(150, 50).verdict()
    assert "the input limits: 4 cores" in speed(9000, 1000).verdict()
    assert "11 with it" in speed(9000, 1000).verdict()
