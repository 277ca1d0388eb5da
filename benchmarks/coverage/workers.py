"""Run a function on many things, each in a process of its own with a time and a memory limit."""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from typing import Any

PRELOAD = ("benchmarks.coverage.probe", "torch.export", "torch._dynamo", "torch._export", "networkx")
"""Slow to import."""


def run_all(
    function: Callable[[Any], Any],
    things: Iterable[Any],
    *,
    jobs: int,
    seconds: float,
    gib: float,
    preload: Sequence[str] = PRELOAD,
) -> Iterator[tuple[Any, Any, str]]:
    """Yield (thing, result or None, problem or empty) as they finish.

    Args:
        function: Importable by name; its argument and result are pickled.
        things: Its arguments.
        jobs: How many processes run at a time.
        seconds: A call that takes more processor time is ended; so is one that takes ten times as long. Neither
            counts the start of its process.
        gib: Most address space of a process beyond what it starts with.
        preload: Modules that are imported once, by the process that all others are forked from.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_run_one, context, function, thing, seconds, gib): thing for thing in things}
        for done in as_completed(waiting):
            yield (waiting[done], *done.result())


def _run_one(
    context: Any, function: Callable[[Any], Any], thing: Any, seconds: float, gib: float
) -> tuple[Any, str]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_worker, args=(theirs, function, thing, seconds, gib), daemon=True)
    process.start()
    theirs.close()
    too_long = f"takes more than {seconds:.0f} s"
    try:
        ours.recv()  # it has started
        if not ours.poll(10 * seconds):
            return None, too_long
        result, problem = ours.recv()
    except EOFError:
        process.join()
        ended = f"its process ended with exit code {process.exitcode}"
        result, problem = None, too_long if process.exitcode == -signal.SIGXCPU else ended
    finally:
        process.kill()
        process.join()
    return result, problem


def _worker(
    connection: Connection, function: Callable[[Any], Any], thing: Any, seconds: float, gib: float
) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:  # else whatever imports it reads the variable
        sys.modules["torch"].set_num_threads(1)
    used = _address_space()
    limit = used + int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    until = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until, until + 5))
    connection.send("started")
    try:
        connection.send((function(thing), ""))
    except Exception as error:
        lines: Sequence[str] = str(error).splitlines() or ["no message"]
        connection.send((None, f"{type(error).__name__}: {lines[0]}"))


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
