"""Finds out which process of a training this one is, from torchrun's or SLURM's variables; does not import torch."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netaug.core.errors import ConfigError

_SLURM = ("SLURM_STEP_ID", "SLURM_PROCID", "SLURM_LOCALID")
_OURS = re.compile(
    r"(?:RANK|LOCAL_RANK|GROUP_RANK|ROLE_RANK|ROLE_NAME|WORLD_SIZE|LOCAL_WORLD_SIZE|GROUP_WORLD_SIZE"
    r"|ROLE_WORLD_SIZE|MASTER_ADDR|MASTER_PORT|TORCHELASTIC_.*|SLURM_STEP_.*|SLURM_PROCID|SLURM_LOCALID)"
)
_FIRST_PORT, _PORTS = 15000, 20000


@dataclass(frozen=True)
class Place:
    """Describes one process among those that train together.

    Args:
        rank: Its number, 0-based, over all machines.
        size: How many there are.
        local_rank: Its number on its machine.
        rendezvous: Where rank 0 listens, ``(host, port)``; None leaves that to torch's own variables.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    rendezvous: tuple[str, int] | None = None


def place(environment: Mapping[str, str] | None = None) -> Place:
    """Return the place that torchrun's variables name, else those of a SLURM step, else that of a single process.

    A batch script of SLURM is alone, whatever its job's size: only the tasks that `srun` starts belong together.

    Raises:
        ConfigError: A variable is not a number, or the numbers do not fit.
    """
    variables = os.environ if environment is None else environment
    if "RANK" in variables and "WORLD_SIZE" in variables:
        rank, size = _number(variables, "RANK"), _number(variables, "WORLD_SIZE")
        local = _number(variables, "LOCAL_RANK") if "LOCAL_RANK" in variables else rank
        here = Place(rank, size, local)
    elif all(name in variables for name in _SLURM):
        tasks = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in variables else "SLURM_NTASKS"
        size = _number(variables, tasks) if tasks in variables else 1
        where = None if size == 1 or "MASTER_ADDR" in variables else _slurm_rendezvous(variables)
        here = Place(_number(variables, "SLURM_PROCID"), size, _number(variables, "SLURM_LOCALID"), where)
    else:
        return Place()
    if not (0 <= here.rank < here.size and 0 <= here.local_rank < here.size):
        raise ConfigError(
            "the variables of the launcher do not fit together.",
            got=f"rank {here.rank}, local rank {here.local_rank}, {here.size} processes",
            allowed="ranks from 0 to one less than the number of processes",
            fix="start with torchrun or srun, or remove RANK and WORLD_SIZE from the environment",
        )
    return here


SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Keeps the working directory off the import path of Python's children (`python -m`, `python -c`), torchrun's too."""


def alone(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without what makes a process one of several, for children with trainings of their own."""
    variables = os.environ if environment is None else environment
    return {name: value for name, value in variables.items() if not _OURS.fullmatch(name)}


def end_with_parent() -> Callable[[], None] | None:
    """Return what a child process calls first, so that it ends when its parent is killed; None where nothing can.

    It gets SIGTERM from Linux's ``prctl(PR_SET_PDEATHSIG)``: without, a training would continue alone in its folder.
    """
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def call() -> None:
        prctl(1, int(signal.SIGTERM))
        if os.getppid() != parent:  # it died meanwhile
            os._exit(1)

    return call


def first_host(nodes: str) -> str:
    """Return the first host of a SLURM node list, such as ``gpu003`` of ``gpu[003-007,9],big1``."""
    match = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\]([^,\[]*))?", nodes)
    if match is None:
        raise ConfigError(
            "SLURM's node list cannot be read.", got=repr(nodes), fix="set MASTER_ADDR and MASTER_PORT"
        )
    return "".join(part or "" for part in match.groups())


def _slurm_rendezvous(variables: Mapping[str, str]) -> tuple[str, int]:
    """Return the first host of the step, where rank 0 is; the launching host need not be one of them."""
    for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        if variables.get(name):
            host = first_host(variables[name])
            break
    else:
        host = variables.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
    if "MASTER_PORT" in variables:
        return host, _number(variables, "MASTER_PORT")
    job = _number(variables, "SLURM_JOB_ID") if "SLURM_JOB_ID" in variables else 0
    return host, _FIRST_PORT + job % _PORTS  # jobs that share a machine mostly differ in it


def _number(variables: Mapping[str, str], name: str) -> int:
    try:
        return int(variables[name])
    except ValueError:
        raise ConfigError(
            f"the variable {name} is not a number.", got=repr(variables[name]), allowed="a whole number"
        ) from None
