"""Elastic width for any network: the method of the paper, which works in any training loop.

To build a supernet (``build``), ``trace`` records the network's graph, ``analysis`` finds with one rule per operation
(``rules``) which channels have one width (``groups``), ``roles`` says how each group widens, and ``planner`` writes it
all into a ``plan``; ``dry_run`` and ``proof`` run the plan and freeze what it gets wrong.

To run one (``supernet``), ``sampling`` draws widths, ``wide_weights`` and ``assembly`` make the weights (``blocks``,
``gathering``), ``overlay`` shows them to the modules for one forward, ``prefix`` runs what is before ``from_stage``
(``stages``) once per step, ``norm_statistics`` keeps the running statistics those of the base network, and ``conflict``
projects gradients that oppose each other.

Beside that, ``first_weights`` draws them as the paper's code does, ``sorting`` puts important channels first,
``extract`` and ``recalibrate`` give plain networks back,
``family`` chooses widths between base and widest, and ``inspect`` shows the plan to people.
"""

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
