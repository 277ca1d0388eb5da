"""Lower learning rates for earlier layers, as is usual in fine-tuning: each layer's is a share of the next one's."""

from __future__ import annotations

from torch import nn

from netaug.core.errors import ConfigError
from netaug.elastic.plain_network import Network


def layer_scales(network: Network, decay: float) -> dict[nn.Parameter, float]:
    """Factors on the learning rate: 1 for the last layer, ``decay`` for the one before, ``decay ** 2``, ...

    What NetAug adds to a layer has that layer's factor.

    Raises:
        ConfigError: The network seems to have one layer only.

    Source:
        Bao et al. 2021, arXiv:2106.08254; the layers of timm's networks are those timm gives them for this.
    """
    layers = layer_numbers(network.base)
    last = max(layers.values(), default=0)
    if last == min(layers.values(), default=0):
        raise ConfigError(
            f"train.layer_decay has no effect: {type(network.base).__name__} has no layers one after the other.",
            got="all parameters are in one module",
            fix="leave train.layer_decay out, or give the network a group_matcher as timm's have",
        )
    return {
        parameter: decay ** (last - layers[_base_name(name)])
        for name, parameter in network.named_parameters()
    }


def layer_numbers(model: nn.Module) -> dict[str, int]:
    """The layer of each parameter, counted from the images on.

    Layers are those of the model's ``group_matcher``, timm's way to name them. Without one they are its children in
    the order in which they were made, those of lists and sequences one by one.
    """
    matcher = getattr(model, "group_matcher", None)
    if matcher is not None:
        from timm.models import group_parameters  # on first use: slow to import

        found: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
        return found
    units = dict.fromkeys(_unit(model, name) for name, _ in model.named_parameters())
    order = {unit: number for number, unit in enumerate(units)}
    return {name: order[_unit(model, name)] for name, _ in model.named_parameters()}


def _unit(model: nn.Module, name: str) -> str:
    """The child of the model that a parameter is in."""
    path = ""
    for part in name.split(".")[:-1]:
        path = f"{path}.{part}" if path else part
        model = model.get_submodule(part)
        if not isinstance(model, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            break
    return path


def _base_name(name: str) -> str:
    """The base network's parameter that a supernet's is, or adds to."""
    place, _, rest = name.partition(".")
    return rest if place == "base" else rest.rpartition("[")[0].replace("/", ".")
