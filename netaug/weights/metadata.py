"""Weights files: a plain network with what is needed to rebuild it and to feed it; untrusted input."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from netaug.config import MOST_PIXELS
from netaug.config.trust import check_network, check_options, is_foreign
from netaug.core.errors import CheckpointError, ModelError, first_line
from netaug.core.io import write_atomic
from netaug.core.seeding import seeded
from netaug.models import create_model
from netaug.models.factory import without_pretrained
from netaug.weights.resized import Sizes, check_sizes, resize

_METADATA_KEY = "netaug"
_IF_THERE = ("widths", "sizes", "anchors", "scores")  # else left out: earlier versions then read the file
_SHOWN = 3
_SHOWN_CHARACTERS = 200  # of a value in a message, and of the name of a network
_MOST = 1e6  # of any number in a description
_MOST_CLASSES, _MOST_CHANNELS = 1_000_000, 1024
_LEAST_CROP = 0.1  # images are resized to image_size / crop_ratio


@dataclass(frozen=True)
class ModelCard:
    """Holds the description of a network in its weights file: enough to build it again and to prepare images for it.

    Args:
        name: As in `model.name`; a user's factory is imported again, where the user names it.
        options: Keyword arguments of the factory.
        num_classes: Number of logits.
        in_chans: Image channels.
        class_names: In label order.
        image_size: Height = width of the input in pixels.
        mean: Per-channel mean of pixels scaled to [0, 1] that the input is normalized with.
        std: Per-channel standard deviation, same scale.
        crop_ratio: Evaluation resizes to ``ceil(image_size / crop_ratio)`` and crops the center.
        top1: Validation top-1 in percent when saved; None if not evaluated.
        val_split: What ``top1`` was measured on: ``val``, ``test`` or ``holdout``.
        netaug_version: The version that wrote the file.
        widths: Channels per width group of a network extracted wider than the factory's; else empty.
        sizes: What its modules say of their sizes, where it differs from the factory's network.
        anchors: Of a detector: widths and heights of its anchors in pixels of the input, smallest first; else empty.
        scores: Metrics on ``val_split`` in percent other than top-1, by name; of a detector its average precisions.
        task: Name of the kind of task, as in ``DataInfo.task``; empty is ``detect`` with anchors, else ``classify``.
    """

    name: str
    options: dict[str, Any]
    num_classes: int
    in_chans: int
    class_names: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_ratio: float
    top1: float | None
    val_split: str
    netaug_version: str
    widths: dict[str, int] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=dict)
    anchors: tuple[tuple[float, float], ...] = field(default_factory=tuple)
    scores: dict[str, float] = field(default_factory=dict)
    task: str = field(default_factory=str)

    def __post_init__(self) -> None:
        """Fill in the task that the anchors imply."""
        if not self.task:
            object.__setattr__(self, "task", _implied_task(self.anchors))

    @classmethod
    def from_json(cls, text: str, path: Path) -> ModelCard:
        """Read a card back.

        Raises:
            CheckpointError: It is damaged, or of another version.
        """
        try:
            values = json.loads(text)
            names = {item.name: item.default_factory is MISSING for item in fields(cls)}
            differing = {name for name, needed in names.items() if needed and name not in values}
            if differing := differing | (set(values) - set(names)):
                raise ValueError(f"fields that differ: {', '.join(sorted(differing))}")
            for name in ("class_names", "mean", "std", "anchors"):
                if not isinstance(values.setdefault(name, []), list):
                    raise ValueError(f"{name} is not a list")
                values[name] = tuple(values[name])
            values["anchors"] = tuple(tuple(pair) for pair in values["anchors"])
            card = cls(**values)
            card.check()
            return card
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(
                f"the description in '{path}' cannot be read.", got=first_line(error)
            ) from error

    def check(self) -> None:
        """Check what a file says, before anything is built from it.

        Raises:
            ValueError: A field has a value that :func:`save_weights` does not write.
        """
        pairs = self.anchors
        sound = {
            **{
                name: _is_short(getattr(self, name))
                for name in ("name", "val_split", "netaug_version", "task")
            },
            "options": check_options(self.name, self.options),
            "num_classes": _is_whole(self.num_classes, _MOST_CLASSES),
            "in_chans": _is_whole(self.in_chans, _MOST_CHANNELS),
            "class_names": len(self.class_names) == self.num_classes
            and all(isinstance(name, str) for name in self.class_names),
            "image_size": _is_whole(self.image_size, MOST_PIXELS),
            "mean": len(self.mean) == self.in_chans and all(_is_number(x) for x in self.mean),
            "std": len(self.std) == self.in_chans and all(_is_number(x, 1 / _MOST) for x in self.std),
            "crop_ratio": _is_number(self.crop_ratio, _LEAST_CROP) and self.crop_ratio <= 1,
            "top1": self.top1 is None or _is_number(self.top1),
            "widths": isinstance(self.widths, dict)
            and all(_is_whole(n, _MOST) for n in self.widths.values()),
            "sizes": check_sizes(self.sizes),
            "anchors": all(len(pair) == 2 and all(_is_number(x, 1 / _MOST) for x in pair) for pair in pairs),
            "scores": isinstance(self.scores, dict) and all(map(_is_number, self.scores.values())),
        }
        wrong = [f"{name} {_shortened(getattr(self, name))}" for name, holds in sound.items() if not holds]
        if wrong:
            raise ValueError(f"values that cannot be: {', '.join(wrong)}")


def _implied_task(anchors: Sequence[tuple[float, float]]) -> str:
    """Return the task of a file that names none, as those of classifiers and detectors do."""
    return "detect" if anchors else "classify"


def _is_number(value: object, least: float = -_MOST) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and math.isfinite(value) and least <= value <= _MOST  # type: ignore[arg-type,operator]


def _is_short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _SHOWN_CHARACTERS


def _is_whole(value: object, most: float) -> bool:
    return type(value) is int and 1 <= value <= most


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def save_weights(path: Path, model: nn.Module, card: ModelCard) -> None:
    """Write a plain network and its card as safetensors, whole or not at all."""
    tensors = {
        # A copy each: safetensors refuses tensors that share memory, as tied weights do.
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    described = {name: value for name, value in asdict(card).items() if value or name not in _IF_THERE}
    if card.task == _implied_task(card.anchors):  # else earlier versions could not read the file
        del described["task"]
    metadata = {_METADATA_KEY: json.dumps(described)}
    write_atomic(path, safetensors.torch.save(tensors, metadata=metadata))


def read_card(path: Path) -> ModelCard | None:
    """Return the description in a weights file, without its tensors; None for a file of another program.

    Raises:
        CheckpointError: There is a description, and it is damaged or of another version.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, ValueError, safetensors.SafetensorError):
        return None
    return ModelCard.from_json(metadata[_METADATA_KEY], path) if _METADATA_KEY in metadata else None


def load_weights(path: Path, trusted: Collection[str] = ()) -> tuple[nn.Module, ModelCard]:
    """Rebuild the network of a weights file; no code runs that the file chose.

    Args:
        path: Written by :func:`save_weights`.
        trusted: Factories ``package.module:function`` that may be imported if the card names one of them.

    Returns:
        The network on the CPU in evaluation mode, and its card.

    Raises:
        CheckpointError: The file is missing, truncated, not a weights file of netaug, or does not fit the network
            that it names.
        ModelError: The network cannot be built, e.g. a user's factory cannot be imported.
        UntrustedNetworkError: The card names a factory that is not among ``trusted``.
    """
    tensors, metadata = read_safetensors(path, "model.safetensors of a run folder")
    if _METADATA_KEY not in metadata:
        raise CheckpointError(
            f"'{path}' was not written by netaug.",
            got=f"safetensors with {len(tensors)} tensors and no 'netaug' description",
            allowed="model.safetensors of a run folder",
        )
    card = ModelCard.from_json(metadata[_METADATA_KEY], path)
    options = without_pretrained(card.options)
    check_network(card.name, options, where=f"'{path}'", trusted=trusted)
    if not is_foreign(card.name):
        _check_size(card, options, tensors, path)
    with seeded(0, "load"):  # building draws weights that are replaced below
        model = create_model(card.name, num_classes=card.num_classes, in_chans=card.in_chans, **options)
    if card.widths:
        _fill_wider(model, tensors, card, path)
    else:
        fill(model, tensors, path)
    return model.eval(), card


def _check_size(
    card: ModelCard, options: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Refuse a network larger than its file before memory is taken for it."""
    try:
        with seeded(0, "size"), torch.device("meta"):
            model = create_model(card.name, num_classes=card.num_classes, in_chans=card.in_chans, **options)
    except ModelError:
        return  # a clearer error follows below; and some of timm's networks cannot be built without memory
    wanted = sum(tensor.numel() for tensor in model.state_dict().values())
    given = sum(tensor.numel() for tensor in tensors.values())
    if wanted > given:
        check_fits_file(model, tensors, path)


def _fill_wider(model: nn.Module, tensors: Mapping[str, Tensor], card: ModelCard, path: Path) -> None:
    """Make room for the tensors of a wider network, put them in, and see that it runs."""
    example = torch.zeros(1, card.in_chans, card.image_size, card.image_size)
    try:
        resize(model, tensors, card.sizes)
        fill(model, tensors, path)
        with torch.no_grad():
            model.eval()(example)
    except CheckpointError:
        raise
    except Exception as error:  # of a user's network with tensors that do not belong together
        raise CheckpointError(
            f"the wider network in '{path}' cannot be put together.",
            got=f"{type(error).__name__}: {first_line(error)}",
            allowed=f"tensors and sizes that `netaug extract` wrote for {card.name!r}",
        ) from error


def fill(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors into a network whose names and shapes are exactly theirs; see :func:`check_fits_file`."""
    check_fits_file(model, tensors, path)
    model.load_state_dict(dict(tensors))


def check_fits_file(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors whose names and shapes are not exactly those of a network.

    Raises:
        CheckpointError: They differ; names the first tensors that do, with their shapes.
    """
    our_shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    names = [*our_shapes, *sorted(set(given) - set(our_shapes))]
    differing = [name for name in names if our_shapes.get(name) != given.get(name)]
    if differing:
        shown = [
            f"{name}: file {given.get(name, 'none')}, network {our_shapes.get(name, 'none')}"
            for name in differing[:_SHOWN]
        ]
        raise CheckpointError(
            f"'{path}' does not fit {type(model).__name__}.",
            got=f"{len(differing)} of {len(our_shapes)} tensors differ; {'; '.join(shown)}",
            allowed="the same names and shapes",
        )


def read_safetensors(path: Path, allowed: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file by name, and its metadata; ``allowed`` is for the message.

    Raises:
        CheckpointError: The file is missing, truncated or of another kind.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise unreadable(path, error, allowed) from error


def unreadable(path: Path, error: Exception, allowed: str) -> CheckpointError:
    """Return the error for a file that a reader gave up on."""
    size = f"{path.stat().st_size} bytes; " if path.is_file() else ""
    return CheckpointError(
        f"'{path}' cannot be read: truncated, damaged, or another kind of file.",
        got=f"{size}{type(error).__name__}: {first_line(error)}",
        allowed=allowed,
    )
