"""Ends a rank whose launcher is gone: torchrun that was killed can no longer end its ranks, or start them again."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_OF_TORCHRUN = "TORCHELASTIC_RUN_ID"
_NAME = "launcher-watch"
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 15.0

_log = logging.getLogger("netaug")


@contextmanager
def ends_with_launcher(environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Watch torchrun, if it started this process, inside a ``with`` block; else, or if watched, do nothing.

    When torchrun is gone this process gets SIGTERM: a training then stops after its step, with a checkpoint. A process
    that is still there after 15 seconds, blocked in a collective for example, ends at once.

    Args:
        environment: Where torchrun's variables are; that of the process by default.
    """
    variables = os.environ if environment is None else environment
    if _OF_TORCHRUN not in variables or any(one.name == _NAME for one in threading.enumerate()):
        yield
        return
    over = threading.Event()
    # A thread: Python handles a signal in the main thread only, and that may be blocked in a collective.
    threading.Thread(target=_watch, args=(_chain(), over), daemon=True, name=_NAME).start()
    try:
        yield
    finally:
        over.set()


def _watch(chain: list[int], over: threading.Event) -> None:
    while _parents(chain) == chain[1:]:
        if over.wait(_POLL_SECONDS):
            return
    _log.warning("torchrun (process %d) is gone; this rank stops.", chain[-1])
    os.kill(os.getpid(), signal.SIGTERM)
    if not over.wait(_PATIENCE_SECONDS):
        os._exit(128 + signal.SIGTERM)


def _chain() -> list[int]:
    """Return this process, its parent, and so on up to torchrun: the first whose environment torchrun did not make.

    Between a rank and torchrun there may be a shell script. Where other processes cannot be looked at, the parent is
    taken for torchrun.
    """
    chain = [os.getpid(), os.getppid()]
    while _started_by_torchrun(chain[-1]) and (parent := _parent(chain[-1])) > 1:
        chain.append(parent)
    return chain


def _parents(chain: list[int]) -> list[int]:
    return [os.getppid(), *(_parent(process) for process in chain[1:-1])]


def _started_by_torchrun(process: int) -> bool:
    try:
        variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(one.startswith(f"{_OF_TORCHRUN}=".encode()) for one in variables)


def _parent(process: int) -> int:
    """Return the parent of a process; 0 if it is gone."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])  # its name, in brackets, may hold anything
