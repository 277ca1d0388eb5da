"""Measure what the training engine costs: resuming a run, checkpoints, and a step of two processes.

Run alone on an idle machine of two cores or more: `python -m benchmarks.engine`. What is compared takes turns within
one run, and ratios of medians are quoted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from netaug import AugmentConfig, Supernet, augment, create_model
from netaug.distributed.all_reduce import AllReduce, StepFlags
from netaug.distributed.world import World
from netaug.runs.checkpoints import Checkpoints, read_checkpoint
from netaug.train.optim import make_optimizer

CASES = {
    "mobilenetv2-tiny": (96, (1.0, 1.8, 2.6)),
    "mcunet": (96, (1.0, 1.6, 2.2)),
    "mobilenetv3-0.35": (96, (1.0, 2.0, 3.0)),
}
"""Input size in pixels (small, so that messages weigh more than in practice) and width multipliers."""
RANKS = 2
_EPOCHS, _STEPS = 20, 44  # of demo/digits with batches of 32


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32, help="images of a step, of all processes together")
    parser.add_argument("--networks", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--only", choices=("resume", "checkpoints", "processes"))
    asked = parser.parse_args()
    print(f"torch {torch.__version__}, {asked.rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if asked.only != "processes":
            _train(run, "--train.keep_checkpoints=100", "--train.checkpoint_minutes=null").communicate()
        if asked.only in (None, "resume"):
            resume(run, asked.rounds)
        if asked.only in (None, "checkpoints"):
            checkpoints(run, asked.rounds)
    if asked.only in (None, "processes"):
        for name in asked.networks:
            processes(name, asked.batch, asked.rounds)


def resume(run: Path, rounds: int) -> None:
    """Time from the start of the command to its first new step, after the first epoch and after the last but one."""
    times: dict[int, list[float]] = {_STEPS: [], (_EPOCHS - 1) * _STEPS: []}
    for _ in range(min(rounds, 5)):
        for step, seconds in times.items():
            copy = run.with_name("copy")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(run, copy)
            (copy / "summary.json").unlink()
            for path in Checkpoints(copy / "checkpoints").paths():
                if int(path.stem) > step:
                    path.unlink()
            seconds.append(_until_step(copy, step + 1))
    early, late = (statistics.median(seconds) for seconds in times.values())
    print(f"resuming until the first new step is saved: after step {min(times)} {early:.2f} s, after step "
          f"{max(times)} {late:.2f} s, ratio {late / early:.2f} (start of Python and torch included)")  # fmt: skip


def _until_step(run: Path, step: int) -> float:
    start = time.perf_counter()
    process = _train(run, "--train.keep_checkpoints=100", "--train.checkpoint_minutes=0")
    while not (run / "checkpoints" / f"{step:09d}.ckpt").exists():
        if process.poll() is not None:
            raise SystemExit(process.communicate()[1].decode())
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    process.kill()
    process.communicate()
    return seconds


def _train(run: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "netaug", "train", "demo/digits", f"--train.epochs={_EPOCHS}"]
    command += [
        "--train.eval_every=20",
        "--train.checkpoint_every=1",
        "--data.batch_size=32",
        "--train.threads=1",
        "--out",
        str(run),
    ]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def checkpoints(run: Path, rounds: int) -> None:
    """Print the size of a checkpoint, and the time to write (synced) and to read and check it, beside a step's."""
    content = read_checkpoint(Checkpoints(run / "checkpoints").paths()[0])
    for name in CASES:
        supernet, images_NCHW, labels_N = _case(name, 32)
        optimizer, step = _stepper(supernet, images_NCHW, labels_N)
        step(0)
        state = {**content, "network": supernet.state_dict(), "optimizer": optimizer.state_dict()}
        store = Checkpoints(run.with_name(f"checkpoints-{name}"))
        writing, reading, stepping = list[float](), list[float](), list[float]()
        for number in range(1, rounds + 1):
            stepping.append(_timed(partial(step, number)))
            writing.append(_timed(partial(store.save, state)))
            reading.append(_timed(partial(read_checkpoint, store.paths()[0])))
        write, read, plain = map(statistics.median, (writing, reading, stepping))
        size = store.paths()[0].stat().st_size / 2**20
        print(f"{name:18} checkpoint {size:.1f} MiB, written in {write * 1e3:.0f} ms = "
              f"{write / plain:.2f} NetAug steps of 32 images, read in {read * 1e3:.0f} ms")  # fmt: skip


def processes(name: str, batch: int, rounds: int) -> None:
    """Print the time of a NetAug step: two processes with a thread each, by one message and by DDP; one with two."""
    context = mp.get_context("spawn")
    turn, times = context.Barrier(RANKS + 1), context.SimpleQueue()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.set_num_threads(RANKS)
    ranks = [
        context.Process(target=_rank, args=(rank, port, name, batch, rounds, turn, times), daemon=True)
        for rank in range(RANKS)
    ]
    for process in ranks:
        process.start()
    supernet, images_NCHW, labels_N = _case(name, batch)
    _, step = _stepper(supernet, images_NCHW, labels_N)
    alone = []
    for number in range(-1, rounds):
        turn.wait()  # the processes take their step by one message
        turn.wait()  # and by DDP
        turn.wait()
        alone.append(_timed(partial(step, number + 1)))
        turn.wait()
    flat, ddp = times.get()
    for process in ranks:
        process.join()
    single, message, buckets = (statistics.median(times_of_way[1:]) for times_of_way in (alone, flat, ddp))
    parameters = sum(parameter.numel() for parameter in supernet.parameters())
    print(f"{name:18} {parameters / 1e6:.1f} M stored weights: 1 process x 2 threads {single * 1e3:.0f} ms, 2 x 1 "
          f"{message * 1e3:.0f} ms: {single / message:.2f} times as fast; with DDP {buckets * 1e3:.0f} ms, "
          f"DDP / one message {buckets / message:.2f}")  # fmt: skip


def _rank(rank: int, port: int, name: str, batch: int, rounds: int, turn: Any, times: Any) -> None:
    warnings.simplefilter("ignore")  # of DDP, about its own settings and memory orders
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    supernet, images_NCHW, labels_N = _case(name, batch)
    images_of_rank = slice(rank * batch // RANKS, (rank + 1) * batch // RANKS)
    exchange = AllReduce(supernet, World(rank, RANKS, rank), 1)
    _, by_message = _stepper(supernet, images_NCHW[images_of_rank], labels_N[images_of_rank], exchange)
    other, _, _ = _case(name, batch)
    wrapped = DistributedDataParallel(other, broadcast_buffers=False)
    _, by_ddp = _stepper(other, images_NCHW[images_of_rank], labels_N[images_of_rank], wrapped)
    seconds: tuple[list[float], list[float]] = [], []
    for number in range(-1, rounds):
        for step, seconds_of_way in zip((by_message, by_ddp), seconds, strict=True):
            turn.wait()
            dist.barrier()
            seconds_of_way.append(_timed(partial(step, number + 1)))
        turn.wait()
        turn.wait()  # the process alone takes its step
    if rank == 0:
        times.put(seconds)
    dist.destroy_process_group()


def _case(name: str, batch: int) -> tuple[Supernet, Tensor, Tensor]:
    size, width = CASES[name]
    torch.manual_seed(0)
    model = create_model(name, num_classes=1000)
    supernet = augment(model, torch.randn(2, 3, size, size), AugmentConfig(width=width))
    images_NCHW = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    return (
        supernet.to(memory_format=torch.channels_last),
        images_NCHW,
        torch.randint(0, 1000, (batch,)),
    )


def _stepper(
    supernet: Supernet,
    images_NCHW: Tensor,
    labels_N: Tensor,
    among: AllReduce | DistributedDataParallel | None = None,
) -> tuple[torch.optim.Optimizer, Callable[[int], None]]:
    """Return the optimizer and a NetAug step: single, by one message, or in DDP, the base pass under ``no_sync``."""
    optimizer = make_optimizer(supernet.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5)
    ddp = among if isinstance(among, DistributedDataParallel) else None
    exchange = among if isinstance(among, AllReduce) else None

    def step(number: int) -> None:
        optimizer.zero_grad()
        if exchange is not None:
            exchange.statistics.start()
        for pass_ in supernet.passes(number, 0.0):
            with ddp.no_sync() if ddp is not None and not pass_.last else contextlib.nullcontext():
                network = supernet if ddp is None else ddp
                (pass_.weight * F.cross_entropy(network(images_NCHW), labels_N)).backward()
            if exchange is not None and pass_.name == "base":
                exchange.statistics.collect(last=True)
        if exchange is not None:
            exchange.run(StepFlags(), widens=True)
        optimizer.step()

    return optimizer, step


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
