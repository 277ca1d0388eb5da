"""Lock a run folder, to which one process writes at a time.

The content of the lock file says whether its last process ended by itself: a training or a pack that was killed
after its last write counts as done for the same command.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from netaug.core.errors import RunFolderError

NAME = ".lock"
_TRIES, _PAUSE_SECONDS = 5, 0.02
_RUNNING = b", running\n"  # at the end of the file while the folder is held, and after a process was killed
_held: set[int] = set()


class RunLock:
    """Holds a run folder; a context manager. The system lets go of it however the process ends.

    Args:
        folder: The run folder; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._descriptor = -1

    def __enter__(self) -> RunLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunFolderError(f"the run folder '{self._path.parent}' cannot be used.", got=error) from None
        if not _taken(self._descriptor):
            other = os.pread(self._descriptor, 200, 0).decode(errors="replace").partition(",")[0].strip()
            os.close(self._descriptor)
            raise RunFolderError(
                f"another process is writing to the run folder '{self._path.parent}'.",
                got=other or "a lock without a name",
                fix="wait for it, stop it, or choose another folder with --out",
            )
        _held.add(self._descriptor)
        holder = f"process {os.getpid()} on {socket.gethostname()}".encode() + _RUNNING
        os.pwrite(self._descriptor, holder, 0)
        os.truncate(self._descriptor, len(holder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _held.discard(self._descriptor)
        # Emptied before it is closed: a file that still says "running" means that the process was killed.
        os.truncate(self._descriptor, 0)
        os.close(self._descriptor)


def _let_go() -> None:
    """Close the lock in a forked loader process, which would hold it for seconds after its training was killed."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)


def is_held(folder: Path) -> bool:
    """Whether a process writes to this run folder now; looking takes no rights to write."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def was_killed(folder: Path) -> bool:
    """Whether the last process that held this run folder was ended from outside before it let go of it."""
    try:
        return not is_held(folder) and (folder / NAME).read_bytes().endswith(_RUNNING)
    except OSError:
        return False


def _taken(descriptor: int) -> bool:
    """Take the lock; retry for a moment, because a process that only tests it holds it for an instant."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False
