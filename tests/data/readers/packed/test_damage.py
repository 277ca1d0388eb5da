"""A packed dataset is untrusted input: whatever is wrong with it is one message, before anything is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from netaug.cli import main
from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.readers.packed.layout import INDEX, META, PAYLOADS
from netaug.data.registry import load_source
from tests.data.conftest import MakeFolder


@pytest.fixture
def packed(two_classes: Path, tmp_path: Path) -> Path:
    out = tmp_path / "packed"
    words = ["--data.root", str(two_classes), "--out", str(out), "--encoding", "pixels"]
    assert main(["data", "pack", "folder", *words]) == 0
    return out


def message(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_source(DataConfig(name="packed", root=str(folder)))
    return str(caught.value)


def set_fact(name: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        facts = json.loads((folder / META).read_text())
        facts[name] = value
        (folder / META).write_text(json.dumps(facts))

    return change


def set_column(name: str, value: int) -> Callable[[Path], None]:
    """An index that somebody made on purpose: its checksum is right."""

    def change(folder: Path) -> None:
        index = np.load(folder / INDEX)
        index[name][3] = value
        write_index(folder, index)

    return change


def write_index(folder: Path, index: np.ndarray) -> None:
    np.save(folder / INDEX, index)
    set_fact("index_sha256", hashlib.sha256((folder / INDEX).read_bytes()).hexdigest())(folder)


def set_content(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / META).unlink(), "there is no packed dataset"),
        (lambda folder: (folder / INDEX).unlink(), f"no {INDEX}"),
        (lambda folder: (folder / PAYLOADS).unlink(), f"no {PAYLOADS}"),
        (set_content(META, b"{"), META),
        (set_content(META, b"\xff\xfe"), META),
        (set_content(META, b"[" * 100_000), META),
        (set_content(META, b"[1]"), "not that of a packed dataset"),
        (set_fact("version", 2), "version 2"),
        (set_fact("encoding", "tar"), "encoding is 'tar'"),
        (set_fact("class_names", []), "class_names"),
        (set_fact("class_names", [1, 2]), "class_names"),
        (set_fact("in_chans", True), "in_chans"),
        (set_fact("std", [0.0, 1.0, 1.0]), "std"),
        (set_fact("mean", [float("nan")] * 3), "mean"),
        (set_fact("mean", [0.5]), "mean"),
        (set_fact("train", -1), "train"),
        (set_fact("train", 11), "columns or rows"),
        (set_fact("metric", "mAP"), "metric"),
        (set_fact("payload_bytes", 10), "images.bin has 2,880 bytes"),
        (set_content(PAYLOADS, b"cut off"), "images.bin has 7 bytes"),
        (set_content(INDEX, b""), "another checksum"),
        (set_column("offset", 2**63), "1 of 15 images reach beyond the end"),
        (set_column("offset", 2880 - 191), "1 of 15 images reach beyond the end"),
        (set_column("length", 2**32 - 1), "1 of 15 images reach beyond the end"),
        (set_column("length", 0), "are empty"),
        (set_column("length", 64), "another number of pixels than bytes"),
        (set_column("height", 9), "another number of pixels than bytes"),
        (set_column("width", 2**31), "more than 89,478,485 pixels"),
        (set_column("label", 2), "label outside 0..1"),
        (set_column("label", -1), "label outside 0..1"),
    ],
)
def test_damage_is_a_message(packed: Path, change: Callable[[Path], None], said: str) -> None:
    change(packed)
    text = message(packed)
    assert said in text
    assert "packed" in text


def test_an_index_with_objects_or_other_columns_is_refused(packed: Path) -> None:
    content = (
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '|O', 'fortran_order': False, 'shape': (15,), }".ljust(117)
        + b"\n"
    )
    (packed / INDEX).write_bytes(content + b"cos\nsystem\n")
    set_fact("index_sha256", hashlib.sha256((packed / INDEX).read_bytes()).hexdigest())(packed)
    assert INDEX in message(packed)
    write_index(packed, np.zeros(15, np.int64))
    assert "columns or rows" in message(packed)


def test_a_folder_one_level_off_is_answered_with_what_is_there(packed: Path, make_folder: MakeFolder) -> None:
    text = message(packed.parent)
    assert "packed/" in text
    assert f"{META}, {INDEX} and {PAYLOADS}" in text


def test_a_payload_that_changed_is_found_by_its_checksum(packed: Path) -> None:
    content = bytearray((packed / PAYLOADS).read_bytes())
    content[4 * 192 + 5] ^= 1
    (packed / PAYLOADS).write_bytes(content)
    images = load_source(DataConfig(name="packed", root=str(packed))).train.images
    assert [images.is_intact(number) for number in range(len(images))] == [
        number != 4 for number in range(10)
    ]  # type: ignore[union-attr]
