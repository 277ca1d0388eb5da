"""Format numbers for people, alike on the console, in files and on the page."""

from __future__ import annotations

from netaug.compare.paired_statistics import Difference, Spread
from netaug.core.display import duration

NONE = "\u2013"  # en dash
MINUS = "\u2212"


def signed(value: float) -> str:
    """Format as ``+0.9``, with a true minus sign if negative; what rounds to nothing is ``0.0``, without a sign."""
    text = f"{abs(value):.1f}"
    # -0.04 would read as minus zero
    if float(text) == 0.0:
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def interval(difference: Difference | None) -> str:
    """Format as ``+0.9 [+0.3, +1.5]``; without the brackets where there is no interval."""
    if difference is None:
        return NONE
    if difference.low is None or difference.high is None:
        return signed(difference.mean)
    # an end that rounds to zero would hide on which side of it it lies
    places = 2 if min(abs(difference.low), abs(difference.high)) < 0.05 else 1
    low, high = (
        f"{MINUS if end < 0 else '+'}{abs(end):.{places}f}" for end in (difference.low, difference.high)
    )
    return f"{signed(difference.mean)} [{low}, {high}]"


def plus_minus(value: Spread | None) -> str:
    """Format as ``85.2 ± 1.3``; the mean alone for a single value."""
    if value is None:
        return NONE
    return f"{value.mean:.1f}" if value.sd is None else f"{value.mean:.1f} ± {value.sd:.1f}"


def seconds(value: float | None) -> str:
    """Format as ``9.5 s``, ``41 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if value is None:
        return NONE
    # from 9.95 on the text would be 10.0 s
    if value < 9.95:
        return f"{value:.1f} s"
    return duration(value)


def si(value: float | None) -> str:
    """Format with three digits and a prefix: ``412``, ``23.1 k``, ``1.02 T``."""
    if value is None:
        return NONE
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999,600 is 1.00 M, not 1000 k
        if value >= size * 0.9995:
            scaled = value / size
            digits = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
            return f"{scaled:.{digits}f} {prefix}"
    return f"{value:.0f}"


def rate(value: float | None) -> str:
    """Return a learning rate, without needless zeros."""
    return NONE if value is None else f"{value:.6g}"
