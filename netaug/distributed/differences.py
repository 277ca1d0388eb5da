"""Facts that ranks should have alike, and texts that name those that are not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Facts = dict[str, Any]
_SHOWN = 6


def differences(facts: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Return one text for each fact that is not alike on these ranks, with every value and its ranks.

    Args:
        facts: By rank; values as JSON has them.
    """
    names = dict.fromkeys(name for of_rank in facts.values() for name in of_rank)
    texts = []
    for name in names:
        by_value: dict[str, list[int]] = {}
        for rank, of_rank in sorted(facts.items()):
            value = json.dumps(of_rank[name], default=str) if name in of_rank else "not known"
            by_value.setdefault(value, []).append(rank)
        if len(by_value) > 1:
            shown = ", ".join(f"{value} on {_ranks(ranks)}" for value, ranks in by_value.items())
            texts.append(f"{name} {shown}")
    return texts


def listed(texts: Sequence[str]) -> str:
    """Return the differences as one text of bounded length."""
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def _ranks(ranks: Sequence[int]) -> str:
    """Return ranks as text: ``rank 3``, ``ranks 0-2, 5``."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][1] + 1:
            runs[-1][1] = rank
        else:
            runs.append([rank, rank])
    shown = [f"{first}" if first == last else f"{first}-{last}" for first, last in runs]
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(shown)}"
