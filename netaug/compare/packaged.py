"""Find the packaged plans: one YAML file is one comparison of several arms; NAME-small is its version for a CPU."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "plans"
SMALL = "-small"


def plan_names() -> list[str]:
    """Names of the packaged plans, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def plan_path(name: str) -> Path | None:
    """Return the file of a packaged plan; None if there is none of that name."""
    return _FOLDER / f"{name}.yaml" if name in plan_names() else None
