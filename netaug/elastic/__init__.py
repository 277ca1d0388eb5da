"""Elastic width for any network: the method, usable alone in anybody's training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netaug.elastic.settings import AugmentConfig

if TYPE_CHECKING:
    from netaug.elastic.groups import Group
    from netaug.elastic.supernet import Pass, Supernet, augment

__all__ = ["AugmentConfig", "Group", "Pass", "Supernet", "augment"]


def __getattr__(name: str) -> Any:
    """Import what needs torch at its first use, so that reading settings and help stays fast."""
    if name not in __all__:
        raise AttributeError(f"module 'netaug.elastic' has no attribute '{name}'")
    from netaug.elastic import groups, supernet

    return getattr(groups if name == "Group" else supernet, name)
