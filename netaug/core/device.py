"""Where a training runs, and how torch is set up for it."""

from __future__ import annotations

import ctypes
import os

import torch

from netaug.core.errors import ConfigError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # parameters of mallopt(3)


def choose_device(name: str, setting: str = "train.device") -> torch.device:
    """Return the device of this name; ``auto`` is CUDA where it is present, else the CPU.

    Args:
        name: As torch names it, or ``auto``.
        setting: Where the name comes from, for messages.

    Raises:
        ConfigError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        # A tensor is made on it: torch accepts names of devices that this machine does not have.
        device = torch.device(name)
        torch.empty(
            0, device=device, dtype=torch.float64
        )  # metrics are added up in it; not all devices know it
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ConfigError(
            f"{setting} {name!r} cannot be used.",
            got=str(error).split("\n")[0],
            allowed="auto, cpu, or a torch device of this machine such as cuda:1",
        ) from error
    if device.type == "meta":
        raise ConfigError(f"{setting} 'meta' computes nothing.", allowed="auto, cpu, cuda")
    return device


def set_up(device: torch.device, threads: int | None, deterministic: bool = False) -> None:
    """Set the number of CPU threads, what makes training on a CPU faster, and what makes CUDA repeatable.

    Denormals are flushed to zero: they slow small networks many times. cuDNN may else choose convolutions whose
    sums come in any order, and the same seed would give other weights.

    Args:
        device: Where training runs.
        threads: CPU threads; None leaves torch's choice.
        deterministic: Whether operations whose sums may come in any order are errors; torch then names them. What
            cuBLAS needs for it goes into the environment of the process, before its first use.
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cpu":
        torch.set_flush_denormal(True)
        keep_freed_memory()
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True


def keep_freed_memory() -> bool:
    """Let the C library keep the memory of freed tensors for the next ones, instead of returning it each time.

    Otherwise every activation above 32 MB is fetched from the kernel afresh and zeroed page by page, which costs
    more than the arithmetic of batch norm or an activation on it.

    Returns:
        Whether it could be set; only glibc knows how.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
    except (OSError, AttributeError):
        return False


def seed_everything(device: torch.device, seed: int) -> None:
    """Seed what layers such as dropout draw from on this device.

    `torch.manual_seed` seeds every kind of device, and formats a stack trace each time where CUDA is not in use.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
