"""Loader processes: how they start, and that they end with the process they load for."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import signal
import traceback
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from netaug.core.parallel import default_jobs

_log = logging.getLogger("netaug")
_running: weakref.WeakSet[Any] = weakref.WeakSet()
_workers: weakref.WeakSet[BaseProcess] = weakref.WeakSet()
"""Also of iterators that are gone; `multiprocessing` itself holds those that are alive."""


def warn_of_many(workers: int) -> None:
    """Say when there are more loader processes than processors, in place of torch's own words."""
    if workers > 1 and workers > (cores := default_jobs()):
        _log.warning(
            "data.workers %d is more than the %d processor%s of this process: the same batches, not sooner.",
            workers,
            cores,
            "s" * (cores > 1),
        )


@contextmanager
def without_torchs_word_on_many() -> Iterator[None]:
    """Keep torch from warning of many workers, in each loader and epoch; no other warning is kept back."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        yield


def start_worker(_: int) -> None:
    """Return one thread each.

    Signals to the whole process group are for the main process, which still needs its workers.
    """
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGUSR1", signal.SIGTERM)):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def all_or_none() -> Iterator[None]:
    """End the workers that were started inside a ``with`` block if it fails, such as at a limit on open files.

    Nobody tells them to end otherwise: see :func:`end_with_this_process`.
    """
    before = set(multiprocessing.active_children())
    try:
        yield
    except BaseException as error:
        for worker in set(multiprocessing.active_children()) - before:
            worker.kill()
        for frame, _ in traceback.walk_tb(error.__traceback__):
            iterator = frame.f_locals.get("self")
            if isinstance(iterator, _MultiProcessingDataLoaderIter):
                iterator._shutdown = (
                    True  # else its __del__ fails, as it expects what is made after the workers
                )
        raise


def end_with_this_process(iterator: Any) -> None:
    """Have the workers of a loader's iterator told to end when this process does.

    An error that nobody catches keeps the iterator alive until the very end. Python then sends SIGTERM, which workers
    ignore, and waits for them for ever; torch sees to this itself only where it pins memory. A worker that does not
    end when it is told to, such as one that was forked while another thread held a lock, is killed after torch's five
    seconds, where torch sends it SIGTERM.

    Args:
        iterator: What ``iter(DataLoader)`` gave.
    """
    _running.add(iterator)
    for worker in getattr(iterator, "_workers", ()):  # without workers there are none
        _workers.add(worker)
        worker.terminate = worker.kill


def end_with_owner(owner: object, iterator: Any) -> None:
    """Have the workers of a loader's iterator told to end once its owner is gone, or this process ends.

    Torch tells them when the iterator is collected. If it is collected as part of a cycle, the queues that it tells
    them through may be closed by then: the workers do not hear it, and torch waits five seconds for each before it
    kills them. So the iterator is kept until the owner is gone, which it must not refer to.

    Args:
        owner: What iterates.
        iterator: What ``iter(DataLoader)`` gave.
    """
    if iterator in _running:  # workers persist: each epoch gets the same iterator
        return
    end_with_this_process(iterator)
    end = getattr(iterator, "_shutdown_workers", None)  # without workers there is none
    if end is not None:
        weakref.finalize(owner, end).atexit = False  # at the end of the process, `_end_all` sees to it


@atexit.register  # after torch's own, so it comes before them: last in, first out
def _end_all() -> None:
    for iterator in tuple(_running):
        end = getattr(iterator, "_shutdown_workers", None)  # without workers there is none
        if end is not None:
            end()
    for worker in tuple(_workers):
        if worker.is_alive():
            worker.kill()
