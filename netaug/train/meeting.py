"""How processes find each other through a store that may remember processes of an earlier attempt."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store  # torch.distributed's own, with types
from torch.distributed.rendezvous import rendezvous

from netaug.processes import Place

_PAUSE_SECONDS = 0.02


def meet(here: Place, backend: str, timeout: timedelta) -> None:
    """Make the process group of a training.

    torchrun keeps one store over its restarts, and Gloo or NCCL then read where a process listened that is dead
    (pytorch#135712). Its count of restarts does not help: each machine counts its own. So each attempt writes under a
    name of its own, which :func:`agree_on_name` makes.

    Args:
        here: This process.
        backend: ``gloo`` or ``nccl``.
        timeout: How long others are waited for, here and in each collective later.

    Raises:
        RuntimeError: Not all processes come in time, or there is no store.
    """
    address = "env://"
    if here.rendezvous is not None:
        address = f"tcp://{here.rendezvous[0]}:{here.rendezvous[1]}"
    found: Iterator[tuple[Store, int, int]] = rendezvous(address, here.rank, here.size, timeout=timeout)
    store, _, _ = next(found)
    store.set_timeout(timeout)
    name = agree_on_name(store, here, timeout.total_seconds())
    dist.init_process_group(
        backend, store=PrefixStore(name, store), rank=here.rank, world_size=here.size, timeout=timeout
    )


def agree_on_name(store: Store, here: Place, seconds: float) -> str:
    """A name that exactly the processes of this attempt know.

    Each but rank 0 says hello with a word that nobody used before; rank 0 answers every word that it hears with the
    name, and is done when each process has confirmed the name. So words and names of earlier attempts do no harm.

    Args:
        store: That all processes see.
        here: This process.
        seconds: How long the others are waited for.

    Raises:
        RuntimeError: They do not come.
    """
    if here.rank > 0:
        word = uuid.uuid4().hex
        store.set(f"hello/{here.rank}", word)
        store.wait([f"answer/{word}"], timedelta(seconds=seconds))
        name = str(store.get(f"answer/{word}").decode())
        store.set(f"{name}/here/{here.rank}", "yes")
        return name
    name, end = uuid.uuid4().hex, time.monotonic() + seconds
    missing = set(range(1, here.size))
    answered: set[str] = set()
    while missing:
        for rank in sorted(missing):
            if store.check([f"hello/{rank}"]):
                word = store.get(f"hello/{rank}").decode()
                if word not in answered:
                    store.set(f"answer/{word}", name)
                    answered.add(word)
            if store.check([f"{name}/here/{rank}"]):
                missing.remove(rank)
        if missing and time.monotonic() > end:
            raise RuntimeError(f"not there after {seconds:g} s: rank {', '.join(map(str, sorted(missing)))}")
        time.sleep(_PAUSE_SECONDS if missing else 0)
    return name
