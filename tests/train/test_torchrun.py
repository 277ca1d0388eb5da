"""Real torchrun: a rank is killed and all start again, the launcher is asked to stop, machines are two."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netaug.runs.checkpoints import Checkpoints
from tests.distributed.test_world import WORDS, Runs
from tests.train.hosts import two_hosts

pytestmark = pytest.mark.slow
SLOWLY = ("--train.checkpoint_minutes=0", "--data.workers=1", "--train.epochs=4")
PATIENCE = 200


def environment(interface: str = "lo") -> dict[str, str]:
    more = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": interface, "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **more}


def torchrun(out: Path, *words: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command; two processes by default."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *options]
    return [*launcher, "-m", "netaug", *WORDS, "--out", str(out), *words]


@contextmanager
def started(
    *commands: list[str], interfaces: tuple[str, ...] = ("lo",)
) -> Iterator[list[subprocess.Popen[str]]]:
    """The commands as processes, each on an interface, which are ended with the block."""
    processes = [
        subprocess.Popen(
            command, env=environment(interface), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for command, interface in zip(commands, interfaces, strict=True)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
            try:
                process.communicate(timeout=200)
            except (subprocess.TimeoutExpired, ValueError):
                process.kill()


def ranks_of(launcher: int) -> list[int]:
    """Processes that a launcher started, in the order of ranks."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return sorted(int(child) for child in children)


def newest_step(out: Path) -> int:
    """Of the checkpoints; 0 without one."""
    return max((int(path.stem) for path in Checkpoints(out / "checkpoints").paths()), default=0)


def wait_for_step(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while newest_step(out) < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "no checkpoint in time"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run that nobody disturbs, by two agents on two hosts."""
    folder = tmp_path_factory.mktemp("torchrun")
    with two_hosts() as hosts:
        endpoint = f"{hosts[0].address}:{_free_port()}"
        where = ("--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=hosts")
        where += (f"--rdzv-endpoint={endpoint}",)
        commands = [
            [
                *host.prefix,
                *torchrun(
                    folder / "whole",
                    *SLOWLY,
                    options=(
                        *where,
                        f"--rdzv-conf=is_host={int(number == 0)}",
                        f"--local-addr={host.address}",
                    ),
                ),
            ]
            for number, host in enumerate(hosts)
        ]
        with started(*commands, interfaces=tuple(host.interface for host in hosts)) as agents:
            outputs = [agent.communicate(timeout=PATIENCE)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert sorted("top-1" in output for output in outputs) == [False, True]
    print("two hosts:", "network namespaces" if hosts[0].prefix else "loopback")
    return Runs(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_hosts_train_one_network(whole: Runs) -> None:
    assert len(whole.metrics("whole")) == 4
    assert json.loads((whole.folder / "whole" / "summary.json").read_text())["steps"] == 24


def test_killed_restarted_stopped_and_started_again_it_ends_as_if_nothing_had_been(whole: Runs) -> None:
    """SIGKILL to a rank, after which torchrun starts all anew; SIGTERM to torchrun; the same command again."""
    out = whole.folder / "disturbed"
    command = torchrun(out, *SLOWLY, options=("--standalone", "--max-restarts=2", "--monitor-interval=0.1"))
    with started(command) as (launcher,):
        wait_for_step(out, 1, launcher)
        killed = ranks_of(launcher.pid)[-1]
        os.kill(killed, signal.SIGKILL)
        before = newest_step(out)
        wait_for_step(out, before + 2, launcher)
        launcher.terminate()
        output, _ = launcher.communicate(timeout=PATIENCE)
    assert re.search(r"resumes after step \d+ of 24", output), output
    assert output.count("stopped; saved after step") == 1, output
    assert not (out / "summary.json").exists()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    weights = [(whole.folder / name / "model.safetensors").read_bytes() for name in ("whole", "disturbed")]
    assert weights[0] == weights[1]
    assert whole.metrics("disturbed") == whole.metrics("whole")
