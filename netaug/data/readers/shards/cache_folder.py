"""The folder for what can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``NETAUG_CACHE`` if that is set, else ``netaug`` in the user's cache folder; it need not exist."""
    own = os.environ.get("NETAUG_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "netaug"
