"""Image folders of random pixels, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from netaug.core.seeding import generator

MakeFolder = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from one test to the next, or in the user's own folder."""
    monkeypatch.setenv("NETAUG_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """A function that writes ``{"train/cat": 3, ...}`` images and returns the root.

    ``size`` is (height, width), or a function of the image's number.
    """

    def make(
        counts: dict[str, int],
        size: tuple[int, int] | Callable[[int], tuple[int, int]] = (8, 8),
    ) -> Path:
        root = tmp_path / "pictures"
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True)
            for number in range(count):
                height, width = size(number) if callable(size) else size
                draws = generator(0, folder, number)
                pixels_HWC = torch.randint(0, 256, (height, width, 3), generator=draws, dtype=torch.uint8)
                Image.fromarray(pixels_HWC.numpy()).save(root / folder / f"{number:03d}.jpg")
        return root

    return make


@pytest.fixture
def two_classes(make_folder: MakeFolder) -> Path:
    """Ten training and five evaluation images of 8 x 8 pixels."""
    return make_folder({"train/cat": 6, "train/dog": 4, "val/cat": 3, "val/dog": 2})
