"""A file or folder is whole or not there, and what a killed writer leaves is known, removed and never in the way."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from netaug.core.errors import RunFolderError
from netaug.core.io import is_leftover, remove_leftovers, write_atomic
from netaug.core.lock import NAME, RunLock, was_killed
from netaug.core.whole_folder import is_taken, lock_of, new_folder
from netaug.runs.folder import refuse_existing


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def killed(code: str, *words: str) -> None:
    """Run a program that kills itself."""
    start = (
        "import os, sys; from pathlib import Path\n"
        "out, kill = Path(sys.argv[1]), lambda *_: os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", start + code, *words], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


WRITE = "from netaug.core.io import write_atomic\n"


def test_the_next_write_into_a_folder_removes_what_killed_ones_left(tmp_path: Path) -> None:
    for name in ("000000001.ckpt", "config.yaml"):
        killed(WRITE + "os.replace = kill; write_atomic(out, 'part')", str(tmp_path / name))
    (left,) = names(tmp_path)
    assert is_leftover(left)
    assert left.startswith(".config.yaml.")  # the second has removed the part of the first
    refuse_existing(tmp_path)  # a folder with nothing else is as good as an empty one
    write_atomic(tmp_path / "other", "whole")
    assert names(tmp_path) == ["other"]


def test_a_part_whose_writer_lives_stays(tmp_path: Path) -> None:
    part = tmp_path / ".x.0123abcd.part"
    with part.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomic(tmp_path / "x", "mine")
        assert names(tmp_path) == [part.name, "x"]
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize(
    "name", [".x.part", "x.0123abcd.part", ".x.0123ABCD.part", ".gitignore", ".x.0123abcd"]
)
def test_files_of_others_are_no_leftovers(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    write_atomic(tmp_path / "y", "")
    assert names(tmp_path) == sorted([name, "y"])


def test_many_writers_of_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    def work(number: int) -> None:
        for turn in range(40):
            write_atomic(tmp_path / f"{(number + turn) % 3}", f"{number} {turn}" * 100)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["0", "1", "2"]
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert text == text[: len(text) // 100] * 100


def test_links_are_followed_devices_written_to_and_rights_are_the_users(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to("there/file")
    before = os.umask(0o027)
    try:
        write_atomic(link, "text")
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert (tmp_path / "there/file").read_text() == "text"
    assert (tmp_path / "there/file").stat().st_mode & 0o777 == 0o640
    write_atomic(Path("/dev/null"), "text")
    assert not Path("/dev/null").is_file()
    with pytest.raises(RunFolderError, match=r"/dev/full' cannot be written(?s:.*)No space"):
        write_atomic(Path("/dev/full"), "text")


def test_only_a_killed_process_leaves_a_folder_as_killed(tmp_path: Path) -> None:
    lock = "from netaug.core.lock import RunLock\n"
    with RunLock(tmp_path):
        assert not was_killed(tmp_path)  # it is held
    assert not was_killed(tmp_path)
    killed(lock + "with RunLock(out): kill()", str(tmp_path))
    assert was_killed(tmp_path)
    with pytest.raises(ValueError, match="of ours"), RunLock(tmp_path):
        raise ValueError("of ours")
    assert not was_killed(tmp_path)
    (tmp_path / NAME).write_text("process 12 on somewhere\n")  # of an earlier version, which ended well
    assert not was_killed(tmp_path)


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError), new_folder(out, "filling") as place:
        (place.filling / "a" / "b").touch()
    assert names(tmp_path) == []
    out.mkdir()  # an empty one may be there
    with new_folder(out, "filling") as place:
        (place.filling / "a").touch()
        assert not is_taken(out)
        with pytest.raises(BlockingIOError), new_folder(out, "filling"):
            pass
        place.publish()
    assert names(tmp_path) == ["out"]
    assert names(out) == ["a"]
    assert is_taken(out)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_next_one_knows_that_a_process_was_killed(tmp_path: Path, moment: str) -> None:
    fill = "from netaug.core.whole_folder import new_folder\nwith new_folder(out, 'filling') as place:\n"
    code = fill + " (place.filling / 'a').touch()\n" + " place.publish()\n" * (moment == "after") + " kill()"
    killed(code, str(tmp_path / "out"))
    assert lock_of(tmp_path / "out", "filling").exists()
    assert (tmp_path / "out").exists() == (moment == "after")
    with new_folder(tmp_path / "out", "filling") as place:
        assert place.after_kill
        assert names(place.filling) == []
    assert names(tmp_path) == ["out"] * (moment == "after")
    with new_folder(tmp_path / "other", "filling") as place:
        assert not place.after_kill
