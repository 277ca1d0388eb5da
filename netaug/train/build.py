"""Builds the network that is trained from its settings: the same first weights with and without NetAug."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

import netaug
from netaug.config import ModelConfig, NetAugConfig
from netaug.core.errors import ConfigError, ModelError, UnsupportedModelError
from netaug.core.seeding import generator, seeded
from netaug.data.batch import DataInfo
from netaug.elastic import AugmentConfig, Supernet, augment
from netaug.elastic.first_weights import draw_widest
from netaug.elastic.passes import smaller
from netaug.elastic.plain_network import BaseOnly, Network
from netaug.elastic.sampling import is_augmented
from netaug.models import create_model, initialize
from netaug.models.dropout import card_options, factory_options
from netaug.models.registry import is_detector
from netaug.models.trial import check_fits
from netaug.profile import profile
from netaug.reparameterize.training_layers import Several, TrainingLayers
from netaug.tasks.registry import task_kind
from netaug.train.freeze import freeze, frozen_groups
from netaug.train.widened import card_of_widened, widened
from netaug.weights.backbone import is_of_a_detector, put_backbone
from netaug.weights.files import read_weights, weights_file
from netaug.weights.head import ClassAxis, head_tensors
from netaug.weights.loading import put
from netaug.weights.matching import match
from netaug.weights.metadata import ModelCard
from netaug.weights.widest import put_widest

_log = logging.getLogger("netaug")
_NONE = Several()


def build_model(config: ModelConfig, info: DataInfo, seed: int) -> nn.Module:
    """Build the plain network with its first weights, a function of settings and seed alone.

    With ``init`` ``widest`` these are for a trial only: :func:`build_network` draws them.

    Raises:
        ModelError: It cannot be built, does not fit the data, or the images are too small for it.
        CheckpointError: The weights to start from cannot be read, or do not fit it.
    """
    kind = task_kind(info.task)
    kind.check_network(config.name, info)
    for name, wanted, actual in (
        ("num_classes", config.num_classes, info.num_classes),
        ("in_chans", config.in_chans, info.in_chans),
    ):
        if wanted is not None and wanted != actual:
            raise ModelError(
                f"model.{name} differs from that of the data {info.name!r}.",
                got=f"model.{name} {wanted}, the data has {actual}",
                fix=f"leave model.{name} out: it then follows the data",
            )
    with seeded(seed, "init"):
        model = create_model(
            config.name, num_classes=info.num_classes, in_chans=info.in_chans, **factory_options(config)
        )
        if config.widen > 1:
            model = widened(model, example_input(info, seed), config.widen, config.name)
        drawn = "uniform" if config.init == "widest" else config.init
        initialize(model, drawn, _head(config, info) if drawn == "fan_out" else ())
    if config.weights is not None:
        _start_from(model, config, config.weights, info)
    check_fits(model, config.name, example_input(info, seed), info.num_classes, kind.output_form())
    return model


def _start_from(model: nn.Module, config: ModelConfig, weights: str, info: DataInfo) -> None:
    """Replace the drawn weights by those of a file; a new classifier (``model.new_head``) keeps its own."""
    file = read_weights(weights_file(weights))
    if is_detector(config.name) and not is_of_a_detector(file):
        options = factory_options(config)
        loaded = put_backbone(model, file, config.name, in_chans=info.in_chans, options=options)
    else:
        head = _head(config, info)
        if config.new_head and not head:
            raise ConfigError(
                f"model.new_head has no effect: no tensor of {config.name!r} has a size that follows its classes.",
                fix="leave model.new_head out",
            )
        kept = list(head) if config.new_head else []
        loaded = put(model, file, match(model, file, kept=kept, head=head, name=config.name), kept)
    if loaded.others or (loaded.widened and not config.widest_weights) or loaded.unused:
        _log.warning("%s: %s", weights, loaded)


def _head(config: ModelConfig, info: DataInfo) -> dict[str, ClassAxis]:
    options = factory_options(config)
    return head_tensors(config.name, num_classes=info.num_classes, in_chans=info.in_chans, options=options)


def build_network(
    model: nn.Module,
    config: ModelConfig,
    netaug: NetAugConfig,
    info: DataInfo,
    *,
    seed: int,
    frozen: tuple[str, ...] = (),
    layers: TrainingLayers = _NONE,
) -> Network:
    """Make the supernet of a model, or the model as a baseline, on the CPU; what is not to be trained is frozen in it.

    Args:
        model: From :func:`build_model`.
        config: What it was built from.
        netaug: Whether and how it is augmented.
        info: The data.
        seed: Keys the draws of widths and the initial values of the added weights.
        frozen: The setting ``train.freeze``.
        layers: What the network has during its training alone; what is frozen has none.

    Raises:
        UnsupportedModelError: NetAug is on and nothing in the model can be widened; or no layer can be put in.
        ModelError: It cannot run on images of the augmented passes' resolution.
        ConfigError: NetAug is on and its schedule never widens anything; or what is to be frozen is not there, or all.
    """
    example = example_input(info, seed)
    if frozen:
        freeze(model, frozen, _head(config, info))
    from_widest = config.init == "widest"
    if from_widest and (layers != _NONE or not netaug.enabled):
        # With layers of the training's own, what is added is drawn like the base network: it has other tensors.
        drawn, from_widest = augment(model, example, netaug.augment_config(seed)), False
        model.load_state_dict(_from_widest(drawn, config, netaug, info, seed).base.state_dict())
    model = layers.wrap(model, (example,))
    if not netaug.enabled:
        return BaseOnly(model, profile(model, example).macs)
    if netaug.resolution < 1:
        _check_resolution(model, config.name, netaug.resolution, example, info)
    supernet = _augmented(model, example, netaug.augment_config(seed), frozen)
    refuse_if_never_drawn(supernet)
    if from_widest:
        _from_widest(supernet, config, netaug, info, seed)
    if config.widest_weights and config.weights is not None:
        put_widest(supernet, read_weights(weights_file(config.weights)), config.name)
    return supernet


def _from_widest(
    supernet: Supernet, config: ModelConfig, netaug: NetAugConfig, info: DataInfo, seed: int
) -> Supernet:
    """Draw the first weights as NetAug's released code does, which also sorts before its first step."""
    head = _head(config, info)
    from_file = config.weights is not None
    taken = {name for name, _ in supernet.base.named_parameters()} - (set(head) if config.new_head else set())
    draw_widest(supernet, seed, classifiers=head, kept=taken if from_file else ())
    if netaug.sort and not from_file and netaug.start == 0 < netaug.width_until:
        supernet.sort_channels()
    return supernet


def _augmented(
    model: nn.Module, example_NCHW: Tensor, config: AugmentConfig, frozen: tuple[str, ...]
) -> Supernet:
    supernet = augment(model, example_NCHW, config)
    # Augmented twice: only the plan of a supernet says which groups would widen a frozen layer.
    kept = frozen_groups(supernet) if frozen else ()
    if not kept:
        return supernet
    try:
        return augment(model, example_NCHW, replace(config, keep=(*config.keep, *kept)))
    except UnsupportedModelError as error:
        raise ConfigError(
            "NetAug is on, but every layer that it could widen is frozen or next to a frozen one.",
            got=f"train.freeze {', '.join(frozen)}",
            fix="--netaug.enabled false, or freeze less",
        ) from error


def example_input(info: DataInfo, seed: int = 0) -> Tensor:
    """Draw two images of noise in the network's input format, float32 ``[2, C, S, S]``."""
    shape = (2, info.in_chans, info.image_size, info.image_size)
    return torch.randn(shape, generator=generator(seed, "example"))


def make_card(
    config: ModelConfig,
    info: DataInfo,
    top1: float | None,
    scores: Mapping[str, float] | None = None,
    network: nn.Module | None = None,
) -> ModelCard:
    """Return the metadata that goes with the weights.

    Args:
        config: What the network was built from.
        info: The data that it was trained on.
        top1: Of the network, in percent; None if not evaluated.
        scores: Those beside top-1, in percent.
        network: The network itself, where it is widened.
    """
    card = ModelCard(
        name=config.name,
        options=card_options(config),
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
        anchors=info.anchors,
        scores=dict(scores or {}),
        task=info.task,
    )
    if config.widen == 1 or network is None:
        return card
    base = create_model(
        config.name, num_classes=info.num_classes, in_chans=info.in_chans, **factory_options(config)
    )
    return card_of_widened(card, base, network, example_input(info), config.widen)


def _check_resolution(
    model: nn.Module, name: str, resolution: float, example_NCHW: Tensor, info: DataInfo
) -> None:
    """Run the network once on images as small as those of augmented passes."""
    small = smaller(example_NCHW, resolution)
    try:
        check_fits(model, name, small, info.num_classes, task_kind(info.task).output_form())
    except ModelError as error:
        side, full = small.shape[-1], example_NCHW.shape[-1]
        raise ModelError(
            f"netaug.resolution is too low for the network {name!r}: its augmented passes see images of "
            f"{side}x{side} pixels.",
            got=f"{resolution:g} of {full} pixels: {error.got}",
            fix="raise netaug.resolution; or raise data.image_size, for all passes",
        ) from error


def refuse_if_never_drawn(supernet: Supernet) -> None:
    """Refuse a schedule in which no group of the network ever widens: the run would be the baseline by another name.

    Raises:
        ConfigError: No step of any run with this schedule has an augmented pass.
    """
    config = supernet.config
    for group in supernet.groups.values():
        widens = group.most > group.base and max(group.ratios) > 1
        if widens and is_augmented(group.role, config, config.start):
            return
    raise ConfigError(
        "NetAug is on, but no step would train a wider network.",
        got=f"netaug.start {config.start:g}, netaug.width_until {config.width_until:g}, "
        f"netaug.expand_until {config.expand_until:g}",
        allowed="an end above the start for a kind of group that the network has and whose multipliers go above 1",
        fix="raise one of the two ends; --netaug.enabled false trains the baseline",
    )


def check_steps(network: Network, total_steps: int) -> None:
    """Refuse a run whose every k-th steps all lie where nothing is augmented, or that has more networks than steps.

    Args:
        network: A plain one is as it should be.
        total_steps: Of the run.

    Raises:
        ConfigError: No step has an augmented pass, or ``netaug.palette`` is larger than their number.
    """
    if isinstance(network, BaseOnly):
        return
    config = network.config
    candidates = range(0, total_steps, config.augment_every)
    passes = len(candidates) * config.draws
    if config.palette is not None and config.palette > passes:
        raise ConfigError(
            "netaug.palette has more networks than the run has augmented passes.",
            got=config.palette,
            allowed=f"at most {passes}; a palette pays when each of its networks comes many times",
            fix="leave netaug.palette out: each step then draws a network of its own",
        )
    if any(network.widens(step, step / total_steps) for step in candidates):
        return
    raise ConfigError(
        f"NetAug is on, but none of the {total_steps} steps of this run has an augmented pass.",
        got=f"netaug.augment_every {config.augment_every}, netaug.start {config.start:g}",
        allowed="a multiple of augment_every among the steps from the start on",
        fix="lower netaug.augment_every or netaug.start; --netaug.enabled false trains the baseline",
    )
