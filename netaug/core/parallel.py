"""Work on many images in threads, in order, in bounded memory, with the progress shown on stderr."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from netaug.core.progress import WorkProgress

# a future per item costs more than a small item; few chunks ahead keep memory bounded
_CHUNK, _CHUNKS_AHEAD = 32, 3

Result = TypeVar("Result")


def default_jobs() -> int:
    """Return as many threads as this process may use processors, by affinity and by the CPU quota of a container."""
    from joblib import cpu_count  # takes a while to import

    return int(cpu_count())


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
        title: What is done, for the progress that is shown on stderr.
        jobs: Number of threads. Few more results are made than are taken.
        chunk: How many a thread does at a time.
        leaving: Called at the end, before threads that still work are waited for; it may tell them to stop.
    """
    pool = ThreadPoolExecutor(jobs, initializer=_give_torch_one_thread)
    starts = iter(range(0, count, chunk))
    running: deque[Future[list[Result]]] = deque()
    try:
        with WorkProgress(title, count) as progress:
            while True:
                while len(running) < _CHUNKS_AHEAD * jobs and (start := next(starts, None)) is not None:
                    indices = range(start, min(start + chunk, count))
                    running.append(pool.submit(lambda indices: [work(index) for index in indices], indices))
                if not running:
                    return
                results = running.popleft().result()
                yield from results
                progress.advance(len(results))
    finally:
        if leaving is not None:
            leaving()
        pool.shutdown(cancel_futures=True)


def _give_torch_one_thread() -> None:
    """Let torch compute in the calling thread alone; else each of the pool's threads would start threads of its own."""
    import torch  # here, because commands that are free of torch take the number of processors from this module

    torch.set_num_threads(1)
