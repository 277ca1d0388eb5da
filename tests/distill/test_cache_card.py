"""A cache from elsewhere says nothing absurd that is believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netaug.core.errors import CheckpointError
from netaug.distill.cache import CacheFiles

CARD = {
    "teachers": ["t"],
    "teacher_hash": "0",
    "teacher_top1": 50.0,
    "val_split": "val",
    "classes": 10,
    "top": 4,
    "images": 3,
    "draws": 2,
    "settings": {},
    "dataset": {},
    "samples": [[0, 1]],
    "rows": 6,
    "version": 1,
}


def test_a_sound_card_is_read(tmp_path: Path) -> None:
    files = CacheFiles(tmp_path)
    files.card.write_text(json.dumps(CARD))
    assert files.read_card().total == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"images": 10**30},
        {"draws": 10**13},
        {"rows": -1},
        {"teacher_top1": "much"},
        {"teachers": [["a", "b"]]},
        {"teachers": [3]},
        {"val_split": 1},
        {"settings": []},
        {"dataset": "all"},
        {"classes": 10**9},
    ],
)
def test_an_absurd_card_is_one_message(tmp_path: Path, changes: dict[str, object]) -> None:
    files = CacheFiles(tmp_path)
    files.card.write_text(json.dumps(CARD | changes))
    with pytest.raises(CheckpointError, match="cannot be read"):
        files.read_card()


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "3", "null", '{"rows": ' + "9" * 5000 + "}"])
def test_a_damaged_card_is_one_message(tmp_path: Path, text: str) -> None:
    files = CacheFiles(tmp_path)
    files.card.write_text(text)
    with pytest.raises(CheckpointError, match="cannot be read"):
        files.read_card()
