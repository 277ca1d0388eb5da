from __future__ import annotations

import numpy as np
import pytest

from netaug.core.seeding import key, uniforms
from netaug.data.transforms.letterbox import Placement, Region, letterbox, place


def there_and_back(placement: Placement, image: tuple[int, int], file: tuple[int, int]) -> float:
    """The largest error in pixels of the file of corners taken to the canvas and, rounded to its pixels, back."""
    frame = placement.frame(image, file)
    corners = np.array([(x, y) for x in (0, 7.25, file[0]) for y in (0, 3.5, file[1])], np.float64)
    back = ((corners * frame[:2] + frame[2:4]) - frame[2:4]) / frame[:2]
    return float(np.abs(back - corners).max())


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (500, 1), (1, 500), (32, 32), (333, 500)])
@pytest.mark.parametrize("side", [96, 256, 608])
def test_letterbox_shows_all_of_an_image_and_goes_back_exactly(size: tuple[int, int], side: int):
    placement = letterbox(*size, side)
    assert placement.source == (0, 0, *size)
    left, top, right, bottom = placement.target
    assert 0 <= left < right <= side
    assert 0 <= top < bottom <= side
    assert max(right - left, bottom - top) == side
    assert abs(left - (side - right)) <= 1
    assert abs(top - (side - bottom)) <= 1
    assert there_and_back(placement, size, size) < 1e-9
    frame = placement.frame(size, size)
    whole = np.array(size) * frame[:2] + frame[2:4]
    assert whole == pytest.approx([right, bottom])


def test_a_placement_is_where_it_was_asked_for_to_a_pixel_and_stays_in_its_region():
    draws = uniforms(key(0, "test"), np.arange(200), 6)
    for width, height, factor, x, y, mirror in draws.tolist():
        size = (1 + int(width * 300), 1 + int(height * 300))
        factor = 0.1 + 3 * factor
        region = Region(10, 20, 110, 84)
        corner = (10 + x * (100 - size[0] * factor), 20 + y * (64 - size[1] * factor))
        placement = place(size, factor, corner, region)
        source, target = placement.source, placement.target
        assert 0 <= source.left < source.right <= size[0]
        assert 0 <= source.top < source.bottom <= size[1]
        assert 10 <= target.left < target.right <= 110
        assert 20 <= target.top < target.bottom <= 84
        placement = placement._replace(mirrored=mirror < 0.5)
        assert there_and_back(placement, size, (2 * size[0], 3 * size[1])) < 1e-6
        if min(size) * factor > 40:  # for thin images a pixel is a large part
            across = placement.frame(size, size)[0]
            assert abs(across) == pytest.approx(factor, rel=0.15)
