"""netaug: make tiny neural networks more accurate at no inference cost, by Network Augmentation.

supernet = netaug.augment(model, example_input)      # the model is also the first channels of wider networks
for step, (images, labels) in enumerate(loader):
    optimizer.zero_grad()
    for pass_ in supernet.passes(step, progress):     # the base network, then one wider network
        x, y = pass_.take(images, labels)
        (pass_.weight * criterion(supernet(x), y)).backward()
    optimizer.step()
model = supernet.extract()                            # the plain network back, better
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netaug.core.errors import NetaugError
from netaug.elastic.settings import AugmentConfig

if TYPE_CHECKING:
    from netaug.core import errors
    from netaug.distill.losses import dist_loss, dkd_loss, kd_loss
    from netaug.elastic import Pass, Supernet, augment
    from netaug.elastic.family import family, widths_at_macs
    from netaug.elastic.recalibrate import recalibrate
    from netaug.elastic.rules import elastic_rule
    from netaug.models import create_model, list_models
    from netaug.weights import load_weights

__version__ = "0.1.0"
__all__ = [
    "AugmentConfig",
    "NetaugError",
    "Pass",
    "Supernet",
    "__version__",
    "augment",
    "create_model",
    "dist_loss",
    "dkd_loss",
    "elastic_rule",
    "errors",
    "family",
    "kd_loss",
    "list_models",
    "load_weights",
    "recalibrate",
    "widths_at_macs",
]
_PLACES = {
    "augment": "netaug.elastic",
    "Supernet": "netaug.elastic",
    "Pass": "netaug.elastic",
    "recalibrate": "netaug.elastic.recalibrate",
    "elastic_rule": "netaug.elastic.rules",
    "family": "netaug.elastic.family",
    "widths_at_macs": "netaug.elastic.family",
    "create_model": "netaug.models",
    "kd_loss": "netaug.distill.losses",
    "dkd_loss": "netaug.distill.losses",
    "dist_loss": "netaug.distill.losses",
    "list_models": "netaug.models",
    "load_weights": "netaug.weights",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch at its first use, so that `netaug --help` answers at once."""
    if name == "errors":
        return import_module("netaug.core.errors")
    if name not in _PLACES:
        raise AttributeError(f"module 'netaug' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Name what is public, also what is not imported yet."""
    return sorted({*globals(), *__all__})
