"""Named choices of what NetAug costs: several settings under one name, any of which can be set beside it.

A preset counts where it is named: settings named in the same place, a recipe or a command line, win over it, and it
wins over those of the recipe's base, or of the recipe. So `--netaug.preset fast` also changes what a run's
`config.yaml` says, which names every setting, and that file alone gives the same run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "netaug.preset"
_PAPER: dict[str, Any] = {
    "netaug.max_macs_ratio": None,
    "netaug.alpha": 1.0,
    "netaug.draws": 1,
    "netaug.base_pass": True,
    "netaug.batch_share": 1.0,
    "netaug.resolution": 1.0,
    "netaug.augment_every": 1,
    "netaug.start": 0.0,
    "netaug.expand_until": 1.0,
    "netaug.sort": True,
    "distill.in_place": 0.0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "paper": _PAPER,
    "fast": {**_PAPER, "netaug.start": 0.5, "distill.in_place": 1.0},
}
"""Settings by preset. Multipliers and `width_until` are the network's own: recipes have them."""


def with_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings named in one place, and under them those of the preset that is named there, if one is."""
    return {**PRESETS.get(values.get(KEY, ""), {}), **values}
