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

from netaug.train.checkpoints import Checkpoints
from tests.train.test_distributed import WORDS, Runs

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
def started(*commands: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """The commands as processes, which are ended with the block."""
    processes = [
        subprocess.Popen(
            command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for command in commands
    ]
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
            try:
                process.communicate(timeout=60)
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
    """A run that nobody disturbs, by two agents as on two machines."""
    folder = tmp_path_factory.mktemp("torchrun")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ("--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}")
    command = torchrun(folder / "whole", *SLOWLY, options=(*where, "--rdzv-id=hosts"))
    with started(command, command) as agents:
        outputs = [agent.communicate(timeout=PATIENCE)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert sorted("top-1" in output for output in outputs) == [False, True]
    return Runs(folder)


def test_two_agents_with_a_rendezvous_train_one_network(whole: Runs) -> None:
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
    assert re.search(r"goes on after step \d+ of 24", output), output
    assert output.count("stopped; saved after step") == 1, output
    assert not (out / "summary.json").exists()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    weights = [(whole.folder / name / "model.safetensors").read_bytes() for name in ("whole", "disturbed")]
    assert weights[0] == weights[1]
    assert whole.metrics("disturbed") == whole.metrics("whole")
