"""Fill a folder that is either whole or not there, however its process ends: packs, extracted families."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class NewFolder:
    """Describes a folder that is filled beside its final path.

    Args:
        filling: Where to write; this process alone does, and what is left in it at the end goes away.
        out: The final place.
        after_kill: Whether a process that did the same was killed; ``out`` may then be its finished work.
    """

    filling: Path
    out: Path
    after_kill: bool

    def publish(self) -> None:
        """Move the folder to its final place, where nothing or an empty folder is."""
        if self.out.exists():
            self.out.rmdir()  # an empty one; os.rename would not replace it everywhere
        # The names inside first, then the new name: a crash between them leaves nothing at the final path.
        sync_folder(self.filling)
        os.rename(self.filling, self.out)
        sync_folder(self.out.parent)


@contextmanager
def new_folder(out: Path, work: str) -> Iterator[NewFolder]:
    """Fill a folder that appears when it is whole.

    Args:
        out: The folder; the one above it exists.
        work: What is done, such as ``packing``; part of the names of the hidden files beside ``out``.

    Raises:
        BlockingIOError: Another process does the same.
    """
    filling, lock = out.parent / f".{out.name}.{work}", lock_of(out, work)
    with _held(lock) as after_kill:
        shutil.rmtree(filling, ignore_errors=True)  # of a process that was killed
        filling.mkdir()
        try:
            yield NewFolder(filling, out, after_kill)
        finally:
            shutil.rmtree(filling, ignore_errors=True)
            lock.unlink(missing_ok=True)


def lock_of(out: Path, work: str) -> Path:
    """Return the file that is locked while a folder is filled, and stays if the process is killed."""
    return out.parent / f".{out.name}.{work}.lock"


def is_taken(out: Path) -> bool:
    """Whether there is something at a place that a new or an empty folder is asked for."""
    return os.path.lexists(out) and (not out.is_dir() or any(out.iterdir()))


@contextmanager
def _held(lock: Path) -> Iterator[bool]:
    """Hold a lock file; yields whether it was there before."""
    while True:
        was_there = lock.exists()
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(lock, file):
                continue  # the one who held it has removed it meanwhile
            yield was_there
            return


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
