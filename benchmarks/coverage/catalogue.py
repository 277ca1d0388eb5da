"""List classifiers, their sizes, and whether they are convolutional; all of it computed from the models."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

MOST_PARAMS = 10_000_000
PATCH = 4
"""A convolution on the image whose stride is its kernel, of this many pixels or more, is a patch embedding."""
TORCHVISION_OPTIONS: dict[str, dict[str, object]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},  # auxiliary heads are not the classifier
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


@dataclass(frozen=True)
class Entry:
    """Describe a classifier as its library builds it.

    Args:
        name: ``timm:NAME`` or ``torchvision:NAME``.
        params: Number of parameters.
        size: Height = width of the default input in pixels.
        macs: Multiply-accumulates of one image of that size; 0 if the model is too large to be counted.
        conv_share: Part of ``macs`` in convolutions, in [0, 1]; see :func:`convolutional_macs`.
        problem: Why it is not examined further, else empty.
    """

    name: str
    params: int
    size: int = 0
    macs: int = 0
    conv_share: float = 0.0
    problem: str = ""

    @property
    def small(self) -> bool:
        """Whether it is a classifier of the size in question."""
        return not self.problem and self.params <= MOST_PARAMS

    @property
    def convolutional(self) -> bool:
        """Whether half of its MACs or more are in convolutions."""
        return self.conv_share >= 0.5


def all_names() -> list[str]:
    """Return every classification model of timm and of torchvision."""
    of_torchvision = torchvision.models.list_models(module=torchvision.models)
    return [f"timm:{name}" for name in timm.list_models()] + [
        f"torchvision:{name}" for name in of_torchvision
    ]


def build(name: str, *, drop: float = 0.0) -> nn.Module:
    """Return a model with fresh weights, with its library's default options.

    Args:
        name: ``timm:NAME`` or ``torchvision:NAME``.
        drop: Rate of dropout and of drop path, in [0, 1), where timm's factory takes one.
    """
    library, _, model_name = name.partition(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "torchvision":
            model: nn.Module = torchvision.models.get_model(
                model_name, weights=None, **TORCHVISION_OPTIONS.get(model_name, {})
            )
            return model
        for options in ({"drop_rate": drop, "drop_path_rate": drop}, {"drop_rate": drop}) if drop else ():
            try:
                model = timm.create_model(model_name, **options)
            except (TypeError, AssertionError):  # it has no such option
                continue
            return model
        model = timm.create_model(model_name)
        return model


def look_at(name: str) -> Entry:
    """Count a model's parameters and MACs on the meta device, without memory for its weights."""
    try:
        with torch.device("meta"):
            model = build(name)
    except NotImplementedError:  # its factory computes with tensors
        model = build(name).to("meta")
    params = sum(parameter.numel() for parameter in model.parameters())
    if params > MOST_PARAMS:
        return Entry(name, params)
    channels, size = image_shape(model)
    if getattr(model, "num_classes", 1) == 0:
        return Entry(name, params, size, problem="no classifier: it gives features")
    try:
        model.requires_grad_(False)  # parameters that are passed on as inputs upset the counter
        macs, by_conv = convolutional_macs(model, torch.empty(1, channels, size, size, device="meta"))
    except Exception as error:
        return Entry(name, params, size, problem=f"{type(error).__name__}: {str(error).splitlines()[0]}")
    return Entry(name, params, size, macs, by_conv / max(macs, 1))


def image_shape(model: nn.Module) -> tuple[int, int]:
    """Return channels and height = width in pixels of a model's default input."""
    settings: Any = getattr(model, "pretrained_cfg", {})
    channels, height, _ = settings.get("input_size", (3, 224, 224))
    return int(channels), int(height)


def convolutional_macs(model: nn.Module, images_NCHW: Tensor) -> tuple[int, int]:
    """Return all MACs of a forward, and those in convolutions.

    A convolution is every call of one but a patch embedding, and every linear layer on a channels-last map
    ``[N, H, W, C]``: that is what a 1 x 1 convolution computes.
    """
    model.eval()
    counting = _ConvolutionCounter(images_NCHW.shape[1])
    with torch.no_grad(), FlopCounterMode(display=False) as counter, counting:
        model(images_NCHW)
    return counter.get_total_flops() // 2, counting.macs


class _ConvolutionCounter(TorchFunctionMode):
    def __init__(self, image_channels: int) -> None:
        super().__init__()
        self.macs = 0
        self._image_channels = image_channels

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in (nn.functional.conv2d, nn.functional.conv1d, nn.functional.conv3d, nn.functional.linear):
            x, weight = (*args, *(kwargs or {}).values())[:2]
            if func is not nn.functional.linear:
                if not self._is_patch_embedding(x, weight, out):
                    self.macs += out.numel() * weight[0].numel()
            elif x.dim() == 4:
                self.macs += out.numel() * weight[0].numel()
        return out

    def _is_patch_embedding(self, x: Tensor, weight: Tensor, out: Tensor) -> bool:
        kernel = weight.shape[-1]
        return (
            x.shape[1] == self._image_channels and kernel >= PATCH and kernel * out.shape[-1] == x.shape[-1]
        )


def macs_by_module(model: nn.Module, channels: int, size: int) -> dict[str, int]:
    """Return the MACs of one image of this many pixels by module name; ``""`` is the whole model."""
    twin = copy.deepcopy(model).to("meta").eval().requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.empty(1, channels, size, size, device="meta"))
    counts = {name: sum(by_operator.values()) // 2 for name, by_operator in counter.get_flop_counts().items()}
    root = type(model).__name__
    return {"": counts.get("Global", 0)} | {
        name.removeprefix(f"{root}."): macs for name, macs in counts.items() if name.startswith(f"{root}.")
    }
