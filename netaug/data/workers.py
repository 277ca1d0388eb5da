"""Loader processes: how they start, and that they end with the process they load for."""

from __future__ import annotations

import atexit
import signal
import weakref
from typing import Any

import torch

_running: weakref.WeakSet[Any] = weakref.WeakSet()


def start_worker(_: int) -> None:
    """One thread each; signals to the whole process group are for the main process, which still needs its workers."""
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGUSR1", signal.SIGTERM)):
        signal.signal(number, signal.SIG_IGN)


def end_with_this_process(iterator: Any) -> None:
    """Have the workers of a loader's iterator told to end when this process does.

    An error that nobody catches keeps the iterator alive until the very end. Python then sends SIGTERM, which workers
    ignore, and waits for them for ever; torch sees to this itself only where it pins memory.

    Args:
        iterator: What ``iter(DataLoader)`` gave.
    """
    _running.add(iterator)


@atexit.register  # after torch's own, so it comes before them: last in, first out
def _end_all() -> None:
    for iterator in tuple(_running):
        end = getattr(iterator, "_shutdown_workers", None)  # without workers there is none
        if end is not None:
            end()
