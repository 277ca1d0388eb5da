"""Packing writes all or nothing, says what it leaves out, and refuses what cannot be done."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.config import DataConfig
from netaug.data.readers.packed import writer
from netaug.data.readers.packed.writer import size_in_words
from netaug.data.registry import load_source
from tests.data.conftest import MakeFolder

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def root(make_folder: MakeFolder) -> Path:
    return make_folder({"train/cat": 6, "train/dog": 4, "val/cat": 3, "val/dog": 2})


def words(root: Path, out: Path, *more: str) -> list[str]:
    return ["data", "pack", "folder", "--data.root", str(root), "--out", str(out), *more]


def left(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name != "pictures")


def test_it_says_how_large_it_will_be_and_what_it_wrote(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    assert main(words(root, tmp_path / "out")) == 0
    shown = capsys.readouterr()
    assert "15 images will take about" in shown.err
    assert "packed 10 training and 5 val images of 2 classes" in shown.out
    assert f"--data.name packed --data.root {tmp_path / 'out'}" in shown.out
    assert left(tmp_path) == ["out"]


@pytest.mark.parametrize("where", ["train/dog/002.jpg", "val/cat/001.jpg"])
def test_an_image_that_does_not_decode_is_named_or_left_out(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, where: str
) -> None:
    (root / where).write_bytes(b"not an image")
    assert main(words(root, tmp_path / "out")) == 2
    assert f"'{root / where}' does not decode" in capsys.readouterr().err
    assert left(tmp_path) == []
    assert main(words(root, tmp_path / "out", "--data.on_error", "skip")) == 0
    assert f"left out 1 that do not decode, first: '{root / where}'" in capsys.readouterr().out
    source = load_source(DataConfig(name="packed", root=str(tmp_path / "out")))
    assert source.val is not None
    assert len(source.train) + len(source.val) == 14
    assert source.train.labels_N.tolist() == [0] * 6 + [1] * (4 - where.startswith("train"))


def test_a_full_disk_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1000, 900, 100))
    assert main(words(root, tmp_path / "out")) == 2
    assert "does not fit on the disk" in capsys.readouterr().err
    assert left(tmp_path) == []


def test_a_disk_that_fills_up_while_writing_leaves_nothing(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_write_index", full)
    assert main(words(root, tmp_path / "out")) == 2
    assert "No space left" in capsys.readouterr().err
    assert left(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_ends_in_the_middle_leaves_no_dataset_and_the_next_one_starts_anew(
    root: Path, tmp_path: Path, number: int
) -> None:
    code = (
        "import os, signal, sys; from netaug.cli import main; from netaug.data.readers.packed import writer\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job would ignore it
        f"writer._write_index = lambda *a: os.kill(os.getpid(), {int(number)})\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words(root, tmp_path / "out")], capture_output=True, text=True
    )
    assert not (tmp_path / "out").exists()
    if number == signal.SIGINT:
        assert done.returncode == 130
        assert f"stopped; '{tmp_path / 'out'}' is not written" in done.stderr
        assert left(tmp_path) == []
    else:
        assert left(tmp_path) == [".out.packing", ".out.packing.lock"]
    assert main(words(root, tmp_path / "out")) == 0
    assert left(tmp_path) == ["out"]


@pytest.mark.parametrize("more", [["--size", "4"], ["--quality", "50"], []])
def test_a_copy_that_was_finished_when_its_process_was_killed_counts_for_the_same_command(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, more: list[str]
) -> None:
    assert main(words(root, tmp_path / "out")) == 0
    before = (tmp_path / "out" / "images.bin").stat().st_mtime_ns
    (tmp_path / ".out.packing.lock").touch()  # what is left
    capsys.readouterr()
    assert main(words(root, tmp_path / "out", *more)) == (2 if more else 0)
    shown = capsys.readouterr()
    assert "exists already" in shown.err if more else "packed 10 training and 5 val" in shown.out
    assert left(tmp_path) == ["out"]
    assert (tmp_path / "out" / "images.bin").stat().st_mtime_ns == before
    assert main(words(root, tmp_path / "out")) == 2, "afterwards it is as any finished copy"


def test_two_processes_do_not_write_the_same_folder(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    with (tmp_path / ".out.packing.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(words(root, tmp_path / "out")) == 2
    assert "another process is packing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--size", "0"], "--size cannot be used"),
        (["--quality", "101"], "--quality cannot be used"),
        (["--encoding", "pixels", "--quality", "90"], "none for --encoding pixels"),
        (["--encoding", "original", "--size", "8"], "keeps the files as they are"),
        (["--encoding", "tar"], "tar"),
        (["--jobs", "0"], "--jobs is out of range"),
        (["--data.batch_size", "4"], "has no effect on `netaug data pack`"),
        (["--data.holdout", "2"], "data.holdout is out of range"),
    ],
)
def test_mistakes_are_messages(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    assert main(words(root, tmp_path / "out", *more)) == 2
    assert message in capsys.readouterr().err
    assert left(tmp_path) == []


def test_other_mistakes_are_messages_too(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    assert main(words(root, tmp_path / "out")) == 0, "an empty folder is filled"
    before = {name: os.stat(tmp_path / "out" / name).st_mtime_ns for name in os.listdir(tmp_path / "out")}
    for command, message in (
        (words(root, tmp_path / "out"), "exists already"),
        (words(root, root / "train" / "cat" / "000.jpg"), "exists already"),
        (words(root, root / "train" / "cat" / "000.jpg" / "deep"), "could not be written"),
        (words(tmp_path / "nowhere", tmp_path / "other"), "does not exist"),
        (
            ["data", "pack", "digits", "--out", str(tmp_path / "d"), "--encoding", "original"],
            "no image files",
        ),
        (["data", "pack", "digitz", "--out", str(tmp_path / "d")], "no dataset of this name"),
        (["data", "pack", "digits"], "required: out"),
        (["data"], "needs a subcommand"),
        (["data", "pak"], "did you mean `netaug data pack`"),
    ):
        assert main(command) == 2
        assert message in capsys.readouterr().err, command
    assert {name: os.stat(tmp_path / "out" / name).st_mtime_ns for name in before} == before


def test_sizes_have_a_unit_that_suits_them() -> None:
    assert [size_in_words(count) for count in (0, 999, 12_345, 3.2e9)] == [
        "0 bytes",
        "999 bytes",
        "12.3 kB",
        "3.2 GB",
    ]
