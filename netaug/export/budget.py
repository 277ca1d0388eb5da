"""Whether a network fits a board: what it needs, what is there, and which layer decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from netaug.core.errors import ModelError
from netaug.export.boards import Budget, show_size

_KERNEL_CODE = 3 * 1024
"""Bytes of our kernels and calls on a Cortex-M7 at -O2: 2,960 measured for all of them."""


@dataclass(frozen=True)
class MemoryNeed:
    """Memory of one inference in int8, known from the shapes of a network alone.

    Attributes:
        sram: Bytes of the arena of the generated C, with outputs that slide over dying inputs.
        sram_apart: The same without, as kernels of a vendor need it.
        tflite_micro: The part of tflite-micro's arena that holds activations; its tables come on top.
        lower_bound: Bytes below which ``sram`` cannot go.
        flash: Bytes of weights, biases and multipliers.
        peak: Layer at which the most memory is alive.
        live: Activations alive there, with their bytes.
    """

    sram: int
    sram_apart: int
    tflite_micro: int
    lower_bound: int
    flash: int
    peak: str
    live: Mapping[str, int]

    def fits(self, budget: Budget) -> bool:
        """Return whether the generated C fits a budget."""
        return self.sram <= budget.sram and (
            budget.flash is None or self.flash + _KERNEL_CODE <= budget.flash
        )

    def describe(self) -> list[str]:
        """Return the figures as lines of text."""
        live = " + ".join(f"{size:,}" for size in self.live.values())
        return [
            f"memory of one inference in int8, largest at {self.peak}",
            f"  SRAM, generated C             {self.sram:>11,} bytes   (alive there: {live})",
            f"  SRAM, kernels of a vendor     {self.sram_apart:>11,}",
            f"  SRAM, tflite-micro            {self.tflite_micro:>11,}   and its tables",
            f"  flash, weights and tables     {self.flash:>11,}",
        ]


def verdict(need: MemoryNeed, budget: Budget) -> str:
    """Return one sentence: whether a network fits a budget, and by how much."""
    name = budget.name
    if need.sram > budget.sram:
        return (
            f"{name}: does not fit, the network needs {show_size(need.sram)} of SRAM at {need.peak} "
            f"and there are {show_size(budget.sram)}"
        )
    left = f"{show_size(budget.sram - need.sram)} of SRAM"
    if budget.flash is None:
        return f"{name}: fits, and leaves {left} for everything else"
    flash = need.flash + _KERNEL_CODE
    if flash > budget.flash:
        return (
            f"{name}: does not fit, the network needs {show_size(flash)} of flash "
            f"and there are {show_size(budget.flash)}"
        )
    return (
        f"{name}: fits, and leaves {left} and {show_size(budget.flash - flash)} of flash for everything else"
    )


def largest_side(
    need_at: Callable[[int], MemoryNeed], sides: Iterable[int], budget: Budget
) -> tuple[int, MemoryNeed] | None:
    """Return the largest of some image sides at which a network fits, with what it needs there.

    Args:
        need_at: Memory of the network at an image side in pixels.
        sides: Those to try.
        budget: What is there.

    Returns:
        None if it fits at none of them. Sides that the network cannot take are left out.
    """
    for side in sorted(sides, reverse=True):
        try:
            need = need_at(side)
        except ModelError:
            continue
        if need.fits(budget):
            return side, need
    return None
