"""Measure how long a NetAug step takes beside the baseline's, next to the ratio of their multiply-accumulates.

Run alone on an idle machine: `python benchmarks/step.py`. The three kinds of step (the plain model, the
supernet's base pass alone, base plus augmented) take turns, so that a drift of the machine's speed meets all
of them; quoted are ratios of medians within one run. Every round draws other widths, so the NetAug figure is
the median over rounds of (its time / the plain step's time in the same round), and the mean beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug import AugmentConfig, Supernet, augment, create_model
from netaug.core.device import set_up
from netaug.train.optim import make_optimizer

CASES = {
    "mcunet": (176, (1.0, 1.6, 2.2)),
    "mobilenetv2-tiny": (144, (1.0, 1.8, 2.6)),
    "mobilenetv3-0.35": (160, (1.0, 2.0, 3.0)),
    "timm:resnet18": (224, (1.0, 1.8, 2.6)),
    "timm:ghostnet_050": (224, (1.0, 1.8, 2.6)),
}
"""Input size and width multipliers: the paper's for its networks, timm's default size for timm's."""


@dataclass(frozen=True)
class Outcome:
    """Hold the times of one case in seconds, one entry per round."""

    plain: list[float]
    base: list[float]
    netaug: list[float]
    mac_ratio: list[float]


def measure(name: str, *, batch: int, rounds: int, channels_last: bool, late: bool) -> Outcome:
    """Time the three kinds of step in turns."""
    size, width = CASES[name]
    torch.manual_seed(0)
    plain = create_model(name, num_classes=1000)
    supernet = augment(plain, torch.randn(2, 3, size, size), AugmentConfig(width=width))
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=memory_format)
    labels = torch.randint(0, 1000, (batch,))
    for module in (plain, supernet):
        module.to(memory_format=memory_format)
    progress = 0.9 if late else 0.0
    step_plain = _simple_step(plain, plain, images, labels)
    step_base = _simple_step(supernet, supernet.base, images, labels)
    step_netaug = _netaug_step(supernet, images, labels, progress)
    outcome = Outcome([], [], [], [])
    for number in range(-1, rounds):
        times = [_timed(step) for step in (step_plain, step_base, lambda n=number: step_netaug(n + 1))]
        if number >= 0:  # the first round warms up
            for into, seconds in zip((outcome.plain, outcome.base, outcome.netaug), times, strict=True):
                into.append(seconds)
            drawn = supernet.macs(supernet.sample(number + 1, progress))
            outcome.mac_ratio.append(1 + drawn / supernet.macs())
    return outcome


def _simple_step(network: nn.Module, owner: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    optimizer = make_optimizer(owner.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def _netaug_step(
    supernet: Supernet, images: Tensor, labels: Tensor, progress: float
) -> Callable[[int], None]:
    optimizer = make_optimizer(supernet.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5)

    def step(number: int) -> None:
        optimizer.zero_grad()
        for pass_ in supernet.passes(number, progress):
            x, y = pass_.take(images, labels)
            (pass_.weight * F.cross_entropy(supernet(x), y)).backward()
        optimizer.step()

    return step


def _timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    """Measure all cases and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--contiguous", action="store_true", help="NCHW memory instead of channels_last")
    parser.add_argument("--late", action="store_true", help="second phase: only expand groups are augmented")
    parser.add_argument("--only", choices=tuple(CASES))
    arguments = parser.parse_args()
    set_up(torch.device("cpu"), arguments.threads)
    print(
        f"torch {torch.__version__}, {arguments.threads} threads, batch {arguments.batch}, {arguments.rounds} rounds"
    )
    for name in [arguments.only] if arguments.only else CASES:
        times = measure(
            name,
            batch=arguments.batch,
            rounds=arguments.rounds,
            channels_last=not arguments.contiguous,
            late=arguments.late,
        )
        by_round = [netaug / plain for netaug, plain in zip(times.netaug, times.plain, strict=True)]
        print(
            f"{name:18} plain {statistics.median(times.plain) * 1e3:6.0f} ms   "
            f"base pass / plain {statistics.median(times.base) / statistics.median(times.plain):.2f}   "
            f"NetAug / plain {statistics.median(by_round):.2f} (mean {statistics.mean(by_round):.2f})   "
            f"MACs {statistics.median(times.mac_ratio):.2f} (mean {statistics.mean(times.mac_ratio):.2f})"
        )


if __name__ == "__main__":
    main()
