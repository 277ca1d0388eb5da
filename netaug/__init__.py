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
    from netaug.api.evaluation import evaluate
    from netaug.api.export import export
    from netaug.api.inspection import inspect
    from netaug.api.networks import load, predict
    from netaug.api.training import train
    from netaug.core import errors
    from netaug.distill.losses import dist_loss, dkd_loss, kd_loss
    from netaug.elastic import Pass, Supernet, augment
    from netaug.elastic.family import family, widths_at_macs
    from netaug.elastic.recalibrate import recalibrate
    from netaug.elastic.rules import elastic_rule
    from netaug.models import create_model, list_models
    from netaug.reparameterize.branches import reparameterize
    from netaug.reparameterize.depth import deepen
    from netaug.weights import load_weights

__version__ = "0.1.0"
_NAMES = {
    "netaug.api.evaluation": ("evaluate",),
    "netaug.api.export": ("export",),
    "netaug.api.inspection": ("inspect",),
    "netaug.api.networks": ("load", "predict"),
    "netaug.api.training": ("train",),
    "netaug.distill.losses": ("dist_loss", "dkd_loss", "kd_loss"),
    "netaug.elastic": ("Pass", "Supernet", "augment"),
    "netaug.elastic.family": ("family", "widths_at_macs"),
    "netaug.elastic.recalibrate": ("recalibrate",),
    "netaug.elastic.rules": ("elastic_rule",),
    "netaug.models": ("create_model", "list_models"),
    "netaug.reparameterize.branches": ("reparameterize",),
    "netaug.reparameterize.depth": ("deepen",),
    "netaug.weights": ("load_weights",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
# fmt: off
__all__ = [
    "AugmentConfig", "NetaugError", "Pass", "Supernet", "__version__", "augment", "create_model", "deepen",
    "dist_loss", "dkd_loss", "elastic_rule", "errors", "evaluate", "export", "family", "inspect", "kd_loss",
    "list_models", "load", "load_weights", "predict", "recalibrate", "reparameterize", "train", "widths_at_macs",
]
# fmt: on


def __getattr__(name: str) -> Any:
    """Import what needs torch at its first use, so that `netaug --help` answers at once."""
    if name == "errors":
        return import_module("netaug.core.errors")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'netaug' has no attribute '{name}'")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    """Name what is public, also what is not imported yet, and none of what this file uses."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
