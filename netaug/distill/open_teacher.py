"""Opens the networks that `distill.teacher` names, and matches their classes with those of the data."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import nn

from netaug.config.distill import DistillConfig
from netaug.config.trust import check_network
from netaug.core.errors import ConfigError, ModelError
from netaug.core.existing import no_teacher
from netaug.core.seeding import seeded
from netaug.data.batch import DataInfo
from netaug.data.readers.wordnet import in_words
from netaug.distill.teacher import Feed, Teacher, Teachers
from netaug.models import create_model, default_image_size
from netaug.runs.folder import find_weights
from netaug.weights.metadata import load_weights, read_card

_OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def open_teachers(
    config: DistillConfig,
    info: DataInfo,
    device: torch.device,
    *,
    channels_last: bool = False,
    seed: int = 0,
    trusted: Collection[str] = (),
) -> Teachers:
    """Load every teacher that the settings name.

    Args:
        config: Names at least one.
        info: The data that the student learns; teachers must know its classes.
        device: Where they run.
        channels_last: Their memory format.
        seed: Keys the weights of random teachers.
        trusted: Factories ``package.module:function`` that the weights files of teachers may name.

    Raises:
        ConfigError: A teacher is not to be found, has no weights, other classes or other image channels.
        ModelError: timm has no such model, or its weights cannot be downloaded.
        CheckpointError: A weights file is damaged, or does not fit its network.
    """
    assert config.teacher, "asked for teachers where none is named"
    members = [_open(name, config.random_teacher, info, seed, trusted) for name in config.teacher]
    teachers = Teachers(members, config.mean)
    teachers.to(
        device=device, memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )  # type: ignore[call-overload]
    return teachers


def _open(name: str, random: bool, info: DataInfo, seed: int, trusted: Collection[str]) -> Teacher:
    path = Path(name).expanduser()
    if path.exists():
        return _from_file(name, path, info, trusted)
    if name.startswith("wider:"):
        raise ConfigError(
            f"the teacher '{name}' is made by the training that it teaches, and is not there yet.",
            allowed="wider:N in `netaug train`, with N from above 1 to 16",
            fix="train it with `--model.widen N --netaug.enabled false`, and give its run folder",
        )
    if random:
        return _with_random_weights(name, info, seed)
    if name.startswith("timm:"):
        return _from_timm(name, info)
    try:
        if not _OWN.fullmatch(name):  # a factory is not imported for a message
            default_image_size(name)
    except ModelError as error:
        raise no_teacher(name) from error
    raise ConfigError(
        f"the teacher '{name}' has no weights of its own: it would know nothing.",
        got="the name of a network",
        allowed="timm:NAME, a run folder, or a weights file of netaug",
        fix=f"train it and give the run folder; or `netaug import-weights FILE --model {name}`, and give what that "
        "writes",
    )


def _from_file(name: str, path: Path, info: DataInfo, trusted: Collection[str]) -> Teacher:
    """Load the network of a run folder or of a weights file with a description."""
    weights = find_weights(path)
    card = read_card(weights)
    if card is None:
        raise ConfigError(
            f"the teacher '{name}' does not name the network of its weights.",
            got="a file that netaug did not write",
            allowed="a run folder, or a weights file of netaug",
            fix=f"`netaug import-weights {weights} --model NAME`, and give what that writes",
        )
    check_network(card.name, {}, where=f"the teacher '{name}'", trusted=trusted, option="--trust")
    network, card = load_weights(weights, trusted)
    _check_channels(name, card.in_chans, info)
    order = order_of_classes(name, card.class_names, card.num_classes, info.class_names)
    return Teacher(name, network, Feed.of(info), Feed(card.image_size, card.mean, card.std), order)


def _from_timm(name: str, info: DataInfo) -> Teacher:
    """Load a network of timm with timm's weights; what does not fit is refused before they are downloaded."""
    import timm
    from timm.data import ImageNetInfo

    default_image_size(name)  # says what is nearest if there is no such model
    settings = timm.get_pretrained_cfg(name.removeprefix("timm:"))
    if settings is None or not settings.has_weights:
        raise ConfigError(
            f"timm has no weights of the teacher '{name}': it would know nothing.",
            allowed="a model of timm.list_pretrained(), a run folder, or a weights file of netaug",
            fix="distill.random_teacher true accepts random weights, for tests",
        )
    classes = int(settings.num_classes)
    names = settings.label_names or (ImageNetInfo().label_names() if classes == 1000 else None)
    # Checked from timm's description, before the weights are downloaded.
    _check_channels(name, int(settings.input_size[0]), info)
    order = order_of_classes(name, names, classes, info.class_names)
    network = create_model(name, num_classes=classes, in_chans=info.in_chans, pretrained=True)
    theirs = Feed(int(settings.input_size[-1]), tuple(settings.mean), tuple(settings.std))
    return Teacher(name, network, Feed.of(info), theirs, order)


def _with_random_weights(name: str, info: DataInfo, seed: int) -> Teacher:
    with seeded(seed, "teacher", name):
        network: nn.Module = create_model(name, num_classes=info.num_classes, in_chans=info.in_chans)
    return Teacher(name, network, Feed.of(info), Feed.of(info))


def _check_channels(name: str, channels: int, info: DataInfo) -> None:
    if channels != info.in_chans:
        raise ConfigError(
            f"the teacher '{name}' takes images of other channels than the data has.",
            got=f"{channels} channels",
            allowed=f"{info.in_chans} of {info.name!r}",
        )


_log = logging.getLogger("netaug")
_SHOWN = 3


def order_of_classes(
    teacher: str, theirs: Sequence[str] | None, count: int, ours: Sequence[str]
) -> list[int] | None:
    """Find each class of the data among the teacher's.

    Args:
        teacher: Its name, for messages.
        theirs: Names of its classes in the order of its outputs; None if it does not name them.
        count: How many classes it has.
        ours: Names of the data's classes in label order.

    Returns:
        Positions in label order; None if the order is the same, or cannot be compared, which is logged.

    Raises:
        ConfigError: It has another number of classes, or others.
    """
    if count != len(ours):
        raise ConfigError(
            f"the teacher '{teacher}' has other classes than the data.",
            got=f"{count} classes",
            allowed=f"the {len(ours)} classes of the data, {_few(ours)}",
            fix="fine-tune it on this data first, with `netaug finetune` or `netaug train --model.weights`, and give "
            "that run as distill.teacher",
        )
    # ImageNet's classes have ids or words for names, as the dataset or the weights came
    ours, theirs = in_words(tuple(ours)), None if theirs is None else in_words(tuple(theirs))
    if theirs is not None and theirs == ours:
        return None
    if theirs is not None and set(theirs) == set(ours) and len(set(ours)) == count:
        _log.warning(
            "the classes of the teacher '%s' are in another order; they are matched by name", teacher
        )
        return [list(theirs).index(name) for name in ours]
    if theirs is None or _numbered(theirs) != _numbered(ours):
        _log.warning(
            "the classes of the teacher '%s' have no names to compare; their order is taken to be that of the data",
            teacher,
        )
        return None
    raise _other_classes(teacher, theirs, ours)


def _other_classes(teacher: str, theirs: Sequence[str], ours: Sequence[str]) -> ConfigError:
    missing = sorted(set(ours) - set(theirs))
    return ConfigError(
        f"the teacher '{teacher}' has other classes than those of the data.",
        got=f"{len(missing)} of {len(ours)} classes are not among its own, such as {_few(missing)}",
        allowed=f"the classes of the data, in any order; the teacher's are {_few(theirs)}",
        fix="train or fine-tune it on this data first",
    )


def _numbered(names: Sequence[str]) -> bool:
    """Return whether these names are only the positions of the classes."""
    return all(name.isdigit() or name.rpartition(" ")[2].isdigit() for name in names)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown
