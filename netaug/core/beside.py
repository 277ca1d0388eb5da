"""The folder beside a run's that holds what its training has to train first."""

from __future__ import annotations

from pathlib import Path


def teacher_folder(out: Path) -> Path:
    """Return the run folder of the teacher that a training makes itself, beside that of the student."""
    return out.with_name(f"{out.name}-teacher")
