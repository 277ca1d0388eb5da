"""Chooses the number of CPU threads of a training.

Threads of one operation wait for each other, and a small network has many operations of microseconds: beside other
work on the machine, two threads train it several times slower than one, and on an idle machine hardly faster.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from netaug.config import RunConfig
from netaug.core.modules import copied
from netaug.core.parallel import default_jobs
from netaug.data.batch import DataInfo
from netaug.distributed.world import World
from netaug.profile import Profile
from netaug.runs.folder import RunFolder

SMALL_STEP = 3e8
"""Multiply-accumulates of one forward of a batch below which one thread is taken unmeasured. Beside four other
processes on two cores two threads were 3 to 8 times slower than one below it, and 2 to 3 times slower above it."""
_WORTH = 0.9
"""More threads are taken if a step takes at most this fraction of the time of one thread."""
_ROUNDS, _IMAGES = 3, 32


def available_threads() -> int:
    """Return the processors that this process may use, within the CPU quota of its container and OMP_NUM_THREADS."""
    own = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if own == "1":
        return 1
    most = default_jobs()
    return min(most, int(own)) if own.isdecimal() and int(own) > 0 else most


def choose_threads(
    network: nn.Module, image_1CHW: Tensor, batch: int, macs: float, *, earlier: int | None = None
) -> int:
    """Return how many threads of one operation train this network fastest on a CPU.

    Args:
        network: The base network, on the CPU.
        image_1CHW: An image to measure with.
        batch: Images per step.
        macs: Multiply-accumulates of one image's forward.
        earlier: What was chosen when the run began: a resumed run computes as it did.

    Returns:
        1 below :data:`SMALL_STEP`. Above it, OMP_NUM_THREADS where that is set, so that runs that are compared do not
        differ; else 1 or all available ones, whichever took less time in three rounds.
    """
    most = threads_by_size(macs * batch)
    if earlier is not None:
        return min(earlier, available_threads())
    if most == 1 or "OMP_NUM_THREADS" in os.environ:
        return most
    return faster(_step_of(network, image_1CHW[:1].expand(min(batch, _IMAGES), -1, -1, -1)), most)


def threads_by_size(batch_macs: float) -> int:
    """Return one thread for a batch of few multiply-accumulates, else all that there are."""
    return 1 if batch_macs < SMALL_STEP else available_threads()


def _step_of(network: nn.Module, images_NCHW: Tensor) -> Callable[[], object]:
    """Return one forward and backward of a copy in evaluation mode."""
    network = copied(network).eval()
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]

    def step() -> object:
        outputs = network(images_NCHW)
        leaves = outputs if isinstance(outputs, list | tuple) else [outputs]
        total = torch.stack([leaf.float().sum() for leaf in leaves]).sum()
        return torch.autograd.grad(total, parameters, allow_unused=True)

    return step


def faster(step: Callable[[], object], most: int) -> int:
    """Return 1 or ``most`` threads, whichever takes less time for a step; the least of three rounds in turns counts."""
    before, seconds = torch.get_num_threads(), {1: float("inf"), most: float("inf")}
    try:
        for _ in range(_ROUNDS):
            for threads in seconds:
                torch.set_num_threads(threads)
                started = time.perf_counter()
                step()
                seconds[threads] = min(seconds[threads], time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    return most if seconds[most] <= _WORTH * seconds[1] else 1


def threads_at_start(environment: Path) -> int | None:
    """Return the threads that a run folder's ``environment.json`` names; None without such a file."""
    try:
        threads = json.loads(environment.read_text(encoding="utf-8"))["threads"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return threads if isinstance(threads, int) and threads > 0 else None


def set_threads(
    config: RunConfig,
    network: nn.Module,
    info: DataInfo,
    cost: Profile,
    resumed: RunFolder | None,
    device: torch.device,
    world: World,
) -> None:
    """Set the threads of a training on CPUs for which none are given, in all processes alike.

    Args:
        config: Settings of the training.
        network: The base network.
        info: The data.
        cost: Of the network.
        resumed: Run folder of a training that resumes; None of a new one.
        device: Where the network is trained.
        world: The processes of the training.
    """
    if config.train.threads is not None or device.type != "cpu":
        return
    batch = config.data.batch_size // world.size
    image_1CHW = torch.zeros(1, info.in_chans, info.image_size, info.image_size)
    with world.raise_on_all_ranks():
        earlier = threads_at_start(resumed.environment) if resumed else None
        chosen = world.first and choose_threads(network, image_1CHW, batch, cost.macs, earlier=earlier)
    torch.set_num_threads(world.from_first(chosen))
