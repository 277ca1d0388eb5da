"""Ranks that were not started alike, or of which one cannot start: all say so at once, and none trains."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image

from tests.distributed.test_world import Runs, job
from tests.train.ranks import Job

pytestmark = pytest.mark.slow
WAITS = "--train.timeout_minutes=5"


def write_images(root: Path, swapped: bool) -> None:
    """Eight images in each of two classes; ``swapped`` puts the first of each into the other class."""
    for split in ("train", "val"):
        for number in range(16):
            label = (number // 8) ^ int(swapped and number % 8 == 0)
            path = root / split / "ab"[label] / f"{'zy'[number // 8]}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number * 10, 0, 0)).save(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("starts")
    found = Runs(folder)
    for rank in range(2):
        write_images(folder / f"data{rank}", swapped=rank == 1)

    def start(name: str, *own: tuple[str, ...], words: tuple[str, ...] = ()) -> Job:
        return job(folder, name, len(own), WAITS, *words, own_words=own)

    start_time = time.monotonic()
    images = ("--data.name=folder", "--data.batch_size=8", "--data.limit=null", "--data.augment=none")
    found.do(
        start("settings", (), ("--train.lr=0.02", "--train.epochs=3")),
        start("three", (), (), ("--data.batch_size=64",)),
        start("download", (), ("--data.download=true",)),
        start("invalid", (), ("--train.lr=no-number",)),
        start("invalid first", ("--train.nothing=1",), ()),
        start("resume", (), ("--resume",)),
        start("data", *((f"--data.root={folder / f'data{rank}'}",) for rank in range(2)), words=images),
        start(
            "same data",
            *((f"--data.root={folder / 'data0'}", f"--data.workers={w}") for w in (0, 1)),
            words=images,
        ),
    )
    assert time.monotonic() - start_time < 300, "ranks waited for each other"
    return found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "settings",
            [
                "ConfigError",
                "train.lr 0.1 on rank 0, 0.02 on rank 1",
                "train.epochs 2 on rank 0, 3 on rank 1",
            ],
        ),
        ("three", ["data.batch_size 32 on rank", "64 on rank 2"]),
        ("download", ["data.download false on rank 0, true on rank 1"]),
        ("resume", ["--resume false on rank 0, true on rank 1"]),
        ("data", ["DataError", "do not read the same data", "names of training images"]),
    ],
)
def test_what_differs_is_named_on_every_rank(runs: Runs, name: str, said: list[str]) -> None:
    assert set(runs.codes[name]) == {2}
    for text in runs.said(name):
        assert all(part in text for part in said), text
        assert "Traceback" not in text
    assert not (runs.folder / name).exists()


@pytest.mark.parametrize(
    ("name", "rank", "said"), [("invalid", 1, "'no-number'"), ("invalid first", 0, "train.nothing")]
)
def test_ranks_learn_of_one_that_cannot_start(runs: Runs, name: str, rank: int, said: str) -> None:
    assert runs.codes[name] == [2, 2]
    texts = runs.said(name)
    assert said in texts[rank]
    assert f"rank {rank} cannot start: " in texts[1 - rank]
    assert said in texts[1 - rank]
    assert f"rank {rank} cannot" not in texts[rank]


def test_what_belongs_to_a_machine_may_differ(runs: Runs) -> None:
    assert runs.codes["same data"] == [0, 0]
