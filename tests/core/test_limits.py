"""Limits of the operating system are messages."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time

import pytest
from torch.utils.data import DataLoader

from netaug.core.errors import ResourceError
from netaug.core.limits import explain_limit
from netaug.data.workers import all_or_none, start_worker, without_torchs_word_on_many


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "may not open more files"),
        (
            RuntimeError("Too many open files. Communication with the workers is no longer possible."),
            "open more files",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory ran out"),
        (MemoryError(), "memory ran out"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "memory ran out"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "start more processes"),
        (RuntimeError("can't start new thread"), "start more processes"),
        (OSError(errno.ENOSPC, "No space left on device"), "the output cannot be written"),
        (OSError(errno.ENOSPC, "No space left on device", "a/b.csv"), "'a/b.csv' cannot be written"),
    ],
)
def test_a_limit_is_named(error: Exception, said: str) -> None:
    found = explain_limit(error)
    assert isinstance(found, ResourceError)
    assert said in str(found)


def test_a_limit_behind_another_error_is_found() -> None:
    error = RuntimeError("loading failed")
    error.__cause__ = MemoryError()
    assert "memory ran out" in str(explain_limit(error))


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shapes differ"), OSError(errno.EACCES, "Permission denied"), ImportError("no module x")],
)
def test_other_errors_are_not_limits(error: Exception) -> None:
    assert explain_limit(error) is None


def test_loaders_that_cannot_all_be_started_leave_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would wait for work for ever, and the process for them at its end."""
    before = set(multiprocessing.active_children())  # of other tests of this process
    forks, fork = iter(range(9)), os.fork
    started: list[int] = []

    def limited() -> int:
        if next(forks) == 2:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        child = fork()
        started.append(child)
        return child

    monkeypatch.setattr(os, "fork", limited)
    with without_torchs_word_on_many():
        loader = DataLoader([1, 2, 3], batch_size=None, num_workers=4, worker_init_fn=start_worker)  # type: ignore[arg-type]
    with without_torchs_word_on_many(), pytest.raises(BlockingIOError), all_or_none():
        iter(loader)
    assert len(started) == 2
    end = time.monotonic() + 200
    while set(multiprocessing.active_children()) - before and time.monotonic() < end:
        time.sleep(0.01)
    assert not set(multiprocessing.active_children()) - before
