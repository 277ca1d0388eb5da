"""Which JSON files hold objects as COCO has them, told from their bytes: they may be hundreds of megabytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_LISTS = (b'"images"', b'"annotations"', b'"categories"', b'"bbox"')
_MOST = 8  # further JSON files, one per image, are of another format


def lone_file(paths: Iterable[Path]) -> Path | None:
    """Return the only file of objects among some JSON files; None if there is none, or if there are several."""
    candidates = [path for path in paths if path.suffix.lower() == ".json" and path.is_file()]
    found = [path for path in candidates if _holds_objects(path)] if len(candidates) <= _MOST else []
    return found[0] if len(found) == 1 else None


def _holds_objects(path: Path) -> bool:
    content = path.read_bytes()
    return all(name in content for name in _LISTS)
