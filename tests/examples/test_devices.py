"""The Accelerate example on two processes: one network, the gradients of both."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
from torch.multiprocessing import start_processes
from torch.nn import functional as F

import netaug
from tests.examples.watching import OurLoop, Update, load, watched

pytestmark = pytest.mark.slow
EPOCHS, IMAGES, STEPS = 4, 100, 4


def test_accelerate_loop_on_two_processes(tmp_path: Path) -> None:
    """The devices add their gradients once a step, so that added weights, too, stay the same on both."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    model = netaug.create_model("micronet", num_classes=10, in_chans=1)
    with watched():  # the same settings as there
        ours = OurLoop(netaug.augment(model, torch.randn(2, 1, 8, 8)), F.cross_entropy, STEPS)
    # Spawned, not forked: autograd's threads, which another test may have started, do not survive a fork.
    start_processes(_run, args=(port, tmp_path), nprocs=2, start_method="spawn")
    ranks = [[Update(**fields) for fields in torch.load(tmp_path / f"{rank}.pt")] for rank in (0, 1)]
    assert [len(updates) for updates in ranks] == [STEPS, STEPS]
    for one, two in zip(*ranks, strict=True):
        assert one.batch is not None
        assert two.batch is not None
        assert not torch.equal(one.batch[0], two.batch[0])
        first, second = ours.gradients(one), ours.gradients(two)
        assert one.gradients.keys() == two.gradients.keys() == first.keys()
        for name, gradient in one.gradients.items():
            assert torch.equal(gradient, two.gradients[name])
            torch.testing.assert_close(gradient, (first[name] + second[name]) / 2, rtol=1e-6, atol=1e-9)


def _run(rank: int, port: int, folder: Path) -> None:
    """What `accelerate launch --cpu` sets up, then the example."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    where = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "ACCELERATE_USE_CPU": "yes"}
    os.environ.update({name: str(value) for name, value in (place | where).items()})
    with watched() as watch:
        load("accelerate_loop").main(EPOCHS, IMAGES)
    torch.save([vars(update) for update in watch.updates], folder / f"{rank}.pt")
