"""Count what one training step dispatches, and time how wide weights are put together and their gradients taken apart.

    python -m benchmarks.operations [--only NAME] [--json FILE]

A tiny network on a GPU is bound by the number of operations, not by their arithmetic: each is at least one kernel to
launch. A *working* operation is a dispatch that computes or moves data; views and allocations are counted among the
dispatches alone. Counts do not depend on the machine. The times are of one thread, by the processor's clock, and
medians over rounds; every round draws other widths.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from netaug import AugmentConfig, Supernet, augment, create_model
from netaug.train.optim import start_momentum

CASES = {
    "mobilenetv2-tiny": (144, (1.0, 1.8, 2.6)),
    "mcunet": (176, (1.0, 1.6, 2.2)),
    "mobilenetv3-0.35": (160, (1.0, 2.0, 3.0)),
    "proxylessnas-0.35": (160, (1.0, 1.8, 2.6)),
    "mobilenetv2-0.35": (160, (1.0, 1.8, 2.6)),
    "timm:resnet18": (224, (1.0, 1.8, 2.6)),
}
"""Input size and width multipliers: the paper's for its networks, timm's default size for timm's."""
_ALLOCATIONS = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided")
_BATCH = 4


class Dispatches(TorchDispatchMode):
    """Counts operations by name while it is entered.

    Attributes:
        working: Operations that compute or move data.
        all: These, views and allocations.
    """

    def __init__(self) -> None:
        super().__init__()
        self.working: Counter[str] = Counter()
        self.all: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count one operation and run it."""
        name = func.overloadpacket.__name__
        self.all[name] += 1
        if not (func.is_view or name in _ALLOCATIONS or name in ("detach", "alias", "lift_fresh")):
            self.working[name] += 1
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Count:
    """Working operations and all dispatches of one step."""

    working: int
    all: int


@dataclass(frozen=True)
class Row:
    """What is measured of one network; counts of NetAug steps are medians over draws, times are milliseconds.

    ``own_loop`` is a NetAug step as a user's loop has it, ``trainer`` one that adds gradients at once, as ours does.
    """

    network: str
    plain: Count
    own_loop: Count
    trainer: Count
    assemble_ms: float
    take_apart_ms: float
    wide_parameters: int

    @property
    def ratios(self) -> tuple[float, float]:
        """Working operations per working operation of a plain step: of a user's loop, and of the trainer's."""
        return self.own_loop.working / self.plain.working, self.trainer.working / self.plain.working


def measure(name: str, rounds: int) -> Row:
    """Count and time the steps of one network."""
    size, width = CASES[name]
    torch.manual_seed(0)
    plain = create_model(name, num_classes=1000)
    supernet = augment(plain, torch.randn(2, 3, size, size), AugmentConfig(width=width))
    images, labels = torch.randn(_BATCH, 3, 64, 64), torch.randint(0, 1000, (_BATCH,))
    plain_step = _plain_step(plain, images, labels)
    netaug_step = _netaug_step(supernet, images, labels)
    plain_step()
    netaug_step(0)  # optimizers have made their states
    own_loop = _median_count(netaug_step)
    assemble, apart, parameters = _times(supernet, rounds)
    trainer = _median_count(_netaug_step(supernet, images, labels, accumulates=True))
    return Row(name, _count(plain_step), own_loop, trainer, assemble, apart, parameters)


def _optimizer(network: nn.Module) -> torch.optim.Optimizer:
    """Return torch's own, as in a loop of one's own; that of the trainer does a little less around its update."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5, fused=True)
    start_momentum(optimizer)
    return optimizer


def _plain_step(network: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    optimizer = _optimizer(network)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def _netaug_step(
    supernet: Supernet, images: Tensor, labels: Tensor, *, accumulates: bool = False
) -> Callable[[int], None]:
    optimizer = _optimizer(supernet)
    if accumulates:
        supernet.accumulate_at_once()

    def step(number: int) -> None:
        optimizer.zero_grad()
        for pass_ in supernet.passes(number, 0.0):
            (pass_.weight * F.cross_entropy(supernet(images), labels)).backward()
        optimizer.step()

    return step


def _count(step: Callable[[], None]) -> Count:
    with Dispatches() as dispatches:
        step()
    return Count(sum(dispatches.working.values()), sum(dispatches.all.values()))


def _median_count(step: Callable[[int], None]) -> Count:
    step(0)
    counts = [_count(lambda n=number: step(n)) for number in range(1, 6)]  # type: ignore[misc]
    return sorted(counts, key=lambda count: count.working)[2]


def _times(supernet: Supernet, rounds: int) -> tuple[float, float, int]:
    """Median milliseconds of assembling and of taking gradients apart, and the median size of the wide network."""
    forward, backward, sizes = [], [], []
    for number in range(rounds):
        supernet.use(supernet.sample(number))
        start = time.process_time()
        tensors = list(supernet.wide_tensors().values())
        middle = time.process_time()
        gradients = [torch.ones_like(tensor) for tensor in tensors]
        supernet.zero_grad()
        begin = time.process_time()
        torch.autograd.backward(tensors, gradients)
        forward.append(middle - start)
        backward.append(time.process_time() - begin)
        sizes.append(sum(tensor.numel() for tensor in tensors))
    supernet.use_base()
    return (
        statistics.median(forward) * 1e3,
        statistics.median(backward) * 1e3,
        int(statistics.median(sizes)),
    )


def main() -> None:
    """Measure all cases and print a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=tuple(CASES))
    parser.add_argument("--rounds", type=int, default=15, help="rounds that are timed")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, batch {_BATCH}, 64 pixels, one thread")
    rows = []
    for name in [arguments.only] if arguments.only else CASES:
        row = measure(name, arguments.rounds)
        rows.append(asdict(row) | {"ratios": row.ratios})
        print(
            f"{name:18} plain {row.plain.working:5} of {row.plain.all:5} dispatches   "
            f"NetAug {row.own_loop.working:5} of {row.own_loop.all:5} ({row.ratios[0]:.2f}), "
            f"trainer {row.trainer.working:5} of {row.trainer.all:5} ({row.ratios[1]:.2f})   "
            f"assemble {row.assemble_ms:5.2f} ms   take apart {row.take_apart_ms:5.2f} ms   "
            f"({row.wide_parameters / 1e6:.2f} M elements)"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
