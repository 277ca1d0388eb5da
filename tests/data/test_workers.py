"""A process ends even if one of its loader processes is stuck and ignores what it is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
