"""Checkpoints: what is read is what was written, or nothing; what was written stays."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from netaug.core.errors import CheckpointError, RunFolderError
from netaug.runs import checkpoints as module
from netaug.runs.checkpoints import Checkpoints, pack, read_checkpoint


def _content(step: int = 7) -> dict[str, Any]:
    weight = torch.arange(300.0)
    empty: dict[str, Any] = {
        "epochs": 1,
        "tally": None,
        "updates": {},
        "average": None,
        "config": {"train": {"lr": 0.1}},
        "data": {},
    }
    return {
        **empty,
        "step": step,
        "network": {"base.weight": weight},
        "optimizer": {"state": {0: weight + 1}},
    }


def _same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    plain = [key for key in wanted if key not in ("network", "optimizer")]
    return (
        all(found[key] == wanted[key] for key in plain)
        and torch.equal(found["network"]["base.weight"], wanted["network"]["base.weight"])
        and torch.equal(found["optimizer"]["state"][0], wanted["optimizer"]["state"][0])
    )


def test_a_checkpoint_comes_back_whole_and_only_the_last_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (7, 8, 12):
        checkpoints.save(_content(step))
    assert [path.name for path in checkpoints.paths()] == ["000000012.ckpt", "000000008.ckpt"]
    found = checkpoints.newest()
    assert found is not None
    assert _same(found[1], _content(12))


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nowhere").newest() is None


def test_any_flipped_bit_is_refused(tmp_path: Path) -> None:
    """200 places, the header among them: never a wrong state, never another error."""
    whole, drawn = pack(_content()), random.Random(0)
    path = tmp_path / "x.ckpt"
    places = [*range(25), *(drawn.randrange(len(whole)) for _ in range(175))]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << drawn.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


def test_any_truncation_is_refused(tmp_path: Path) -> None:
    whole, drawn = pack(_content()), random.Random(0)
    path = tmp_path / "x.ckpt"
    for length in [0, 1, 10, len(whole) - 1, *(drawn.randrange(len(whole)) for _ in range(46))]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


def test_a_damaged_newest_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_content(1))
    newest = checkpoints.save(_content(2))
    newest.write_bytes(newest.read_bytes()[:-5])
    found = checkpoints.newest()
    assert found is not None
    assert found[1]["step"] == 1
    assert "is damaged" in caplog.text
    assert "falls back to the previous checkpoint" in caplog.text
    (tmp_path / "000000001.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError):
        checkpoints.newest()


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


def test_a_checkpoint_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.ckpt").write_bytes(pack({**_content(), "tally": _Evil()}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path / "x.ckpt")
    assert not (tmp_path / "owned").exists()


def test_other_files_and_newer_versions_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"model": {}}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of netaug"):
        read_checkpoint(path)
    path.write_bytes(pack({"model": {}}))
    with pytest.raises(CheckpointError, match=r"not a checkpoint of netaug(?s:.*)model"):
        read_checkpoint(path)
    path.write_bytes(pack(_content()).replace(b"checkpoint 3\n", b"checkpoint 4\n", 1))
    with pytest.raises(CheckpointError, match=r"another version(?s:.*)format 3"):
        read_checkpoint(path)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_content(1))

    class Full:
        free = 1000

    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: Full)
    with pytest.raises(RunFolderError, match=r"nearly full(?s:.*)what was saved before is whole"):
        checkpoints.save(_content(2))
    found = checkpoints.newest()
    assert found is not None
    assert found[1]["step"] == 1
