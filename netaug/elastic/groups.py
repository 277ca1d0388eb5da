"""Width groups during the analysis: numbers in a forest, merged where channels meet, divided where they split.

A dimension of a tensor is a sequence of *parts*, each the channels of one group. A group that turns out to be
the same as another, or to consist of several, is replaced by those for good; whoever holds the old number
reads the new parts through :meth:`Groups.resolve`.

The demands on groups are few: *unify* what meets, *cut* where channels are split, *tile* into equal
stretches, *divide* into runs. A group may occur several times along a dimension (the groups of a grouped
convolution, the heads of an attention), with ``repeat`` consecutive elements per channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Part(NamedTuple):
    """Holds the channels of one width group along a dimension, ``repeat`` consecutive elements per channel."""

    group: int
    repeat: int = 1


Parts = tuple[Part, ...]
Layout = dict[int, Parts]
"""Elastic dimensions of a tensor; a dimension that is not listed keeps its size."""

MOST_PARTS = 4096
"""Beyond this many parts a dimension is not followed any more: planning would take minutes."""


class Groups:
    """Holds all groups of one network."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._names: list[str] = []
        self._instead: dict[int, Parts] = {}
        self._reasons: dict[int, str] = {}
        self._claims: dict[int, int] = {}

    # What there is

    def new(self, size: int, name: str) -> int:
        """Make a group of ``size`` channels that no layer makes yet."""
        self._sizes.append(size)
        self._names.append(name)
        return len(self._sizes) - 1

    def roots(self) -> list[int]:
        """Return the groups that stand for themselves and that some layer makes, in the order of the layers."""
        claimed = [group for group in self._claims if group not in self._instead]
        return sorted(claimed, key=lambda group: (self._claims[group], group))

    def resolve(self, parts: Iterable[Part]) -> Parts:
        """Return the same dimension in groups that stand for themselves."""
        resolved: list[Part] = []
        for part in parts:
            instead = self._instead.get(part.group)
            if instead is None:
                resolved.append(part)
            else:
                resolved += self.resolve(Part(inner.group, inner.repeat * part.repeat) for inner in instead)
        return tuple(resolved)

    def members(self, parts: Iterable[Part]) -> set[int]:
        """Return the groups along a dimension."""
        return {part.group for part in self.resolve(parts)}

    def size(self, group: int) -> int:
        """Return the channels of a group in the base network."""
        return self._sizes[group]

    def name(self, group: int) -> str:
        """Return the name of what makes the group first."""
        return self._names[group]

    def reason(self, group: int) -> str | None:
        """Return why the group keeps its base width, or None if it may widen."""
        return self._reasons.get(group)

    def elements(self, parts: Iterable[Part]) -> int:
        """Count the elements that the parts take at base width."""
        return sum(self._sizes[part.group] * part.repeat for part in parts)

    def is_frozen(self, parts: Iterable[Part]) -> bool:
        """Whether no group along the dimension may widen."""
        return all(part.group in self._reasons for part in self.resolve(parts))

    # What is found out

    def claim(self, parts: Iterable[Part], name: str) -> None:
        """Note that a layer makes these channels; only such groups can widen, and the first maker names them."""
        for part in self.resolve(parts):
            if part.group not in self._claims:
                self._claims[part.group] = len(self._claims)
                self._names[part.group] = name

    def freeze(self, parts: Iterable[Part], reason: str) -> None:
        """Keep these groups at base width; the first reason given stays."""
        for part in self.resolve(parts):
            self._reasons.setdefault(part.group, reason)  # the first cause, not what followed from it

    def freeze_unclaimed(self) -> None:
        """Freeze the groups that no layer makes: positions, learned tokens and the like."""
        for group in range(len(self._sizes)):
            if group not in self._instead and group not in self._claims:
                self._reasons.setdefault(group, "no layer makes these channels")

    def unify(self, first: Parts, second: Parts, where: str) -> None:
        """Demand the same widths of two dimensions that meet; freeze both if they cannot be divided alike."""
        while True:
            # Each round settles the first difference; what that changed elsewhere shows when resolved again.
            first, second = self.resolve(first), self.resolve(second)
            differing = next(((x, y) for x, y in zip(first, second, strict=False) if x != y), None)
            if differing is None and len(first) == len(second):
                return
            if (
                differing is None
                or max(len(first), len(second)) > MOST_PARTS
                or self.elements(first) != self.elements(second)
                or not self._align(*differing)
            ):
                self.freeze((*first, *second), f"'{where}' combines channels that are divided differently")
                return

    def cut(self, parts: Parts, start: int, stop: int) -> Parts | None:
        """Return the parts of elements ``start`` to ``stop``; None if that goes through the middle of a channel."""
        for border in (start, stop):
            if not self._cut_at(parts, border):
                return None
        result, position = [], 0
        for part in self.resolve(parts):
            if start <= position < stop:
                result.append(part)
            position += self._sizes[part.group] * part.repeat
        return tuple(result)

    def tile(self, parts: Parts, count: int, where: str) -> Parts | None:
        """Demand that a dimension consists of ``count`` equal stretches; return one, or None if it cannot."""
        parts = self.resolve(parts)
        if count == 1:
            return parts
        total = self.elements(parts)
        if total % count:
            return None
        if len(parts) % count == 0 and parts == parts[: len(parts) // count] * count:
            return parts[: len(parts) // count]
        if len(parts) == 1:
            channels, rest = divmod(self._sizes[parts[0].group], count)
            if rest:
                return None
            tile = Part(self._same(parts[0].group, channels))
            self._replace(parts[0].group, (tile,) * count)
            return self.resolve((Part(tile.group, parts[0].repeat),))
        for number in range(count):
            if self.cut(parts, number * total // count, (number + 1) * total // count) is None:
                return None
        for number in range(1, count):
            # Cut again each time: unifying the last stretch may have divided the first one further.
            first = self.cut(parts, 0, total // count)
            other = self.cut(parts, number * total // count, (number + 1) * total // count)
            assert first is not None and other is not None
            self.unify(first, other, where)
        return self.cut(parts, 0, total // count)

    def divide(self, parts: Parts, repeat: int) -> Parts | None:
        """Demand that elements come in runs of ``repeat`` per channel; return the channels, or None if they cannot."""
        for part in self.resolve(parts):
            if part.repeat % repeat == 0 or part.group in self._instead:
                continue  # in runs already, or divided as an earlier part of this dimension
            runs, rest = divmod(self._sizes[part.group] * part.repeat, repeat)
            if rest or repeat % part.repeat:
                return None
            self._replace(part.group, (Part(self._same(part.group, runs), repeat // part.repeat),))
        resolved = self.resolve(parts)
        if any(part.repeat % repeat for part in resolved):
            return None
        return tuple(Part(part.group, part.repeat // repeat) for part in resolved)

    def _align(self, first: Part, second: Part) -> bool:
        """Make two different parts that start at the same element more alike; False if that is impossible."""
        lengths = self._sizes[first.group] * first.repeat, self._sizes[second.group] * second.repeat
        if lengths[0] != lengths[1]:
            longer = first if lengths[0] > lengths[1] else second
            return self._cut_at((longer,), min(lengths))
        repeat = math.lcm(first.repeat, second.repeat)
        if lengths[0] % repeat or first.group == second.group:
            return False
        # The coarser grouping stays: elements of one channel cannot be told apart, several channels can go together.
        kept, gone = sorted((first, second), key=lambda part: (-part.repeat, self._rank(part.group)))
        if kept.repeat == repeat:
            self._replace(gone.group, (Part(kept.group, repeat // gone.repeat),))
            return True
        common = self._same(kept.group, lengths[0] // repeat)
        for part in (kept, gone):
            self._replace(part.group, (Part(common, repeat // part.repeat),))
        return True

    def _cut_at(self, parts: Parts, border: int) -> bool:
        """Divide the group that lies across a border between elements, if there is one."""
        while True:
            # A cut divides the group wherever it occurs, so positions are looked up again.
            position = 0
            for part in self.resolve(parts):
                end = position + self._sizes[part.group] * part.repeat
                if position < border < end:
                    break
                position = end
            else:
                return True
            channels, rest = divmod(border - position, part.repeat)
            if rest:
                return False
            sizes = channels, self._sizes[part.group] - channels
            self._replace(part.group, tuple(Part(self._same(part.group, size)) for size in sizes))

    def _same(self, group: int, size: int) -> int:
        """Make a group under the name of ``group``."""
        return self.new(size, self._names[group])

    def _rank(self, group: int) -> tuple[int, int]:
        return self._claims.get(group, len(self._sizes)), group

    def _replace(self, group: int, parts: Parts) -> None:
        """Let parts stand for a group from now on, with its name, claim and reason where they have none."""
        self._instead[group] = parts
        claim = self._claims.get(group)
        for part in self.resolve(parts):
            # The earliest claim wins, so that names do not depend on the order of merges.
            if claim is not None and claim <= self._claims.get(part.group, claim):
                self._claims[part.group] = claim
                self._names[part.group] = self._names[group]
            if group in self._reasons:
                self._reasons.setdefault(part.group, self._reasons[group])
