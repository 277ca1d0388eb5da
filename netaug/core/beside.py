"""Folders beside a run's that belong to it: what its training has to train first."""

from __future__ import annotations

from pathlib import Path

TEACHER, STARTS = "teacher", "starts"


def beside(out: Path, what: str) -> Path:
    """Return the folder beside a run's that holds what its training has to train first.

    Args:
        out: Of the run.
        what: ``TEACHER`` for the run of its own teacher; ``STARTS`` for the runs of draws of its first weights.
    """
    return out.with_name(f"{out.name}-{what}")


def runs_beside(out: Path) -> list[Path]:
    """Return the run folders beside a run's that belong to it."""
    starts = beside(out, STARTS)
    trials = sorted(path for path in starts.iterdir() if path.is_dir()) if starts.is_dir() else []
    teacher = beside(out, TEACHER)
    return [*([teacher] if teacher.is_dir() else []), *trials]
