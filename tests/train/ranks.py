"""Trainings by several processes, forked from one that has imported everything: a second each instead of ten.

`python -m tests.train.ranks` reads jobs as JSON, runs one after the other, and prints their exit codes. Each rank
writes what it printed to ``<folder>/rank<R>.txt`` and what was watched to ``<folder>/rank<R>.pt``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401  imported here, once, instead of in each rank
import torch
import torch.distributed as dist
from torch import nn

import netaug.commands.train
import netaug.train.run  # noqa: F401
from netaug.cli import main
from netaug.core.errors import DataError
from netaug.data.dataset import BatchDataset
from netaug.distributed.all_reduce import AllReduce
from netaug.train.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Job:
    """One training.

    Args:
        folder: For what is watched.
        size: Number of processes.
        words: After `netaug`.
        ranks: Ranks to start; None starts all.
        own_words: Further words of each rank.
        event: What happens to ``culprit`` at ``step``: ``signal``, ``kill``, ``nan`` or ``broken image``.
        culprit: A rank.
        step: A step, 0-based.
        address: Of the meeting point.
    """

    folder: str
    size: int
    words: tuple[str, ...]
    ranks: tuple[int, ...] | None = None
    own_words: tuple[tuple[str, ...], ...] = ()
    event: str = ""
    culprit: int = 0
    step: int = -1
    address: str = "127.0.0.1"


def run_jobs(jobs: list[Job]) -> list[list[int]]:
    """Exit codes of each job's ranks."""
    command = [sys.executable, "-m", "tests.train.ranks"]
    words = json.dumps([dataclasses.asdict(job) for job in jobs])
    root = str(
        Path(__file__).parents[2]
    )  # where `tests` is, wherever pytest was started and whatever `main` has set
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        command, input=words, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    codes: list[list[int]] = json.loads(done.stdout)
    return codes


def without_norm(num_classes: int = 10, in_chans: int = 1) -> nn.Module:
    """A network whose gradients do not depend on how a batch is cut."""
    layers = [nn.Conv2d(in_chans, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, num_classes))


@contextmanager
def nothing_finite(task: Any) -> Iterator[None]:
    """Losses that are no numbers, inside a ``with`` block."""
    kind, loss = type(task), type(task).loss
    kind.loss = lambda *arguments: loss(*arguments) * float("nan")
    try:
        yield
    finally:
        kind.loss = loss


class Watch:
    """Keeps what a rank does, and lets things happen to it."""

    def __init__(self, job: Job, rank: int) -> None:
        self.job, self.rank = job, rank
        self.seen: dict[str, Any] = {"ids": [], "reduces": [], "gradients": [], "statistics": []}
        self.reduces = 0
        self.step = 0
        self._patch()

    def _patch(self) -> None:
        all_reduce, step, run = dist.all_reduce, Trainer.step, AllReduce.run

        def counted(tensor: torch.Tensor, *rest: Any, **options: Any) -> Any:
            self.reduces += 1
            return all_reduce(tensor, *rest, **options)

        def watched_step(trainer: Trainer, number: int, batch: Any, tally: Any) -> None:
            self.step, self.reduces = number, 0
            if self.happens("signal"):
                os.kill(os.getpid(), signal.SIGUSR1)
            if self.happens("kill"):
                os.kill(os.getpid(), signal.SIGKILL)
            with nothing_finite(trainer.task) if self.happens("nan") else nullcontext():
                step(trainer, number, batch, tally)
            self.seen["ids"].append((number, batch.indices_N.tolist()))
            self.seen["reduces"].append(self.reduces)

        def watched_run(all_reduce: AllReduce, flags: Any, widens: bool) -> Any:
            result = run(all_reduce, flags, widens)
            parameters = all_reduce._parameters
            self.seen["gradients"].append([None if p.grad is None else p.grad.clone() for p in parameters])
            self.seen["statistics"].append([statistic.clone() for statistic in all_reduce.statistics._now])
            return result

        def getitem(dataset: BatchDataset, key: Any) -> Any:
            loaded = item(dataset, key)
            if self.happens("broken image", self.step + 1) and dataset.steps.whole is not None:
                return dataclasses.replace(loaded, batch=None, error=DataError("an image is broken."))
            return loaded

        item = BatchDataset.__getitem__
        dist.all_reduce, Trainer.step, AllReduce.run = counted, watched_step, watched_run  # type: ignore[method-assign,assignment]
        BatchDataset.__getitem__ = getitem  # type: ignore[method-assign]
        if self.job.event == "broken image":  # a batch is then made in its step, as those of files are
            BatchDataset.is_immediate = property(lambda _: False)  # type: ignore[assignment]

    def happens(self, event: str, step: int | None = None) -> bool:
        """Whether it is time."""
        job = self.job
        now = self.step if step is None else step
        return job.event == event and job.culprit == self.rank and job.step == now


def _rank(job: Job, rank: int, port: int) -> int:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": job.size, "MASTER_PORT": port}
    if job.size > 1:
        os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR=job.address)
    output = os.open(Path(job.folder) / f"rank{rank}.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    watch = Watch(job, rank)
    code = main([*job.words, *(job.own_words[rank] if job.own_words else ())])
    torch.save(watch.seen, Path(job.folder) / f"rank{rank}.pt")
    return code


def _run(job: Job) -> list[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    Path(job.folder).mkdir(parents=True, exist_ok=True)
    children = []
    for rank in range(job.size) if job.ranks is None else job.ranks:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = _rank(job, rank, port)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [_wait(child) for child in children]


def _wait(child: int) -> int:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


if __name__ == "__main__":
    print(json.dumps([_run(Job(**fields)) for fields in json.load(sys.stdin)]))
