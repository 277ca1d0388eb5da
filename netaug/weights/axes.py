"""How the size of a tensor follows the number of classes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassAxis:
    """The dimension of a tensor whose size follows the number of classes: ``beside + each * classes``.

    Args:
        dim: Which dimension.
        each: How much a class adds: 1 in a classifier; in a detector one for each anchor.
        beside: What is there without classes.
    """

    dim: int
    each: int = 1
    beside: int = 0

    def classes(self, size: int) -> int | None:
        """The number of classes that gives a size; None if none does."""
        count, rest = divmod(size - self.beside, self.each)
        return count if rest == 0 and count > 0 else None
