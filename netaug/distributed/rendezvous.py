"""Brings ranks together through a store that may remember ranks of an earlier attempt.

Before the process group is made, rank 0 compares what each rank reports. So all ranks hear at once of different
settings, with which they might not even agree on a backend, and of a rank that fails before it can train.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store  # torch.distributed's own, with types
from torch.distributed.rendezvous import rendezvous

from netaug.core.errors import ConfigError, NetaugError
from netaug.distributed.consistency import Report, check_reports, error_from_dict, error_to_dict
from netaug.distributed.launch import Place, place

_PAUSE_SECONDS = 0.02
_PARTING_SECONDS = 30.0
"""How long a rank that cannot train stays for the others to hear of it; they may still be importing torch."""

NOTHING = Report()


def meet(here: Place, backend: str, timeout: timedelta, report: Report = NOTHING) -> dict[int, Report]:
    """Make the process group of a training.

    torchrun keeps one store over its restarts, and Gloo or NCCL then read where a process listened that is dead
    (pytorch#135712). Its count of restarts does not help: each machine counts its own. So each attempt writes under a
    name of its own, which :func:`agree_on_name` makes.

    Args:
        here: This process.
        backend: ``gloo`` or ``nccl``.
        timeout: How long others are waited for, here and in each collective later.
        report: Of this rank.

    Returns:
        On rank 0 the reports of all ranks; elsewhere none.

    Raises:
        NetaugError: The ranks do not fit together, or one of them cannot start.
        RuntimeError: Not all processes come in time, or there is no store.
    """
    store = connect(here, timeout)
    name, reports = agree_on_name(store, here, timeout.total_seconds(), report)
    dist.init_process_group(
        backend, store=PrefixStore(name, store), rank=here.rank, world_size=here.size, timeout=timeout
    )
    return reports


def announce(error: NetaugError) -> None:
    """Tell the other ranks that this one cannot start; alone, does nothing.

    Args:
        error: Why. Made loud where this rank is the one to show it: the first that failed, or out of reach.
    """
    try:
        here = place()
    except ConfigError:
        return  # it may be what is wrong
    if here.size == 1:
        return
    report = Report(error=error)
    try:
        store = connect(here, timedelta(seconds=_PARTING_SECONDS))
        agree_on_name(store, here, _PARTING_SECONDS, report)
    except NetaugError as told:
        if str(told) == str(check_reports({here.rank: report})):
            error.loud = True
    except (RuntimeError, ValueError):
        error.loud = True


def connect(here: Place, timeout: timedelta) -> Store:
    """Return the store that all ranks share.

    Raises:
        RuntimeError: There is none in time.
    """
    address = "env://"
    if here.rendezvous is not None:
        address = f"tcp://{here.rendezvous[0]}:{here.rendezvous[1]}"
    found: list[Store | Exception] = []

    def call() -> None:
        try:
            stores: Iterator[tuple[Store, int, int]] = rendezvous(
                address, here.rank, here.size, timeout=timeout
            )
            found.append(next(stores)[0])
        except Exception as error:
            found.append(error)

    # torch's client waits for ever for an answer to its first message; so the thread is left behind
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(timeout.total_seconds() + 1)
    if not found:
        raise RuntimeError(
            "something listens at the address of the rendezvous, but does not answer as a store"
        )
    if isinstance(found[0], Exception):
        raise found[0]
    found[0].set_timeout(timeout)
    return found[0]


def agree_on_name(
    store: Store, here: Place, seconds: float, report: Report = NOTHING
) -> tuple[str, dict[int, Report]]:
    """Return a name that exactly the processes of this attempt know, once their reports fit together.

    Each but rank 0 says hello with a word that nobody used before; rank 0 answers every word that it hears with the
    name, and each process then reports under that name. So words and names of earlier attempts do no harm. When all
    have reported, or one report is an error or does not fit, rank 0 tells all of them so.

    Args:
        store: That all processes see.
        here: This process.
        seconds: How long the others are waited for.
        report: Of this rank.

    Returns:
        The name, and on rank 0 the reports of all ranks.

    Raises:
        NetaugError: The reports do not fit together, or one is an error; the same on every rank.
        RuntimeError: Not all processes come in time.
    """
    if here.rank == 0:
        return _Host(store, here, report).run(seconds)
    word = uuid.uuid4().hex
    store.set(f"hello/{here.rank}", word)
    store.wait([f"answer/{word}"], timedelta(seconds=seconds))
    name = str(store.get(f"answer/{word}").decode())
    store.set(f"{name}/here/{here.rank}", report.to_json())
    store.wait([f"{name}/verdict"], timedelta(seconds=seconds))
    verdict = json.loads(store.get(f"{name}/verdict"))
    store.set(f"{name}/heard/{here.rank}", "yes")
    if verdict is not None:
        _raise(verdict)
    return name, {}


class _Host:
    """Rank 0 at the rendezvous.

    Args:
        store: That all processes see.
        here: Rank 0.
        report: Its own.
    """

    def __init__(self, store: Store, here: Place, report: Report) -> None:
        self._store, self._ranks = store, range(1, here.size)
        self._reports = {0: Report.from_json(report.to_json())}  # as the others' come: with lists for tuples
        self._name = uuid.uuid4().hex
        self._answered: set[str] = set()
        self._heard: set[int] = set()

    def run(self, seconds: float) -> tuple[str, dict[int, Report]]:
        """Collect the reports, and tell the others whether they fit."""
        end = time.monotonic() + seconds
        error = check_reports(self._reports)
        while error is None and (missing := set(self._ranks) - set(self._reports)):
            if time.monotonic() > end:
                text = f"not there after {seconds:g} s: rank {', '.join(map(str, sorted(missing)))}"
                self._tell({"missing": text})
                raise RuntimeError(text)
            if self._listen():
                error = check_reports(self._reports)
            else:
                time.sleep(_PAUSE_SECONDS)
        self._tell(None if error is None else error_to_dict(error))
        if error is not None:
            self._wait_until_heard()
            _raise(error_to_dict(error))
        return self._name, self._reports

    def _listen(self) -> bool:
        """Answer the ranks that are new, take their reports, and return whether one came."""
        before = len(self._reports)
        for rank in self._ranks:
            if rank in self._reports:
                continue
            if self._store.check([f"hello/{rank}"]):
                word = self._store.get(f"hello/{rank}").decode()
                if word not in self._answered:
                    self._store.set(f"answer/{word}", self._name)
                    self._answered.add(word)
            if self._store.check([f"{self._name}/here/{rank}"]):
                text = self._store.get(f"{self._name}/here/{rank}").decode()
                self._reports[rank] = Report.from_json(text)
        return len(self._reports) > before

    def _tell(self, verdict: Mapping[str, object] | None) -> None:
        self._store.set(f"{self._name}/verdict", json.dumps(verdict))

    def _wait_until_heard(self) -> None:
        """Wait until the others have read the verdict: the store may end with this process, and they may come late."""
        end = time.monotonic() + _PARTING_SECONDS
        while len(self._heard) < len(self._ranks) and time.monotonic() < end:
            self._listen()
            heard = [rank for rank in self._ranks if self._store.check([f"{self._name}/heard/{rank}"])]
            self._heard.update(heard)
            time.sleep(_PAUSE_SECONDS)


def _raise(verdict: Mapping[str, object]) -> None:
    if "missing" in verdict:
        raise RuntimeError(verdict["missing"])
    error = error_from_dict(verdict)
    raise error
