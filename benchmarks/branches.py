"""Measure what a training step costs with branches and with depth, as a multiple of the plain network's.

    python -m benchmarks.branches --model micronet --image-size 16 --batch-size 256

Processor time of forward, backward and update; the arms take turns, and medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netaug

ARMS: dict[str, Callable[[nn.Module, Tensor, int], nn.Module]] = {
    "plain": lambda model, x, branches: model,
    "separate branches": lambda model, x, branches: netaug.reparameterize(
        model, x, branches, form="separate"
    ),
    "auto": lambda model, x, branches: netaug.reparameterize(model, x, branches),
    "merged branches": lambda model, x, branches: netaug.reparameterize(model, x, branches, form="merged"),
    "one norm": lambda model, x, branches: netaug.reparameterize(model, x, branches, norms="one"),
    "auto, no 1x1, no identity": lambda model, x, branches: netaug.reparameterize(
        model, x, branches, point=False, identity=False
    ),
    "depth": lambda model, x, branches: netaug.deepen(model, x),
}


def step_of(network: nn.Module, x: Tensor, labels_N: Tensor) -> Callable[[], None]:
    """Return one training step of a network."""
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x), labels_N).backward()
        optimizer.step()

    return step


def main() -> None:
    """Print the medians and their ratios to the plain network's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="micronet")
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--branches", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    side = arguments.image_size
    x = torch.randn(arguments.batch_size, 3, side, side).to(memory_format=torch.channels_last)
    labels_N = torch.randint(0, 10, (arguments.batch_size,))
    model = netaug.create_model(arguments.model, num_classes=10)
    steps = {
        name: step_of(make(model, x[:2], arguments.branches), x, labels_N) for name, make in ARMS.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(arguments.steps + 3):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn >= 3:
                seconds[name].append(time.process_time() - start)
    plain = statistics.median(seconds["plain"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:28} {1000 * median:8.2f} ms  {median / plain:5.2f}x")


if __name__ == "__main__":
    main()
