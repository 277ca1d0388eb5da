"""From settings to the network that is trained: the same first weights with and without NetAug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

import netaug
from netaug.config import ModelConfig, RunConfig
from netaug.data.batch import DataInfo
from netaug.elastic import augment
from netaug.errors import ModelError
from netaug.models import create_model, default_image_size, initialize
from netaug.profile import profile
from netaug.seeding import generator, seeded
from netaug.train.checkpoint import ModelCard
from netaug.train.network import BaseOnly, Network


def build_model(config: ModelConfig, info: DataInfo, seed: int) -> nn.Module:
    """The plain network with its first weights, a function of settings and seed alone.

    Raises:
        ModelError: It cannot be built, does not fit the data, or the images are too small for it.
    """
    for name, wanted, found in (
        ("num_classes", config.num_classes, info.num_classes),
        ("in_chans", config.in_chans, info.in_chans),
    ):
        if wanted is not None and wanted != found:
            raise ModelError(
                f"model.{name} differs from that of the data {info.name!r}.",
                got=f"model.{name} {wanted}, the data has {found}",
                fix=f"leave model.{name} out: it then follows the data",
            )
    with seeded(seed, "init"):
        model = create_model(
            config.name, num_classes=info.num_classes, in_chans=info.in_chans, **config.options
        )
        initialize(model, config.init)
    check_fits(model, config.name, example_input(info, seed), info.num_classes)
    return model


def build_network(model: nn.Module, config: RunConfig, info: DataInfo) -> Network:
    """The supernet of a model, or the model as a baseline, on the CPU.

    Raises:
        UnsupportedModelError: NetAug is on and nothing in the model can be widened.
    """
    seed = config.train.seed
    example = example_input(info, seed)
    if config.netaug.enabled:
        return augment(model, example, config.netaug.augment_config(seed))
    return BaseOnly(model, profile(model, example).macs)


def example_input(info: DataInfo, seed: int = 0) -> Tensor:
    """Two images of noise in the network's input format, float32 ``[2, C, S, S]``."""
    shape = (2, info.in_chans, info.image_size, info.image_size)
    return torch.randn(shape, generator=generator(seed, "example"))


def make_card(config: ModelConfig, info: DataInfo, top1: float | None) -> ModelCard:
    """The description that goes with the weights."""
    return ModelCard(
        name=config.name,
        options=config.options,
        num_classes=info.num_classes,
        in_chans=info.in_chans,
        class_names=info.class_names,
        image_size=info.image_size,
        mean=info.mean,
        std=info.std,
        crop_ratio=info.crop_ratio,
        top1=top1,
        val_split=info.val_split,
        netaug_version=netaug.__version__,
    )


def check_fits(model: nn.Module, name: str, example_NCHW: Tensor, num_classes: int) -> None:
    """Run the network once, to say what does not fit before any time is spent.

    Raises:
        ModelError: The forward fails, a layer strides over a map it is larger than, or the output is not
            ``[N, num_classes]``.
    """
    size = example_NCHW.shape[-1]
    modes = [(module, module.training) for module in model.modules()]
    shrunk: list[str] = []
    try:
        model.eval()
        with torch.no_grad(), _strides_watched(model, shrunk):
            outputs = model(example_NCHW)
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:
        raise ModelError(
            f"the network {name!r} cannot run on images of {size}x{size} pixels.",
            got=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}",
            fix=f"raise data.image_size; this network is meant for {default_image_size(name)}",
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    if shrunk:
        raise ModelError(
            f"images of {size}x{size} pixels are too small for {name!r}.",
            got=f"nothing is left to subsample at {len(shrunk)} strided layers, first {shrunk[0]}",
            allowed=f"larger images; this network is meant for {default_image_size(name)}",
            fix="raise data.image_size, or take a network with fewer strides, such as micronet",
        )
    if not isinstance(outputs, Tensor) or outputs.shape != (len(example_NCHW), num_classes):
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ModelError(
            f"the network {name!r} does not return one logit a class.",
            got=got,
            allowed=f"a tensor of shape [N, {num_classes}]",
        )


@contextmanager
def _strides_watched(model: nn.Module, shrunk: list[str]) -> Iterator[None]:
    """Collect the convs that stride over a map of one pixel: padding lets them run, to no purpose."""

    def watch(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(module, nn.Conv2d)
            if max(module.stride) > 1 and max(inputs[0].shape[-2:]) == 1:
                shrunk.append(f"'{name}' (stride {max(module.stride)} over 1x1)")

        return hook

    handles = [
        module.register_forward_pre_hook(watch(name))  # type: ignore[arg-type]
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
