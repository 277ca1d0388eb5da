"""The processes that train one network together: what they tell each other, and how they agree."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from netaug.core.errors import ConfigError, NetaugError, TrainingError, first_line
from netaug.data.sampler import Share
from netaug.distributed.differences import Facts, differences, listed

Result = TypeVar("Result")


@dataclass(frozen=True)
class World:
    """The processes of one training, seen from one of them. Alone, everything here is free of charge.

    Args:
        rank: Number of this process, 0-based; 0 alone writes and prints.
        size: How many there are.
        local_rank: Number on this machine; chooses the CUDA device.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """What this process loads of each batch."""
        return Share(self.rank, self.size)

    def device(self, name: str) -> str:
        """The name of this process's device: of several processes on a machine each has a CUDA device of its own.

        Raises:
            ConfigError: There are fewer devices than processes, or all are to use one.
        """
        if self.size == 1 or not uses_cuda(name):
            return name
        count = torch.cuda.device_count()
        if ":" in name or self.local_rank >= count:
            raise ConfigError(
                "processes on one machine cannot share a CUDA device.",
                got=f"train.device {name}, process {self.local_rank + 1} on a machine with {count} devices",
                allowed=f"auto or cuda, and up to {count} processes on this machine; or cpu",
                fix=f"torchrun --nproc-per-node {count}",
            )
        return f"cuda:{self.local_rank}"

    def add_up(self, message: Tensor) -> None:
        """Replace a tensor by the sum over all processes, the same bits on each.

        Raises:
            TrainingError: Another process is gone.
        """
        if self.size > 1:
            with _peers():
                dist.all_reduce(message)

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, ``[size, *shape]``, in the order of ranks.

        Raises:
            TrainingError: Another process is gone.
        """
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with _peers():
            dist.all_gather(parts, tensor.contiguous())
        return torch.stack(parts)

    def from_first(self, value: Result) -> Result:
        """Rank 0's value, on every process; tensors in it arrive on the CPU.

        Args:
            value: Plain values and tensors, nested; what other ranks than 0 give is not looked at.

        Raises:
            TrainingError: Another process is gone.
        """
        if self.size == 1:
            return value
        buffer = io.BytesIO()
        if self.first:
            torch.save(value, buffer)
        size = self._on_device(torch.tensor([len(buffer.getvalue())]))
        with _peers():
            dist.broadcast(size, 0)
            content = torch.zeros(int(size.item()), dtype=torch.uint8)
            if self.first:
                content = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
            content = self._on_device(content)
            dist.broadcast(content, 0)
        if self.first:
            return value
        received = io.BytesIO(content.cpu().numpy().tobytes())
        found: Result = torch.load(received, map_location="cpu", weights_only=True)
        return found

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block that all processes run; an error on one of them is an error on all.

        Raises:
            NetaugError: The first failing rank's own. Rank 0 is the one to print it.
        """
        try:
            yield
        except PeerLostError:
            raise  # there is nobody to agree with
        except NetaugError as error:
            self.agree(error)
        except Exception as error:  # ours to mend, and shown with its traceback; the others only end
            self._tell_unexpected(error)
            raise
        else:
            self.agree(None)

    def _tell_unexpected(self, error: Exception) -> None:
        where = f"rank {self.rank} failed with an error that netaug does not know."
        with suppress(NetaugError):
            self.agree(TrainingError(where, got=f"{type(error).__name__}: {first_line(error)}"))

    def agree(self, error: NetaugError | None) -> None:
        """Tell the others whether this process failed, and raise if one did; all have to call it.

        Raises:
            NetaugError: The first failing rank's own.
        """
        if self.size == 1:
            if error is not None:
                raise error
            return
        outcomes = self._gather_objects(error)
        failed = [(rank, outcome) for rank, outcome in enumerate(outcomes) if outcome is not None]
        if failed:
            rank, found = failed[0]
            raised = error if error is not None and rank == self.rank else found
            raised.loud = self.first
            raise raised

    def check_alike(self, facts: Facts, error: Callable[[str], NetaugError]) -> None:
        """Compare facts that must be alike on all processes; all have to call it.

        Args:
            facts: What is compared, by the name that the message calls it.
            error: Makes the error from the text that lists the differences.

        Raises:
            NetaugError: They are not alike; raised and shown on every process.
        """
        if self.size == 1:
            return
        content = json.dumps(facts, default=str)
        digest = torch.frombuffer(bytearray(hashlib.sha256(content.encode()).digest()), dtype=torch.uint8)
        digests = self.gather(self._on_device(digest))
        if bool((digests == digests[0]).all()):
            return
        found = differences(dict(enumerate(map(json.loads, self._gather_objects(content)))))
        raised = error(listed(found))
        raised.loud = True
        raise raised

    def _gather_objects(self, value: Result) -> list[Result]:
        """Every process's value, in the order of ranks."""
        values: list[Any] = [None] * self.size
        with _peers():
            dist.all_gather_object(values, value)
        return values

    def first_does(self, first: bool, work: Callable[[], Result]) -> Result:
        """Do something on all processes, if ``first`` on one first, then on one a machine, then on the rest.

        Raises:
            NetaugError: It fails on one.
        """
        turn = 0 if self.rank == 0 or not first else 1 if self.local_rank == 0 else 2
        results: list[Result] = []
        for now in range(3 if first and self.size > 1 else 1):
            with self.together():
                if now == turn:
                    results.append(work())
        return results[0]

    def _on_device(self, tensor: Tensor) -> Tensor:
        """Collectives of NCCL take CUDA tensors only."""
        return tensor.cuda() if dist.get_backend() == "nccl" else tensor


def uses_cuda(name: str) -> bool:
    """Whether the setting ``train.device`` means CUDA on this machine."""
    return torch.cuda.is_available() and name.startswith(("auto", "cuda"))


@contextmanager
def _peers() -> Iterator[None]:
    """Turn the errors of a collective into one sentence."""
    try:
        yield
    except (RuntimeError, pickle.UnpicklingError) as error:
        lost = PeerLostError(
            "another process of the training is gone, or does not answer.",
            got=first_line(error),
            fix="see what that process printed last; the same command goes on from the last checkpoint "
            "(torchrun does so itself with --max-restarts)",
        )
        lost.loud = True
        raise lost from error


class PeerLostError(TrainingError):
    """A process of the training went away; there is nobody to agree with any more."""


def check_divides(world: World, batch_size: int, accumulate: int) -> int:
    """How many parts a process has of each step's global batch.

    The batch is cut into ``max(accumulate, world.size)`` parts, and each process takes as many of them.

    Raises:
        ConfigError: The number of processes does not divide the batch or its parts.
    """
    parts = max(accumulate, world.size)
    if batch_size % world.size == 0 and parts % world.size == 0 and (parts == 1 or 2 * parts <= batch_size):
        return parts // world.size
    allowed = [
        size
        for size in range(1, batch_size // 2 + 1)
        if batch_size % size == 0 and max(accumulate, size) % size == 0
    ]
    raise ConfigError(
        f"{world.size} processes cannot share the batches of this run.",
        got=f"{world.size} processes, data.batch_size {batch_size}, train.accumulate {accumulate}",
        allowed=f"{', '.join(map(str, allowed))} processes with these settings: data.batch_size is that of all "
        "together, and each part of it has two images or more",
        fix="start one of these numbers of processes, or "
        f"--data.batch_size {max(2, batch_size // world.size) * world.size}",
    )


def in_turns(sums: Sequence[Tensor], world: World, device: torch.device) -> list[Tensor]:
    """Results of batches that processes took in turns, on every process, in the order of one process.

    Args:
        sums: Of this process's batches ``rank``, ``rank + size``, …, each ``[S]``, float64.
        world: Who took part.
        device: Where the results are.

    Raises:
        TrainingError: Another process is gone.
    """
    if world.size == 1:
        return list(sums)
    width = len(sums[0]) if sums else 0
    facts = world.gather(torch.tensor([len(sums), width], device=device)).tolist()
    counts = [count for count, _ in facts]
    padded = torch.zeros(max(counts), max(one for _, one in facts), dtype=torch.float64, device=device)
    if sums:
        padded[: len(sums)] = torch.stack(list(sums))
    everything = world.gather(padded)
    return [everything[turn % world.size, turn // world.size] for turn in range(sum(counts))]


ALONE = World()
"""A process that trains by itself."""
