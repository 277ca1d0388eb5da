"""The maps inside a network, for what is built on top of them.

Networks are cut by stride, not by name: ours behind the last stage of each stride, timm's where
``features_only`` cuts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from netaug.core.errors import ModelError
from netaug.models.blocks import StagedNet
from netaug.models.factory import describe, without_pretrained
from netaug.models.registry import create_model

STRIDES = (8, 16, 32)
_NOT_OF_A_BACKBONE = ("dropout", "drop_rate", "features_only", "out_indices")
_PROBE = 64  # pixels of the image that strides are read off with


class StagedFeatures(nn.Module):
    """Runs stem and stages of a network written here, and returns the outputs of some stages.

    Args:
        network: Its stem and stages are used, not copied.
        taps: Numbers of the stages whose outputs are returned, ascending; later stages are left out.
    """

    def __init__(self, network: StagedNet, taps: Sequence[int]) -> None:
        super().__init__()
        self.stem = network.stem
        self.stages = network.stages[: taps[-1] + 1]
        self.taps = tuple(taps)

    def forward(self, images_NCHW: Tensor) -> list[Tensor]:
        """Map images ``[N, in_chans, H, W]`` to one map for each tap."""
        x_NCHW, outputs = self.stem(images_NCHW), list[Tensor]()
        for number, stage in enumerate(self.stages):
            x_NCHW = stage(x_NCHW)
            if number in self.taps:
                outputs.append(x_NCHW)
        return outputs


def backbone_features(
    name: str, in_chans: int, options: Mapping[str, object]
) -> tuple[nn.Module, tuple[int, ...]]:
    """Return a network without its classifier, from images to its last maps at the strides 8, 16 and 32.

    Args:
        name: A network written here, or ``timm:NAME``.
        in_chans: Image channels.
        options: Keyword arguments of its factory.

    Returns:
        The network, and the channels of its maps.

    Raises:
        ModelError: It cannot be built, has no maps of these strides, or an option would have no effect.
    """
    for option in _NOT_OF_A_BACKBONE:
        if option in options:
            raise ModelError(
                f"option {option} has no effect on a backbone: its classifier is left out, and its maps are chosen.",
                got=f"{option}={options[option]!r}",
                fix="leave it out",
            )
    if name.startswith("timm:"):
        return _of_timm(name, in_chans, options)
    network = _create(name, in_chans, options)
    if not isinstance(network, StagedNet):
        raise ModelError(
            f"{name!r} cannot be the backbone of a detector.",
            got=type(network).__name__,
            allowed="a network written here, such as mobilenetv2-0.35, or timm:NAME",
        )
    strides, channels = _strides(network, in_chans)
    taps = _last_of_each(name, strides)
    return StagedFeatures(network, taps), tuple(channels[tap] for tap in taps)


def _strides(network: StagedNet, in_chans: int) -> tuple[list[int], list[int]]:
    """Return strides and channels of what leaves each stage."""
    training = network.training
    network.eval()
    strides, channels = list[int](), list[int]()
    with torch.no_grad():
        x_NCHW = network.stem(torch.zeros(1, in_chans, _PROBE, _PROBE))
        for stage in network.stages:
            x_NCHW = stage(x_NCHW)
            strides.append(_PROBE // x_NCHW.shape[-1])
            channels.append(x_NCHW.shape[1])
    network.train(training)
    return strides, channels


def _last_of_each(name: str, strides: Sequence[int]) -> list[int]:
    missing = [stride for stride in STRIDES if stride not in strides]
    if missing:
        raise ModelError(
            f"{name!r} cannot be the backbone of a detector.",
            got=f"maps at the strides {', '.join(map(str, dict.fromkeys(strides)))}",
            allowed=f"a network with maps at the strides {', '.join(map(str, STRIDES))}",
        )
    return [max(at for at, map_stride in enumerate(strides) if map_stride == stride) for stride in STRIDES]


def _of_timm(name: str, in_chans: int, options: Mapping[str, object]) -> tuple[nn.Module, tuple[int, ...]]:
    options = {**options, "features_only": True}
    plain = without_pretrained(options)
    with torch.device("meta"):  # only to ask what maps there are
        numbers, strides = _maps(_create(name, in_chans, plain), name)
    taps = tuple(numbers[tap] for tap in _last_of_each(name, strides))
    network = _create(name, in_chans, {**options, "out_indices": taps})
    return network, _map_channels(network, name, in_chans)


def _create(name: str, in_chans: int, options: Mapping[str, Any]) -> nn.Module:
    return create_model(name, in_chans=in_chans, **options)


def _maps(network: nn.Module, name: str) -> tuple[list[int], list[int]]:
    """Return numbers and strides of the maps that a network of timm offers; not all count from the first."""
    try:
        info: Any = network.feature_info
        return list(info.out_indices), list(info.reduction())
    except AttributeError as error:
        raise ModelError(
            f"{name!r} cannot be the backbone of a detector: {describe(error)}",
            allowed="a network of timm that has features_only",
        ) from error


def _map_channels(network: nn.Module, name: str, in_chans: int) -> tuple[int, ...]:
    """Return channels of the maps by running the network once: some of timm's put channels last."""
    training = network.training
    network.eval()
    with torch.no_grad():
        maps = network(torch.zeros(1, in_chans, _PROBE, _PROBE))
    network.train(training)
    wanted = [(_PROBE // stride, _PROBE // stride) for stride in STRIDES]
    if [tuple(tensor.shape[2:]) for tensor in maps] != wanted:
        raise ModelError(
            f"{name!r} cannot be the backbone of a detector.",
            got=f"maps of {', '.join(str(tuple(tensor.shape)) for tensor in maps)} for an image of {_PROBE} pixels",
            allowed=f"[N, channels, {_PROBE} / s, {_PROBE} / s] for the strides s = 8, 16, 32",
        )
    return tuple(tensor.shape[1] for tensor in maps)
