"""Turns failures of torch into messages that name the setting that helps.

Memory that runs out, a loader process that dies, an operation without a deterministic form: anything else keeps its
traceback. ``train.deterministic`` is torch's own switch, with what cuBLAS and cuDNN need.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from netaug.config import TrainConfig
from netaug.core.errors import NetaugError, TrainingError, first_line
from netaug.core.limits import explain_limit

_NO_MEMORY = re.compile(r"DefaultCPUAllocator|not enough memory|out of memory", re.IGNORECASE)
_LOADER = re.compile(r"DataLoader worker|insufficient shared memory")
_KILLED = re.compile(r"killed by signal: Killed")
_NONDETERMINISTIC = re.compile(r"(\S+) does not have a deterministic implementation")
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_RESUMES = "the same command resumes from the last checkpoint"


@contextmanager
def explained(config: TrainConfig, batch_size: int | None = None) -> Iterator[None]:
    """Turn known failures inside a ``with`` block into errors of ours; others pass as they are.

    Args:
        config: Names the settings that help.
        batch_size: Images per step of all processes, named where memory runs out; None outside of a step.

    Raises:
        TrainingError: Memory ran out, a loader process died, an operation has no deterministic form, or the network
            cannot be compiled.
    """
    try:
        yield
    except (RuntimeError, MemoryError, EOFError, OSError) as error:
        known = explain(error, config, batch_size)
        if known is None:
            raise
        raise known from error


def explain(error: Exception, config: TrainConfig, batch_size: int | None) -> NetaugError | None:
    """Return the error for a known failure of torch, None for others."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or _NO_MEMORY.search(text):
        return _out_of_memory(text, config, batch_size)
    if (limit := explain_limit(error)) is not None:
        return limit
    if _LOADER.search(text) or (isinstance(error, EOFError | OSError) and _talks_to_a_process(error)):
        return _loader_died(text or type(error).__name__)
    if (operation := _NONDETERMINISTIC.search(text)) is not None:
        return TrainingError(
            "an operation of the network has no deterministic form on this device.",
            got=operation[1],
            fix="--train.deterministic false, or replace this operation in the network",
        )
    if config.deterministic and _CUBLAS in text:
        return TrainingError(
            "matrix products are not deterministic with these environment variables.",
            got=first_line(error),
            fix=f"start with {_CUBLAS}=:4096:8",
        )
    if config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return not_compiled(error)
    return None


def not_compiled(error: Exception) -> TrainingError:
    """Return the error for a network, or a machine, that `train.compile` does not work with."""
    text = str(error)
    machine = "InvalidCxxCompiler" in text or "triton" in text.lower()
    return TrainingError(
        "this machine cannot compile networks." if machine else "the network cannot be compiled.",
        got=first_line(error),
        allowed="a C++ compiler such as g++ on the PATH or in CXX; for CUDA also Triton" if machine else None,
        fix="install it, or --train.compile false" if machine else "--train.compile false",
    )


def _out_of_memory(text: str, config: TrainConfig, batch_size: int | None) -> TrainingError:
    more = 2 * config.accumulate
    fix = "lower data.batch_size, data.image_size or netaug.max_macs_ratio"
    if batch_size is None or 2 * more <= batch_size:
        parts = f"--train.accumulate {more} takes the same batch in {more} microbatches"
        fix = f"{parts}; where data.norm_batch is set, lower that; or {fix}"
    return TrainingError(
        "memory ran out.",
        got=f"{'' if batch_size is None else f'data.batch_size {batch_size}, '}train.accumulate {config.accumulate}; "
        f"{next(iter(text.splitlines()), '')}",
        fix=f"{fix}; as another run, with another --out",
    )


def _talks_to_a_process(error: BaseException) -> bool:
    """Return whether it was raised while data came from another process, which died in the middle of it."""
    # The error of a broken pipe names no process; where it was raised does.
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).parent.name == "multiprocessing" for frame in frames)


def _loader_died(text: str) -> TrainingError:
    killed = _KILLED.search(text) is not None
    return TrainingError(
        "a process that loads images has died.",
        got=next(iter(text.splitlines()), ""),
        fix=f"{_RESUMES}; if it happens again, "
        + ("memory is short: fewer data.workers, or data.cache none" if killed else "fewer data.workers")
        + ", and in a container more shared memory (docker run --shm-size)",
    )
