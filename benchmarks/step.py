"""Measure how long a NetAug step takes beside the baseline's, next to the ratio of their multiply-accumulates.

    python -m benchmarks.step [--device cuda] [--overhead] [--from-stage] [--memory]

Run alone on an idle machine. The kinds of step (the plain model, the supernet's base pass alone, base plus augmented,
and with ``--from-stage`` the same from a stage on) take turns, so that a drift of the machine's speed meets all of
them; quoted are ratios of medians within one run. Every round draws other widths, so the NetAug figure is the median
over rounds of (its time / the plain step's time in the same round), and the mean beside it. ``--overhead`` takes two
images of 32 pixels: what is left is the cost of operations, not of their arithmetic. ``--memory`` measures the peak
memory of a step instead: on CUDA as its allocator counts it, on the CPU as the resident size of a process per arm.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
STAGES = {
    "mcunet": "stages.2",
    "mobilenetv2-tiny": "stages.3",
    "mobilenetv3-0.35": "stages.4",
    "timm:resnet18": "layer3",
    "timm:ghostnet_050": "blocks.6",
}
"""The stage that has the closest to half of the network's MACs before it: 40 to 55 %."""
ARMS = ("plain", "base pass", "NetAug", "NetAug from stage")
OVERHEAD_BATCH, OVERHEAD_SIDE = 2, 32
_KIB = 1024


@dataclass(frozen=True)
class Case:
    """What is measured.

    Args:
        name: A network of :data:`CASES`.
        batch: Images per step.
        device: Where the steps run.
        side: Of the images in pixels; None is the network's own.
        channels_last: Memory format.
        progress: Fraction of the training that is done: 0.9 is the second phase, where only expand groups widen.
        palette: How many networks all steps draw from; None draws each step's by itself.
    """

    name: str
    batch: int
    device: torch.device
    side: int | None = None
    channels_last: bool = True
    progress: float = 0.0
    palette: int | None = None


class Step:
    """One arm: a step and the supernet that it trains.

    Args:
        case: What is measured.
        arm: One of :data:`ARMS`.
    """

    def __init__(self, case: Case, arm: str) -> None:
        side, width = CASES[case.name]
        side, self._case, self._arm = case.side or side, case, arm
        torch.manual_seed(0)
        plain = create_model(case.name, num_classes=1000)
        images = torch.randn(case.batch, 3, side, side)
        self.supernet: Supernet | None = None
        network: nn.Module = plain
        if arm != "plain":
            stage = STAGES[case.name] if arm == "NetAug from stage" else None
            config = AugmentConfig(width=width, from_stage=stage, palette=case.palette)
            network = self.supernet = augment(plain, torch.randn(2, 3, side, side), config)
        memory_format = torch.channels_last if case.channels_last else torch.contiguous_format
        network.to(device=case.device, memory_format=memory_format)  # type: ignore[call-overload]
        self._images = images.to(case.device, memory_format=memory_format)
        self._labels = torch.randint(0, 1000, (case.batch,)).to(case.device)
        self._network = network
        self._optimizer = make_optimizer(network.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5)

    def __call__(self, number: int) -> None:
        """Take the step of this number."""
        self._optimizer.zero_grad()
        if self.supernet is None or self._arm == "base pass":
            network = self._network if self.supernet is None else self.supernet.base
            self._loss(network, self._images, self._labels).backward()
        else:
            for pass_ in self.supernet.passes(number, self._case.progress):
                x, y = pass_.take(self._images, self._labels)
                (pass_.weight * self._loss(self.supernet, x, y)).backward()
        self._optimizer.step()

    def seconds(self, number: int) -> float:
        """Take the step, and return how long it took, until the device was done."""
        wait(self._case.device)
        start = time.perf_counter()
        self(number)
        wait(self._case.device)
        return time.perf_counter() - start

    def mac_ratio(self, number: int) -> float:
        """Return the multiply-accumulates of this step over those of a plain step."""
        if self.supernet is None or self._arm == "base pass":
            return 1.0
        drawn = self.supernet.sample(number, self._case.progress)
        macs = self.supernet.macs(drawn, from_stage=self.supernet.shares_prefix)
        return 1 + macs / self.supernet.macs()

    def _loss(self, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(network(x), y)


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Outcome:
    """Times in seconds and ratios of MACs, one entry per round, by arm."""

    seconds: dict[str, list[float]]
    mac_ratios: dict[str, list[float]]

    def median(self, arm: str) -> float:
        """Return the median seconds of an arm's step."""
        return statistics.median(self.seconds[arm])

    def ratios(self, arm: str) -> list[float]:
        """Return an arm's time over the plain step's of the same round."""
        return [taken / plain for taken, plain in zip(self.seconds[arm], self.seconds["plain"], strict=True)]


def measure(case: Case, *, rounds: int, arms: Sequence[str] = ARMS[:3]) -> Outcome:
    """Time the kinds of step in turns."""
    steps = {arm: Step(case, arm) for arm in arms}
    outcome = Outcome({arm: [] for arm in arms}, {arm: [] for arm in arms})
    # Warm up: the first step makes the optimizer's states, and a GPU loads its kernels in the first few.
    for number in range(3 if case.device.type == "cuda" else 1):
        for step in steps.values():
            step(number)
    for number in range(1, rounds + 1):
        for arm, step in steps.items():
            outcome.seconds[arm].append(step.seconds(number))
            outcome.mac_ratios[arm].append(step.mac_ratio(number))
    return outcome


def peak_bytes(case: Case, arm: str, rounds: int) -> int:
    """Return the most memory that steps of an arm took above what weights and optimizer hold, in this process."""
    step = Step(case, arm)
    step(0)  # makes the optimizer's states
    wait(case.device)
    if case.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(case.device)
        before = torch.cuda.memory_allocated(case.device)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again at what is resident
        before = _resident_bytes("VmRSS")
    for number in range(1, rounds + 1):
        step(number)
    wait(case.device)
    if case.device.type == "cuda":
        return torch.cuda.max_memory_allocated(case.device) - before
    return _resident_bytes("VmHWM") - before


def _resident_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * _KIB for line in lines if line.startswith(f"{field}:"))


def peak_in_new_process(case: Case, arm: str, rounds: int, threads: int) -> int:
    """Return :func:`peak_bytes` of a process of its own: freed memory of an arm before would hide some."""
    words = [
        "--only",
        case.name,
        "--batch",
        str(case.batch),
        "--rounds",
        str(rounds),
        "--threads",
        str(threads),
    ]
    words += ["--device", str(case.device), "--side", str(case.side or CASES[case.name][0])]
    words += ["--contiguous"] * (not case.channels_last) + ["--late"] * (case.progress > 0)
    command = [sys.executable, __file__, *words, "--memory-of", arm]
    # The C library then gives every freed tensor back at once: what is resident is what is in use.
    returns_memory = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), "16384")
    environment = {**os.environ, **returns_memory}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(json.loads(done.stdout)["bytes"])


def print_times(case: Case, rounds: int, arms: Sequence[str]) -> None:
    """Measure the times of a network and print a line."""
    outcome = measure(case, rounds=rounds, arms=arms)
    base = outcome.median("base pass") / outcome.median("plain")
    texts = [f"{case.name:18} plain {outcome.median('plain') * 1e3:6.1f} ms", f"base pass / plain {base:.2f}"]
    for arm in arms[2:]:
        ratios, macs = outcome.ratios(arm), outcome.mac_ratios[arm]
        texts.append(
            f"{arm} / plain {statistics.median(ratios):.2f} (mean {statistics.mean(ratios):.2f})   "
            f"MACs {statistics.median(macs):.2f} (mean {statistics.mean(macs):.2f})"
        )
    print("   ".join(texts), flush=True)


def print_memory(case: Case, rounds: int, arms: Sequence[str], threads: int) -> None:
    """Measure the peak memory of a network's steps, each arm by itself, and print a line."""
    peaks = {
        arm: peak_bytes(case, arm, rounds)
        if case.device.type == "cuda"
        else peak_in_new_process(case, arm, rounds, threads)
        for arm in arms
    }
    texts = [f"{case.name:18} plain {peaks['plain'] / _KIB**2:7.1f} MiB"]
    texts += [f"{arm} / plain {peaks[arm] / peaks['plain']:.2f}" for arm in arms[1:]]
    print("   ".join(texts), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--side", type=int, help="of the images in pixels; by default the network's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--contiguous", action="store_true", help="NCHW memory instead of channels_last")
    parser.add_argument("--late", action="store_true", help="second phase: only expand groups are augmented")
    parser.add_argument("--overhead", action="store_true", help="two images of 32 pixels")
    parser.add_argument("--from-stage", action="store_true", help="measure NetAug from a stage on, too")
    parser.add_argument("--memory", action="store_true", help="measure peak memory instead of times")
    parser.add_argument("--memory-of", choices=ARMS, help="print the peak of one arm of --only as JSON")
    parser.add_argument("--only", choices=tuple(CASES))
    return parser.parse_args()


def _case(name: str, arguments: argparse.Namespace) -> Case:
    size: dict[str, Any] = {"batch": arguments.batch, "side": arguments.side}
    if arguments.overhead:
        size = {"batch": OVERHEAD_BATCH, "side": OVERHEAD_SIDE}
    layout, progress = not arguments.contiguous, 0.9 if arguments.late else 0.0
    return Case(name, device=arguments.device, channels_last=layout, progress=progress, **size)


def main() -> None:
    """Measure all cases and print a line each."""
    arguments = _arguments()
    threads, rounds = arguments.threads, arguments.rounds
    if arguments.memory_of is not None:  # without `set_up`: it lets the process keep freed memory
        torch.set_num_threads(threads)
        case = _case(arguments.only, arguments)
        print(json.dumps({"bytes": peak_bytes(case, arguments.memory_of, rounds)}))
        return
    set_up(arguments.device, threads)
    arms = ARMS if arguments.from_stage else ARMS[:3]
    print(f"torch {torch.__version__}, {arguments.device}, {threads} threads, {rounds} rounds")
    for name in [arguments.only] if arguments.only else CASES:
        case = _case(name, arguments)
        if arguments.memory:
            print_memory(case, rounds, arms, threads)
        else:
            print_times(case, rounds, arms)


if __name__ == "__main__":
    main()
