"""Whether a network fits a board: what it needs, what is there, and which layer decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from netaug.core.errors import ConfigError, ModelError
from netaug.export.boards import Budget, show_size

Size = TypeVar("Size", int, float)

_KERNEL_CODE = 3 * 1024
"""Bytes of our kernels and calls on a Cortex-M7 at -O2: 2,960 measured for all of them."""


@dataclass(frozen=True)
class MemoryNeed:
    """Memory of one inference in int8, known from the shapes of a network alone.

    Attributes:
        sram: Bytes of the arena of the generated C, with outputs that slide over dying inputs.
        sram_apart: The same without, as kernels of a vendor need it.
        tflite_micro: The part of tflite-micro's arena that holds activations; its tables come on top. None where it
            lacks a kernel.
        lower_bound: Bytes below which ``sram`` cannot go.
        flash: Bytes of weights, biases and multipliers.
        peak: Layer at which the most memory is alive.
        live: Activations alive there, with their bytes.
        estimated: Whether an operator has no int8 form, so that its memory is a guess.
    """

    sram: int
    sram_apart: int
    tflite_micro: int | None
    lower_bound: int
    flash: int
    peak: str
    live: Mapping[str, int]
    estimated: bool = False

    def fits(self, budget: Budget) -> bool:
        """Return whether the generated C fits a budget."""
        return self.sram <= budget.sram and (
            budget.flash is None or self.flash + _KERNEL_CODE <= budget.flash
        )

    def describe(self) -> list[str]:
        """Return the figures as lines of text."""
        live = " + ".join(f"{size:,}" for size in self.live.values())
        micro = (
            "    (not there)" if self.tflite_micro is None else f"{self.tflite_micro:>11,}   and its tables"
        )
        guess = " (a guess: an operator has no int8 form)" if self.estimated else ""
        return [
            f"memory of one inference in int8{guess}, largest at {self.peak}",
            f"  SRAM, generated C             {self.sram:>11,} bytes   (alive there: {live})",
            f"  SRAM, kernels of a vendor     {self.sram_apart:>11,}",
            f"  SRAM, tflite-micro            {micro}",
            f"  flash, weights and tables     {self.flash:>11,}",
        ]


def verdict(need: MemoryNeed, budget: Budget) -> str:
    """Return one sentence: whether a network fits a budget, and by how much."""
    flash = need.flash + _KERNEL_CODE
    lacking = []
    if need.sram > budget.sram:
        needed, there = show_size(need.sram), show_size(budget.sram)
        lacking.append(f"the network needs {needed} of SRAM at {need.peak} and there are {there}")
    if budget.flash is not None and flash > budget.flash:
        lacking.append(
            f"the network needs {show_size(flash)} of flash and there are {show_size(budget.flash)}"
        )
    if lacking:
        return f"{budget.name}: does not fit, {', and '.join(lacking)}"
    left = f"{show_size(budget.sram - need.sram)} of SRAM"
    if budget.flash is not None:
        left += f" and {show_size(budget.flash - flash)} of flash"
    return f"{budget.name}: fits, and leaves {left} for everything else"


def largest_side(
    need_at: Callable[[int], MemoryNeed], side: int, need: MemoryNeed, budget: Budget, step: int = 16
) -> tuple[int, MemoryNeed] | None:
    """Return the largest image side below ``side`` at which a network fits, with what it needs there.

    Args:
        need_at: Memory of the network at an image side in pixels.
        side: At which it does not fit.
        need: What it needs there.
        budget: What is there.
        step: Sides to try are multiples of it.

    Returns:
        None if it fits at none of them, as when its weights are too large. Sides it cannot take are left out.
    """
    if budget.flash is not None and need.flash + _KERNEL_CODE > budget.flash:
        return None  # no side changes the weights
    # activations grow with the square of the side: one step above that guess is where the search starts
    guess = int(side * math.sqrt(min(budget.sram / need.sram, 1)))
    return _first_that_fits(need_at, range(min(side - 1, guess + step) // step * step, 0, -step), budget)


def largest_width(
    need_at: Callable[[float], MemoryNeed], width: float, need: MemoryNeed, budget: Budget
) -> tuple[float, MemoryNeed] | None:
    """Return the largest width below ``width``, a multiple of 0.05, at which a network fits, with its need.

    Args:
        need_at: Memory of the network at a width.
        width: Factor on its channels at which it does not fit.
        need: What it needs there.
        budget: What is there.
    """
    flash = 1.0 if budget.flash is None else math.sqrt(budget.flash / (need.flash + _KERNEL_CODE))
    # activations grow with the width, weights with its square; channels are rounded, so begin two steps above
    guess = width * min(budget.sram / need.sram, flash, 1)
    start = min(math.ceil(round(width / 0.05, 6)) - 1, int(guess / 0.05) + 2)
    return _first_that_fits(need_at, [round(0.05 * count, 2) for count in range(start, 0, -1)], budget)


def _first_that_fits(
    need_at: Callable[[Size], MemoryNeed], sizes: Iterable[Size], budget: Budget
) -> tuple[Size, MemoryNeed] | None:
    for size in sizes:
        try:
            need = need_at(size)
        except (ModelError, ConfigError):  # as of a detector, whose sides are multiples of 32
            continue
        if need.fits(budget):
            return size, need
    return None
