"""What results are reported in: the names of metrics, for files and for people. Free of torch."""

from __future__ import annotations

_NAMES = {"top1": "top-1", "ap50": "AP50", "ap": "AP", "mean_per_class": "mean per class"}


def score_name(score: str) -> str:
    """A metric's name for people; all of them are percentages, and higher is better."""
    return _NAMES.get(score, score)
