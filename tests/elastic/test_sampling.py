"""Draws of a palette: a few networks that come again and again."""

from __future__ import annotations

from collections import Counter

import pytest

from netaug import AugmentConfig, augment
from netaug.core.errors import ConfigError
from tests import tiny


def test_a_palette_has_so_many_networks_and_the_steps_draw_from_them_by_key() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(palette=4, seed=3))
    drawn = [supernet.sample(step, 0.0, number) for step in range(200) for number in range(2)]
    counts = Counter(tuple(sorted(widths.items())) for widths in drawn)
    assert len(counts) == 4
    assert min(counts.values()) > 60, "about a hundred each"
    assert drawn == [supernet.sample(step, 0.0, number) for step in range(200) for number in range(2)]
    late = {tuple(sorted(supernet.sample(step, 0.9).items())) for step in range(200)}
    assert len(late) <= 4
    free = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(seed=3))
    assert len({tuple(sorted(free.sample(step).items())) for step in range(200)}) > 20


@pytest.mark.parametrize("palette", [0, -1, 1.5, True])
def test_a_palette_is_a_number_of_networks(palette: object) -> None:
    with pytest.raises(ConfigError, match="palette"):
        AugmentConfig(palette=palette)  # type: ignore[arg-type]
