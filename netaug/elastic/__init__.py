"""Elastic width for any network: the method of the paper, which works in any training loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netaug.elastic.settings import AugmentConfig

if TYPE_CHECKING:
    from netaug.elastic.build import augment
    from netaug.elastic.passes import Pass
    from netaug.elastic.plan import Group
    from netaug.elastic.supernet import Supernet

__all__ = ["AugmentConfig", "Group", "Pass", "Supernet", "augment"]
_PLACES = {"Group": "plan", "Pass": "passes", "Supernet": "supernet", "augment": "build"}


def __getattr__(name: str) -> Any:
    """Import what needs torch at its first use, so that reading settings and help stays fast."""
    if name not in _PLACES:
        raise AttributeError(f"module 'netaug.elastic' has no attribute '{name}'")
    return getattr(import_module(f"netaug.elastic.{_PLACES[name]}"), name)
