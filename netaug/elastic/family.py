"""Choose networks between the base and the widest: the widths nearest to a number of multiply-accumulates.

The networks lie on a chain that adds one channel to one group at a time, all groups at about the same
fraction of their way. Their weights files record widths for people, and for loading the size attributes of
modules that differ (:mod:`netaug.weights.resized`): shapes are in the file and no graph is recorded again, so
the file does not depend on how groups are named.
"""

from __future__ import annotations

from itertools import pairwise

from netaug.core.errors import ConfigError
from netaug.elastic.supernet import Supernet


class Chain:
    """Holds the networks on a way from base to widest that adds one channel to one group at a time.

    Each group is, at any point of the way, about the same fraction of the way from its base to its most channels, so
    no layer is narrow while the others are wide. MACs only grow along the way.

    Args:
        supernet: Whose widths they are.
        multiple: Channels of a group are multiples of it, where they are not the base network's.
    """

    def __init__(self, supernet: Supernet, multiple: int = 1) -> None:
        self._supernet = supernet
        groups = supernet.groups
        self._base = {name: groups[name].base for name in supernet.plan.widest}
        stretches = []
        for name, most in supernet.plan.widest.items():
            base = self._base[name]
            widths = [base, *range((base // multiple + 1) * multiple, most + 1, multiple)]
            stretches += [
                # The middle of a width's stretch of the way: no group is ahead of the others on average.
                (((narrow + wide) / 2 - base) / (most - base), name, wide)
                for narrow, wide in pairwise(widths)
            ]
        self._added = [(name, wide) for _, name, wide in sorted(stretches)]

    def __len__(self) -> int:
        return len(self._added) + 1

    def widths(self, steps: int) -> dict[str, int]:
        """Return the channels per group after so many steps; 0 is base, ``len - 1`` the widest."""
        return self._base | dict(self._added[:steps])

    def nearest(self, macs: float) -> dict[str, int]:
        """Return the widths whose MACs are nearest to these; the narrower ones if two are as near."""
        low, high = 0, len(self) - 1
        while high - low > 1:  # by halves: MACs only grow along the way
            middle = (low + high) // 2
            low, high = (middle, high) if self._macs(middle) <= macs else (low, middle)
        return self.widths(min((low, high), key=lambda steps: (abs(self._macs(steps) - macs), steps)))

    def _macs(self, steps: int) -> int:
        return self._supernet.macs(self.widths(steps))


def widths_at_macs(supernet: Supernet, ratio: float) -> dict[str, int]:
    """Return the widths with this many times the base network's MACs, as near as whole channels allow.

    Args:
        supernet: Whose widths they are.
        ratio: From 1 to that of the widest network.

    Raises:
        ConfigError: The ratio is outside.
    """
    base, most = supernet.macs({}), supernet.macs(supernet.plan.widest)
    if not 1.0 <= ratio <= most / base + 0.005:  # what is printed with two digits can be asked for
        raise ConfigError(
            "no network of this supernet has so many MACs.",
            got=f"{ratio:g} times those of the base network",
            allowed=f"1 to {most / base:.2f} times",
        )
    return Chain(supernet).nearest(ratio * base)


def family(supernet: Supernet, count: int, multiple: int = 1) -> list[dict[str, int]]:
    """Return the widths of so many networks, evenly spaced in MACs from base to widest, both included.

    Args:
        supernet: Whose widths they are.
        count: How many.
        multiple: Channels of a group are multiples of it, where they are not the base network's: kernels of devices are
            fast at multiples of 4 or 8. The last network is then the widest of those.

    Raises:
        ConfigError: The count is below 2, or there are not that many different networks.
    """
    chain = Chain(supernet, multiple)
    base, most = supernet.macs({}), supernet.macs(chain.widths(len(chain) - 1))
    if 2 <= count <= len(chain):
        wanted = [base + (most - base) * step / (count - 1) for step in range(count)]
        nearest = [chain.nearest(macs) for macs in wanted]
        if all(narrower != wider for narrower, wider in pairwise(nearest)):
            return nearest
    raise ConfigError(
        "a family of this many networks cannot be made.",
        got=count,
        allowed=f"2 or more, well below the {len(chain)} networks between base and widest",
    )
