"""Suggestions for a name that does not exist: the names it was most likely meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, allowed: Iterable[str], count: int = 2, *, cutoff: float = 0.6) -> list[str]:
    """Find the allowed names that ``name`` was most likely meant to be.

    Args:
        name: What the user wrote; upper and lower case count as equal.
        allowed: The names that exist.
        count: The most names to return.
        cutoff: Least similarity in [0, 1] of a name (``difflib``'s ratio, unitless).

    Returns:
        Names as they are in ``allowed``, the most similar first; none if nothing is near.
    """
    by_lower = {candidate.lower(): candidate for candidate in allowed}
    return [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=count, cutoff=cutoff)]


def did_you_mean(names: Iterable[str]) -> str | None:
    """Write the question for an error's ``fix``, with the names as they shall be shown; None without names."""
    shown = " or ".join(names)
    return f"did you mean {shown}?" if shown else None
