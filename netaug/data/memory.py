"""How much memory decoded images take, and how much there is."""

from __future__ import annotations

import logging
from pathlib import Path

from netaug.core.errors import DataError

_log = logging.getLogger("netaug")

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Memory that this process may still take: the machine's, or what its control group leaves; None if unknown."""
    limits = [limit for limit in (_of_machine(), _of_group()) if limit is not None]
    return min(limits) if limits else None


def announce(images: int, shape_CHW: tuple[int, int, int]) -> None:
    """Say what decoded images take, before they are.

    Args:
        images: Number of them.
        shape_CHW: Channels, height and width in pixels, a byte each.

    Raises:
        DataError: It is more than the memory available.
    """
    chans, height, width = shape_CHW
    announce_bytes(images * chans * height * width, f"{images:,} images of {height} x {width} pixels")


def announce_bytes(needed: int, what: str) -> None:
    """Say what decoded images take, before they do.

    Args:
        needed: Bytes.
        what: Which images.

    Raises:
        DataError: It is more than the memory available.
    """
    available = available_bytes()
    what = f"{what}, {needed:,} bytes ({needed / 2**20:,.0f} MiB)"
    if available is not None and needed > available:
        raise DataError(
            "data.cache ram needs more memory than there is.",
            got=what,
            allowed=f"{available:,} bytes are available ({available / 2**20:,.0f} MiB)",
            fix="--data.cache none, which decodes at each access; or a smaller --data.image_size or --data.limit",
        )
    _log.warning("data.cache ram holds %s in memory.", what)


def _of_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _of_group() -> int | None:
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        used = int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)
