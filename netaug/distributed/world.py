"""Connects the processes that train one network: collectives, errors that all ranks raise, work in order of rank.

``World`` is the only place that calls collectives; for a single process it costs nothing.
"""

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
    """Connects one process to the others of its training. A single process communicates nothing.

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
        """Return whether this is the main process, which writes and prints."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """Return which slice of each batch this process loads."""
        return Share(self.rank, self.size)

    def device(self, name: str) -> str:
        """Return the name of this process's device: each process on a machine has a CUDA device of its own.

        Raises:
            ConfigError: There are fewer devices than processes, or the setting names one device for all.
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

    def all_reduce(self, message: Tensor) -> None:
        """Replace a tensor by the sum over all processes, the same bits on each.

        Raises:
            TrainingError: Another process has exited.
        """
        if self.size > 1:
            with _peers():
                dist.all_reduce(message)

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all processes, ``[size, *shape]``, in the order of ranks.

        Raises:
            TrainingError: Another process has exited.
        """
        if self.size == 1:
            return tensor[None]
        tensors = [torch.empty_like(tensor) for _ in range(self.size)]
        with _peers():
            dist.all_gather(tensors, tensor.contiguous())
        return torch.stack(tensors)

    def from_first(self, value: Result) -> Result:
        """Return rank 0's value on every process; tensors in it arrive on the CPU.

        Args:
            value: Plain values and tensors, nested; those of ranks other than 0 are ignored.

        Raises:
            TrainingError: Another process has exited.
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
        result: Result = torch.load(received, map_location="cpu", weights_only=True)
        return result

    @contextmanager
    def raise_on_all_ranks(self) -> Iterator[None]:
        """Run a block that all processes run; an error on one of them is raised on all.

        Raises:
            NetaugError: The first failing rank's own. Rank 0 is the one to print it.
        """
        try:
            yield
        except PeerLostError:
            raise  # there is nobody left to exchange errors with
        except NetaugError as error:
            self.raise_if_any_failed(error)
        except Exception as error:  # a bug: shown with its traceback here, while the others only end
            self._send_unexpected(error)
            raise
        else:
            self.raise_if_any_failed(None)

    def _send_unexpected(self, error: Exception) -> None:
        where = f"rank {self.rank} failed with an unexpected error."
        with suppress(NetaugError):
            self.raise_if_any_failed(TrainingError(where, got=f"{type(error).__name__}: {first_line(error)}"))

    def raise_if_any_failed(self, error: NetaugError | None) -> None:
        """Exchange whether processes failed, and raise if one did; all have to call it.

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
            rank, received = failed[0]
            raised = error if error is not None and rank == self.rank else received
            raised.loud = self.first
            raise raised

    def check_equal(self, facts: Facts, error: Callable[[str], NetaugError]) -> None:
        """Compare facts that must be equal on all processes; all have to call it.

        Args:
            facts: What is compared, by its name in the message.
            error: Makes the error from the text that lists the differences.

        Raises:
            NetaugError: They differ; raised and shown on every process.
        """
        if self.size == 1:
            return
        content = json.dumps(facts, default=str)
        digest = torch.frombuffer(bytearray(hashlib.sha256(content.encode()).digest()), dtype=torch.uint8)
        digests = self.gather(self._on_device(digest))
        if bool((digests == digests[0]).all()):
            return
        texts = differences(dict(enumerate(map(json.loads, self._gather_objects(content)))))
        raised = error(listed(texts))
        raised.loud = True
        raise raised

    def _gather_objects(self, value: Result) -> list[Result]:
        """Return every process's value, in the order of ranks."""
        values: list[Any] = [None] * self.size
        with _peers():
            dist.all_gather_object(values, value)
        return values

    def main_process_first(self, ordered: bool, work: Callable[[], Result]) -> Result:
        """Do something on all processes; if ``ordered``, on rank 0 first, then on one per machine, then on the rest.

        A download then runs once per machine, and the other processes find its files.

        Raises:
            NetaugError: It fails on one.
        """
        turn = 0 if self.rank == 0 or not ordered else 1 if self.local_rank == 0 else 2
        results: list[Result] = []
        for now in range(3 if ordered and self.size > 1 else 1):
            with self.raise_on_all_ranks():
                if now == turn:
                    results.append(work())
        return results[0]

    def _on_device(self, tensor: Tensor) -> Tensor:
        """Move a tensor where the backend can send it: collectives of NCCL take CUDA tensors only."""
        return tensor.cuda() if dist.get_backend() == "nccl" else tensor


def uses_cuda(name: str) -> bool:
    """Return whether the setting ``train.device`` means CUDA on this machine."""
    return torch.cuda.is_available() and name.startswith(("auto", "cuda"))


@contextmanager
def _peers() -> Iterator[None]:
    """Turn the errors of a collective into one message."""
    try:
        yield
    except (RuntimeError, pickle.UnpicklingError) as error:
        lost = PeerLostError(
            "another process of the training has exited, or does not answer.",
            got=first_line(error),
            fix="see what that process printed last; the same command resumes from the last checkpoint "
            "(torchrun does so itself with --max-restarts)",
        )
        lost.loud = True
        raise lost from error


class PeerLostError(TrainingError):
    """A process of the training has exited, so that no error can be exchanged any more."""


def check_divides(world: World, batch_size: int, accumulate: int, *, most: int | None = None) -> int:
    """Return how many microbatches of each step's global batch a process has.

    The batch is cut into ``max(accumulate, world.size)`` microbatches, of ``most`` images (``data.norm_batch``) if that
    is set, and each process takes as many of them.

    Raises:
        ConfigError: The number of processes does not divide the batch or its microbatches, or makes them too small.
    """
    microbatches = max(accumulate, world.size)
    if most is not None and world.size > accumulate:
        raise ConfigError(
            f"{world.size} processes would leave each batch norm less than data.norm_batch {most} images.",
            got=f"{world.size} processes, data.batch_size {batch_size}",
            allowed=f"up to {accumulate} processes with these settings",
            fix=f"start fewer processes; or --data.norm_batch {max(2, batch_size // world.size)}, another training",
        )
    if (
        batch_size % world.size == 0
        and microbatches % world.size == 0
        and (microbatches == 1 or 2 * microbatches <= batch_size)
    ):
        return microbatches // world.size
    allowed = [
        size
        for size in range(1, batch_size // 2 + 1)
        if batch_size % size == 0 and max(accumulate, size) % size == 0
    ]
    raise ConfigError(
        f"the batches of this run cannot be divided among {world.size} processes.",
        got=f"{world.size} processes, data.batch_size {batch_size}, "
        + (f"train.accumulate {accumulate}" if most is None else f"data.norm_batch {most}"),
        allowed=f"{', '.join(map(str, allowed))} processes with these settings: data.batch_size is that of all "
        "processes together, and each microbatch has two images or more",
        fix="start one of these numbers of processes, or "
        f"--data.batch_size {max(2, batch_size // world.size) * world.size}",
    )


def in_turns(sums: Sequence[Tensor], world: World, device: torch.device) -> list[Tensor]:
    """Return the results of batches that processes took in turns, on every process, in the order of one process.

    Args:
        sums: Of this process's batches ``rank``, ``rank + size``, …, each ``[S]``, float64.
        world: The processes.
        device: Where the results are.

    Raises:
        TrainingError: Another process has exited.
    """
    if world.size == 1:
        return list(sums)
    width = len(sums[0]) if sums else 0
    facts = world.gather(torch.tensor([len(sums), width], device=device)).tolist()
    counts = [count for count, _ in facts]
    padded = torch.zeros(max(counts), max(width for _, width in facts), dtype=torch.float64, device=device)
    if sums:
        padded[: len(sums)] = torch.stack(list(sums))
    everything = world.gather(padded)
    return [everything[turn % world.size, turn // world.size] for turn in range(sum(counts))]


SINGLE_PROCESS = World()
"""A process that trains by itself."""
