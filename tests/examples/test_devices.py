"""The examples for several devices on two processes: one network, the gradients of both."""

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
EXAMPLES = ("distributed_data_parallel", "accelerate_loop")  # the second leaves its process group behind


@pytest.fixture(scope="module")
def updates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each rank has left the updates of each example; the processes start once for both."""
    folder, ports = tmp_path_factory.mktemp("ranks"), []
    for _ in EXAMPLES:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    # Spawned, not forked: autograd's threads, which another test may have started, do not survive a fork.
    start_processes(_run, args=(ports, folder), nprocs=2, start_method="spawn")
    return folder


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_on_two_processes(example: str, updates: Path) -> None:
    """The devices add their gradients once a step, so that added weights, too, stay the same on both."""
    model = netaug.create_model("micronet", num_classes=10, in_chans=1)
    with watched():  # the same settings as there
        ours = OurLoop(netaug.augment(model, torch.randn(2, 1, 8, 8)), F.cross_entropy, STEPS)
    ranks = [[Update(**fields) for fields in torch.load(updates / f"{example}-{rank}.pt")] for rank in (0, 1)]
    assert [len(of_rank) for of_rank in ranks] == [STEPS, STEPS]
    for one, two in zip(*ranks, strict=True):
        assert one.batch is not None
        assert two.batch is not None
        assert not torch.equal(one.batch[0], two.batch[0])
        first, second = ours.gradients(one), ours.gradients(two)
        assert one.gradients.keys() == two.gradients.keys() == first.keys()
        for name, gradient in one.gradients.items():
            assert torch.equal(gradient, two.gradients[name])
            torch.testing.assert_close(gradient, (first[name] + second[name]) / 2, rtol=1e-6, atol=1e-9)


def _run(rank: int, ports: list[int], folder: Path) -> None:
    """What `torchrun` and `accelerate launch --cpu` set up, then each example."""
    torch.set_num_threads(1)
    for example, port in zip(EXAMPLES, ports, strict=True):
        place = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": 2,
            "LOCAL_WORLD_SIZE": 2,
            "MASTER_PORT": port,
        }
        where = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "ACCELERATE_USE_CPU": "yes"}
        os.environ.update({name: str(value) for name, value in (place | where).items()})
        with watched() as watch:
            load(example).main(EPOCHS, IMAGES)
        torch.save([vars(update) for update in watch.updates], folder / f"{example}-{rank}.pt")
