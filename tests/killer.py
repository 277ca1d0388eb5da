"""Commands that are killed at their n-th change of a folder, in processes forked from one that has imported everything.

`python -m tests.killer` reads a job per line as JSON and answers each with the exit codes of its processes and the
number of changes that were made. A change is what leaves another state behind if the process dies right before it:
a file opened for writing, brought to the disk, renamed, cut or removed, a folder made or removed. As a job can be
killed before any of them, there is no moment that cannot be tried.
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
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 240.0
_OTHER_RANKS_SECONDS = 20.0
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}


@dataclasses.dataclass(frozen=True)
class Job:
    """One command.

    Args:
        words: After `netaug`; beginning with ``fake-compare``, a comparison by the fake train command.
        watch: The folder whose changes are counted.
        kill_at: The change before which the first process is killed; 0 lets it end.
        ranks: Number of processes, as torchrun starts them.
    """

    words: tuple[str, ...]
    watch: str
    kill_at: int = 0
    ranks: int = 1


class Killer:
    """Forks jobs one after the other; a context manager."""

    def __enter__(self) -> Killer:
        root = str(Path(__file__).parents[1])  # where `tests` is, whatever `main` has set for child processes
        environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.killer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        assert self._server.stdout is not None
        self._server.stdout.close()

    def run(self, job: Job) -> tuple[list[int], int, str]:
        """Exit codes, changes that were made, and what was printed."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(dataclasses.asdict(job)), file=self._server.stdin, flush=True)
        codes, count, text = json.loads(self._server.stdout.readline())
        return codes, count, text


class _Counter:
    """Counts the changes of a folder, and kills this process right before one of them."""

    def __init__(self, job: Job, pipe: int) -> None:
        self._watch, self._kill_at, self._pipe = os.path.realpath(job.watch), job.kill_at, pipe
        self._count, self._process = 0, os.getpid()
        sys.addaudithook(self._audit)
        for name in ("fsync", "pwrite"):
            setattr(os, name, self._counted(getattr(os, name)))

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments[2] & _WRITES:
            self._change(arguments[0])
        elif event in _CHANGES:
            folder = next((one for one in arguments[1:] if isinstance(one, int) and one > 2), None)
            self._change(arguments[0], folder if event in ("os.remove", "os.rmdir") else None)

    def _counted(self, plain: Any) -> Any:
        def call(descriptor: int, *rest: Any) -> Any:
            self._change(descriptor)
            return plain(descriptor, *rest)

        return call

    def _change(self, place: Any, folder: int | None = None) -> None:
        if isinstance(place, int):
            place = os.readlink(f"/proc/self/fd/{place}")
        place = os.fsdecode(place)
        if folder is not None and not os.path.isabs(place):
            place = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), place)
        inside = os.path.abspath(place).startswith((self._watch + "/", self._watch + " "))
        if not inside or os.getpid() != self._process:  # loader processes are copies
            return
        self._count += 1
        os.write(self._pipe, b".")
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _command(job: Job) -> int:
    sys.argv = ["netaug", *job.words]
    if job.words[0] == "fake-compare":
        from tests.compare.start import main as compare

        compare(Path(job.words[1]), "0")
        return 0
    from netaug.cli import main

    return main(job.words)


def _fork(job: Job, rank: int, port: int, output: int, pipe: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        if job.ranks > 1:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": job.ranks, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
        if rank == 0:
            _Counter(job, pipe)
        code = _command(job)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(job: Job) -> tuple[list[int], int, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = os.memfd_create("output")
    reading, pipe = os.pipe()
    children = [_fork(job, rank, port, output, pipe) for rank in range(job.ranks)]
    os.close(pipe)
    with os.fdopen(reading, "rb") as counted:
        count = len(counted.read()) if job.ranks == 1 else None
        codes = [_wait(children[0], PATIENCE_SECONDS)]
        codes += [
            _wait(child, _OTHER_RANKS_SECONDS if codes[0] else PATIENCE_SECONDS) for child in children[1:]
        ]
        count = len(counted.read()) if count is None else count
    with os.fdopen(output, "r+b") as file:
        file.seek(0)
        return codes, count, file.read().decode(errors="replace")[-3000:]


def _wait(child: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)  # torchrun ends the other ranks
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _import_everything() -> None:
    import PIL.ImageFont  # noqa: F401
    import sklearn.datasets  # noqa: F401

    import netaug.commands.eval
    import netaug.commands.extract
    import netaug.commands.import_weights
    import netaug.compare.engine
    import netaug.distill.session
    import netaug.report
    import netaug.train.reopen
    import netaug.train.run  # noqa: F401


if __name__ == "__main__":
    _import_everything()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        words = json.loads(line)
        print(json.dumps(_run(Job(**{**words, "words": tuple(words["words"])}))), file=answers, flush=True)
