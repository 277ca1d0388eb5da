"""A process ends even if one of its loader processes is stuck and ignores what it is told."""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import subprocess
import sys
from typing import Any

import pytest
from torch.utils.data import Dataset, SequentialSampler

from netaug.data.loading import Batches, Loading

STUCK = """
import time
from torch.utils.data import DataLoader
from netaug.data.workers import end_with_this_process, start_worker

class Stuck:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        time.sleep(10_000)

iterator = iter(DataLoader(Stuck(), batch_size=None, num_workers=1, worker_init_fn=start_worker))
end_with_this_process(iterator)
time.sleep(1.0)  # the worker now ignores SIGTERM
{forget}
print("done", flush=True)
"""


@dataclasses.dataclass
class Loaded:
    """A string as a batch."""

    batch: str
    skipped: tuple[str, ...] = ()
    error: None = None


class Numbers(Dataset[Loaded]):
    """Of each key, its digits as the batch."""

    def __getitem__(self, key: int) -> Loaded:
        return Loaded(str(key))


@pytest.mark.slow
@pytest.mark.parametrize("forget", ["", "del iterator"], ids=["alive at the end", "gone before the end"])
def test_a_stuck_worker_does_not_keep_the_process(forget: str) -> None:
    """Torch and `multiprocessing` send SIGTERM and wait; without a kill both would wait for ever."""
    program = STUCK.replace("{forget}", forget)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "done\n", done.stderr
    assert done.returncode == 0


def test_workers_hear_that_their_loader_is_collected_in_a_cycle() -> None:
    """Torch alone would close the queues before it tells the workers, wait five seconds for each, and kill it."""
    before = set(multiprocessing.active_children())
    loading = Loading(workers=2)
    cycle: list[Any] = [Batches[str](Numbers(), SequentialSampler(range(4)), loading)]
    cycle.append(cycle)
    assert list(cycle[0]) == list(cycle[0]) == ["0", "1", "2", "3"]
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    del cycle
    gc.collect()
    assert [worker.exitcode for worker in workers] == [0, 0]
