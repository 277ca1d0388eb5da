"""Weights files: a plain network with what is needed to rebuild it and to feed it; untrusted input."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from netaug.errors import CheckpointError, first_line
from netaug.models import create_model
from netaug.seeding import seeded
from netaug.train.files import write_atomic
from netaug.train.resized import Sizes, check_sizes, resize

_METADATA_KEY = "netaug"
_IF_THERE = (
    "widths",
    "sizes",
    "anchors",
    "scores",
)  # left out otherwise: earlier versions then read the file too
_SHOWN = 3


@dataclass(frozen=True)
class ModelCard:
    """What a weights file says about its network: enough to build it again and to feed it.

    Args:
        name: As in `model.name`; a user's factory is imported again.
        options: Keyword arguments of the factory.
        num_classes: Number of logits.
        in_chans: Image channels.
        class_names: In label order.
        image_size: Height = width of the input in pixels.
        mean: Per-channel mean of pixels scaled to [0, 1] that the input is normalised with.
        std: Per-channel standard deviation, same scale.
        crop_ratio: Evaluation resizes to ``ceil(image_size / crop_ratio)`` and crops the centre.
        top1: Validation top-1 in percent when saved; None if not evaluated.
        val_split: What ``top1`` was measured on: ``val``, ``test`` or ``holdout``.
        netaug_version: The version that wrote the file.
        widths: Channels per width group of a network extracted wider than the factory's; else empty.
        sizes: What its modules say of their sizes, where it differs from the factory's network.
        anchors: Of a detector: widths and heights of its anchors in pixels of the input, smallest first; else empty.
        scores: Metrics of a detector on ``val_split`` in percent, by name.
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

    @property
    def detects(self) -> bool:
        """Whether the network finds objects instead of naming images."""
        return bool(self.anchors)

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
            for name in ("class_names", "mean", "std"):
                values[name] = tuple(values[name])
            values["anchors"] = tuple(tuple(pair) for pair in values.get("anchors", ()))
            card = cls(**values)
            card.check()
            return card
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"the description in '{path}' cannot be read.", got=error) from error

    def check(self) -> None:
        """Check what a file says, before anything is built from it.

        Raises:
            ValueError: A field has a value that :func:`save_weights` does not write.
        """
        sound = {
            "name": isinstance(self.name, str),
            "options": isinstance(self.options, dict),
            "num_classes": type(self.num_classes) is int and self.num_classes >= 1,
            "in_chans": type(self.in_chans) is int and self.in_chans >= 1,
            "class_names": len(self.class_names) == self.num_classes
            and all(isinstance(name, str) for name in self.class_names),
            "image_size": type(self.image_size) is int and self.image_size >= 1,
            "mean": len(self.mean) == self.in_chans and all(map(_is_number, self.mean)),
            "std": len(self.std) == self.in_chans and all(_is_number(x) and x > 0 for x in self.std),
            "crop_ratio": _is_number(self.crop_ratio) and 0 < self.crop_ratio <= 1,
            "widths": isinstance(self.widths, dict) and all(type(n) is int for n in self.widths.values()),
            "sizes": check_sizes(self.sizes),
            "anchors": all(
                len(pair) == 2 and all(_is_number(x) and x > 0 for x in pair) for pair in self.anchors
            ),
            "scores": isinstance(self.scores, dict) and all(map(_is_number, self.scores.values())),
        }
        wrong = [f"{name} {getattr(self, name)!r}" for name, holds in sound.items() if not holds]
        if wrong:
            raise ValueError(f"values that cannot be: {', '.join(wrong)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def save_weights(path: Path, model: nn.Module, card: ModelCard) -> None:
    """Write a plain network and its card as safetensors, whole or not at all."""
    tensors = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    described = {name: value for name, value in asdict(card).items() if value or name not in _IF_THERE}
    metadata = {_METADATA_KEY: json.dumps(described)}
    write_atomic(path, safetensors.torch.save(tensors, metadata=metadata))


def read_card(path: Path) -> ModelCard | None:
    """The description in a weights file, without its tensors; None for a file of another program.

    Raises:
        CheckpointError: There is a description, and it is damaged or of another version.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, ValueError, safetensors.SafetensorError):
        return None
    return ModelCard.from_json(metadata[_METADATA_KEY], path) if _METADATA_KEY in metadata else None


def load_weights(path: Path) -> tuple[nn.Module, ModelCard]:
    """Rebuild the network of a weights file.

    Args:
        path: Written by :func:`save_weights`. A card that names a user's factory makes this import it.

    Returns:
        The network on the CPU in evaluation mode, and its card.

    Raises:
        CheckpointError: The file is missing, truncated, foreign, or does not fit the network it names.
        ModelError: The network cannot be built, e.g. a user's factory cannot be imported.
    """
    tensors, metadata = read_safetensors(path, "model.safetensors of a run folder")
    if _METADATA_KEY not in metadata:
        raise CheckpointError(
            f"'{path}' was not written by netaug.",
            got=f"safetensors with {len(tensors)} tensors and no 'netaug' description",
            allowed="model.safetensors of a run folder",
        )
    card = ModelCard.from_json(metadata[_METADATA_KEY], path)
    options = {**card.options, "pretrained": False} if "pretrained" in card.options else card.options
    with seeded(0, "load"):  # building draws weights that are replaced below
        model = create_model(card.name, num_classes=card.num_classes, in_chans=card.in_chans, **options)
    if card.widths:
        _fill_wider(model, tensors, card, path)
    else:
        fill(model, tensors, path)
    return model.eval(), card


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
    """Put tensors into a network whose names and shapes are exactly theirs.

    Raises:
        CheckpointError: They differ; names the first tensors that do, with their shapes.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    names = [*own, *sorted(set(given) - set(own))]
    differing = [name for name in names if own.get(name) != given.get(name)]
    if differing:
        shown = [
            f"{name}: file {given.get(name, 'none')}, network {own.get(name, 'none')}"
            for name in differing[:_SHOWN]
        ]
        raise CheckpointError(
            f"'{path}' does not fit {type(model).__name__}.",
            got=f"{len(differing)} of {len(own)} tensors differ; {'; '.join(shown)}",
            allowed="the same names and shapes",
        )
    model.load_state_dict(dict(tensors))


def read_safetensors(path: Path, allowed: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by name, and its metadata; ``allowed`` is for the message.

    Raises:
        CheckpointError: The file is missing, truncated or of another kind.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise unreadable(path, error, allowed) from error


def unreadable(path: Path, error: Exception, allowed: str) -> CheckpointError:
    """The message for a file that a reader gave up on."""
    size = f"{path.stat().st_size} bytes; " if path.is_file() else ""
    return CheckpointError(
        f"'{path}' cannot be read: truncated, damaged, or another kind of file.",
        got=f"{size}{type(error).__name__}: {first_line(error)}",
        allowed=allowed,
    )
