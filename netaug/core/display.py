"""Numbers and metrics as people read them. Free of torch, so that `netaug --help` and listings answer at once."""

from __future__ import annotations

_SCORE_NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "ap50": "AP50",
    "ap": "AP",
    "mean_per_class": "mean per class",
}


def duration(seconds: float) -> str:
    """Write seconds in words: ``45 s``, ``3 min 05 s``, ``2 h 14 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rough_duration(seconds: float) -> str:
    """Write seconds as an estimate: ``25 s``, ``12 min``, ``2.5 h``, ``3 days``."""
    if seconds < 55:
        return f"{max(1, round(seconds) if seconds < 10 else 5 * round(seconds / 5))} s"
    if seconds < 5_400:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.2g} h" if hours < 36 else f"{hours / 24:.2g} days"


def score_name(score: str) -> str:
    """Return the name of a metric for people; all of them are percentages, and higher is better."""
    return _SCORE_NAMES.get(score, score)
