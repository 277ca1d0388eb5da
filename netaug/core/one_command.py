"""What is read from disk once for a whole command, although several of its parts ask for it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_kept: ContextVar[dict[Hashable, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def one_command() -> Iterator[None]:
    """Keep what is read inside, until the end or :func:`forget`; within another such block nothing changes.

    Files may change between two commands or calls, so that nothing outlives one.
    """
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def kept() -> dict[Hashable, Any]:
    """Return what was kept so far, to be added to; outside of a command an empty one that nobody keeps."""
    known = _kept.get()
    return {} if known is None else known


def forget() -> None:
    """Let go of what was kept: it is as large as a list of all files of a dataset."""
    kept().clear()
