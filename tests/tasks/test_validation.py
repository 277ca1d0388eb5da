"""What several processes find in an evaluation comes together on each: all of it, once, in the order of ranks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from netaug.distributed.world import SINGLE_PROCESS
from netaug.tasks.validation import rows_of_all

CPU = torch.device("cpu")


class Threads:
    """Processes as threads: each hands in a tensor, and gets those of all."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size, timeout=200)
        self._slots: list[Tensor | None] = [None] * size

    def of(self, rank: int) -> _Rank:
        return _Rank(self, rank)

    def gather(self, rank: int, tensor: Tensor) -> Tensor:
        self._slots[rank] = tensor
        self._barrier.wait()
        found = torch.stack([slot for slot in self._slots if slot is not None])
        self._barrier.wait()
        return found


class _Rank:
    def __init__(self, threads: Threads, rank: int) -> None:
        self.size, self._threads, self._rank = threads.size, threads, rank

    def gather(self, tensor: Tensor) -> Tensor:
        return self._threads.gather(self._rank, tensor)


def rows(*images: int) -> Tensor:
    return torch.tensor([[float(image), image + 0.5] for image in images], dtype=torch.float64).reshape(-1, 2)


@pytest.mark.parametrize(
    "own",
    [
        [rows(0, 0, 2), rows(1)],
        [rows(), rows(1, 3)],
        [rows(), rows()],
        [rows(4), None, rows(1, 2)],
    ],
    ids=["uneven", "one found nothing", "none found anything", "one had no batch"],
)
def test_rows_of_all_processes_come_to_each(own: list[Tensor | None]) -> None:
    threads = Threads(len(own))
    with ThreadPoolExecutor(len(own)) as pool:
        found = list(
            pool.map(lambda rank: rows_of_all(own[rank], threads.of(rank), CPU), range(len(own)))  # type: ignore[arg-type]
        )
    expected = torch.cat([one for one in own if one is not None])
    for one in found:
        assert one is not None
        torch.testing.assert_close(one, expected, rtol=0, atol=0)


def test_there_are_no_rows_where_sums_are_enough() -> None:
    threads = Threads(2)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda rank: rows_of_all(None, threads.of(rank), CPU), range(2)))  # type: ignore[arg-type]
    assert found == [None, None]
    assert rows_of_all(None, SINGLE_PROCESS, CPU) is None
