"""Runs trained networks as teachers: frozen, each on its own kind of input, with classes in the data's order."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.data.batch import DataInfo


@dataclass(frozen=True)
class Feed:
    """Describes the images that a network takes.

    Args:
        image_size: Height = width in pixels.
        mean: Per-channel mean of pixels scaled to [0, 1] that they are normalized with.
        std: Per-channel standard deviation, same scale.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, info: DataInfo) -> Feed:
        """Return that of a dataset's batches."""
        return cls(info.image_size, info.mean, info.std)

    def __str__(self) -> str:
        """Return it as text."""
        mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"{self.image_size} px, mean {mean}, std {std}"


class Teacher(nn.Module):
    """Runs a frozen network in evaluation mode on the student's images.

    On CUDA it computes in half precision, elsewhere in float32.

    Args:
        name: For messages.
        network: From images to logits ``[N, C]``.
        ours: How the student's images are made.
        theirs: How the teacher wants them. Pixels are normalized and resized again on the device.
        order: Position among the teacher's classes of each class of the data; None if they are in the same order.
    """

    _scale: Tensor | None
    _shift: Tensor | None
    _order: Tensor | None

    def __init__(
        self, name: str, network: nn.Module, ours: Feed, theirs: Feed, order: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.name, self.feed = name, theirs
        self.network = network.eval().requires_grad_(False)
        self._size = None if ours.image_size == theirs.image_size else theirs.image_size
        same = (ours.mean, ours.std) == (theirs.mean, theirs.std)
        our_mean, our_std, mean, std = (
            torch.tensor(values, dtype=torch.float64)[:, None, None]
            for values in (ours.mean, ours.std, theirs.mean, theirs.std)
        )
        scale, shift = (our_std / std).float(), ((our_mean - mean) / std).float()
        self.register_buffer("_scale", None if same else scale, persistent=False)
        self.register_buffer("_shift", None if same else shift, persistent=False)
        self.register_buffer("_order", None if order is None else torch.tensor(order), persistent=False)

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode, whatever it is a part of."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Log probabilities ``[N, C]``, float32, of images as the student takes them, in the order of the data."""
        x = images_NCHW
        if self._scale is not None and self._shift is not None:
            x = torch.addcmul(self._shift, x, self._scale)
        if self._size is not None:
            x = F.interpolate(
                x, (self._size, self._size), mode="bilinear", antialias=True, align_corners=False
            )
        with torch.autocast(x.device.type, torch.float16, enabled=x.device.type == "cuda"):
            logits: Tensor = self.network(x)
        # Float before log_softmax: in half precision small probabilities would become equal.
        logits = logits.float() if self._order is None else logits.float()[:, self._order]
        return logits.log_softmax(1)

    def __str__(self) -> str:
        """Return its name and input format."""
        return f"{self.name} ({self.feed})"

    def fingerprint(self) -> str:
        """Return a hash of its weights, its input format, and the order of its classes."""
        order = None if self._order is None else self._order.tolist()
        digest = hashlib.sha256(repr((self.feed, self._size, order)).encode())
        for name, tensor in self.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


class Teachers(nn.Module):
    """Averages one or several teachers.

    Args:
        members: At least one.
        mean: ``probabilities``: the mean of what each thinks likely. ``logits``: the mean of logits, up to a constant
            per image; a class that one of them rules out is ruled out.
    """

    def __init__(self, members: Sequence[Teacher], mean: Literal["probabilities", "logits"]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._mean = mean

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all members."""
        return tuple(str(member.name) for member in self.members)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Log probabilities ``[N, C]``, float32; a temperature divides them as it does logits."""
        log_probs_MNC = torch.stack([member(images_NCHW) for member in self.members])
        if len(log_probs_MNC) == 1:
            return log_probs_MNC[0]
        if self._mean == "logits":
            return log_probs_MNC.mean(0).log_softmax(1)
        return log_probs_MNC.logsumexp(0) - math.log(len(log_probs_MNC))

    def fingerprint(self) -> str:
        """Return a hash of all members and of how they are averaged."""
        hashes = [member.fingerprint() for member in self.members if isinstance(member, Teacher)]
        return hashlib.sha256(repr((hashes, self._mean if len(hashes) > 1 else "")).encode()).hexdigest()
