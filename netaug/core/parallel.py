"""Work on many images in threads, in order, in bounded memory, with the progress shown on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from netaug.core.consoles import SafeConsole
from netaug.core.display import duration
from netaug.core.escaping import say

_CHUNK, _CHUNKS_AHEAD = 32, 3
_PLAIN_SECONDS = 10.0

Result = TypeVar("Result")


def default_jobs() -> int:
    """As many threads as this process may use processors."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(
    work: Callable[[int], Result],
    count: int,
    title: str,
    jobs: int,
    *,
    chunk: int = _CHUNK,
    leaving: Callable[[], object] | None = None,
) -> Generator[Result, None, None]:
    """Run ``work`` on 0..count-1 and yield the results in order; the first error, or leaving, ends it.

    Args:
        work: Called from threads that give torch one thread each.
        count: How many times.
        title: What is done, for the progress: a bar on a terminal, else a line every ten seconds.
        jobs: Number of threads. Few more results are made than are taken.
        chunk: How many a thread does at a time.
        leaving: Called at the end, before threads that still work are waited for; it may tell them to stop.
    """
    pool = ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(1,))
    starts = iter(range(0, count, chunk))
    running: deque[Future[list[Result]]] = deque()
    try:
        with _Shown(title, count) as shown:
            while True:
                while len(running) < _CHUNKS_AHEAD * jobs and (start := next(starts, None)) is not None:
                    part = range(start, min(start + chunk, count))
                    running.append(pool.submit(lambda part: [work(index) for index in part], part))
                if not running:
                    return
                results = running.popleft().result()
                yield from results
                shown.advance(len(results))
    finally:
        if leaving is not None:
            leaving()
        pool.shutdown(cancel_futures=True)


class _Shown:
    """Show the progress of work on stderr; a context manager."""

    def __init__(self, title: str, count: int) -> None:
        self._title, self._count, self._done = title, count, 0
        self._start = self._said = time.monotonic()
        console = SafeConsole(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> _Shown:
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task(self._title, total=self._count)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int) -> None:
        """So many more are done."""
        self._done += steps
        now = time.monotonic()
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], steps)
        elif now - self._said >= _PLAIN_SECONDS:
            self._said = now
            rate = self._done / (now - self._start)
            left = duration((self._count - self._done) / rate)
            text = f"{self._title}: {self._done:,} of {self._count:,}, {rate:,.0f} a second, {left} left"
            say(text, file=sys.stderr, flush=True)
