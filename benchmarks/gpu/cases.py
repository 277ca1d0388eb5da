"""Networks, images and steps of the parts."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.parts import CheckFailed, Setting
from netaug import AugmentConfig, Supernet, augment, create_model

CONFIG: dict[str, Any] = {"width": (1.0, 1.5, 2.0), "expand": (1.0, 1.5, 2.0)}
CLASSES = 5
_SIDE = 64


def networks(setting: Setting) -> tuple[str, ...]:
    """Return the names of the networks that promises are checked on."""
    return ("micronet",) if setting.small else ("mobilenetv2-tiny", "mcunet", "timm:resnet18")


def supernet_of(
    setting: Setting, name: str | None = None, *, double: bool = False, **settings: Any
) -> tuple[nn.Module, Supernet]:
    """Return a network with seeded weights and its supernet, both on the device; by default the first network."""
    network, supernet = copy.deepcopy(_made(name or networks(setting)[0], double, tuple(settings.items())))
    return network.to(setting.device), supernet.to(setting.device)


@functools.cache  # planning and proving a supernet takes seconds
def _made(name: str, double: bool, settings: tuple[tuple[str, Any], ...]) -> tuple[nn.Module, Supernet]:
    torch.manual_seed(0)
    network = create_model(name, num_classes=CLASSES)
    example = torch.randn(2, 3, _SIDE, _SIDE)
    if double:
        network, example = network.double(), example.double()
    return network, augment(network, example, AugmentConfig(**{**CONFIG, **dict(settings)}))


def images(setting: Setting, count: int, seed: int = 1) -> Tensor:
    """Return random color images ``[count, 3, S, S]``, the same on every device."""
    drawn = torch.randn(count, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(seed))
    return drawn.to(setting.device)


def labels(setting: Setting, count: int) -> Tensor:
    """Return class indices ``[count]``."""
    return torch.arange(count, device=setting.device) % CLASSES


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters and buffers."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def gradients_of(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of all gradients."""
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def require_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor], kind: str) -> None:
    """Fail the part unless both have the same names and bits."""
    if first.keys() != second.keys():
        raise CheckFailed(
            f"{kind}: one has {', '.join(sorted(first.keys() ^ second.keys())[:4])}, the other not"
        )
    for name, tensor in first.items():
        if not torch.equal(tensor, second[name]):
            most = (tensor.double() - second[name].double()).abs().max().item()
            raise CheckFailed(f"{kind} of {name} differ by up to {most:.3g}")
