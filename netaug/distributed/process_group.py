"""Makes the process group of a training before it starts, and destroys it at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from netaug.core.errors import NetaugError, TrainingError, first_line
from netaug.core.limits import explain_limit
from netaug.distributed.consistency import Report
from netaug.distributed.differences import differences
from netaug.distributed.launch import Place, place
from netaug.distributed.rendezvous import meet
from netaug.distributed.world import World, uses_cuda

_log = logging.getLogger("netaug")


@contextmanager
def process_group(
    device: str, timeout_minutes: float, report: Callable[[str], Report] = lambda _: Report()
) -> Iterator[World]:
    """Yield the world of this process: the others are met at the start of the ``with`` block, and left at its end.

    Args:
        device: The setting ``train.device``. NCCL connects CUDA devices, Gloo the rest.
        timeout_minutes: How long others are waited for, at the start and at every step.
        report: Makes this process's report to the others from the name of the backend; called only if there are
            others.

    Raises:
        TrainingError: Not all processes come, or the meeting point cannot be reached.
        ConfigError: The launcher's variables make no sense, or the processes were started with different settings.
        NetaugError: Another process cannot start.
    """
    here = place()
    world = World(here.rank, here.size, here.local_rank)
    if here.size == 1:
        yield world
        return
    cuda = uses_cuda(device)
    if cuda:  # NCCL uses the current device for what names none: without this all ranks would share device 0
        torch.cuda.set_device(here.local_rank % torch.cuda.device_count())
    backend = "nccl" if cuda else "gloo"
    _meet(here, backend, timeout_minutes, report(backend))
    try:
        yield world
    finally:
        dist.destroy_process_group()


def _meet(here: Place, backend: str, timeout_minutes: float, report: Report) -> None:
    try:
        reports = meet(here, backend, timedelta(minutes=timeout_minutes), report)
    except NetaugError as error:  # known to all: each shows it
        error.loud = True
        raise
    except (
        RuntimeError,
        ValueError,
        OSError,
    ) as error:  # torch's errors of networks and stores are RuntimeErrors
        missed = explain_limit(error) or TrainingError(
            f"rank {here.rank} did not meet the other {here.size - 1} processes of the training.",
            got=first_line(error),
            allowed=f"all of them within {timeout_minutes:g} minutes (train.timeout_minutes)",
            fix="check that every process was started, with the same MASTER_ADDR and MASTER_PORT (torchrun: "
            "--rdzv-endpoint), and that no firewall is between the machines",
        )
        missed.loud = True
        raise missed from error
    for text in differences({rank: one.versions for rank, one in reports.items()}):
        _log.warning("ranks have different versions: %s; results may differ in their last bits.", text)
