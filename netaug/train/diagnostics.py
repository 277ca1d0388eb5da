"""Diagnoses a training: the augmented pass's fraction of the gradients, and advice at the end.

The advice is one sentence, when training and validation suggest that the network under-fits or over-fits.

Tiny networks lack capacity, and what keeps large ones from over-fitting makes them worse: MobileNetV2-Tiny loses 0.7
points with Mixup, 1.4 with AutoAugment and 3.7 with DropBlock, where ResNet50 gains 1.1, 0.8 and 1.6; NetAug does the
opposite, +1.3 against -0.3 (arXiv:2110.08890, regularization study and learning curves). Which side a network is on
shows in its top-1 on training images beside that on others. The limits below are our choice: the paper gives
directions, not limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from netaug.config import RegularizeConfig, TrainConfig
from netaug.config.train import ENOUGH_STEPS
from netaug.elastic import Pass, Supernet
from netaug.elastic.plain_network import Network
from netaug.runs.records import EpochRecord
from netaug.train.observers import Observer

SMALL_GAP, LARGE_GAP = 2.0, 10.0
"""Points of training top-1 above that of validation. Training is measured on augmented images while weights change,
so it is lower than it would be on plain ones: a gap of 10 there is more than one on plain images."""
SATURATED = 95.0
"""Training top-1 in percent from which there is little left to fit."""
PLAIN_DECAY = 1e-4
"""Weight decay up to which it is as usual for tiny networks; the paper's is 4e-5."""
ENOUGH_EPOCHS = 5
"""Epochs from which a run can be advised about: top-1 in training is a mean over an epoch in which it rises."""
_STANDARD_ERRORS = 2.0
_DROPPING = ("Dropout", "DropPath", "StochasticDepth", "DropBlock")


def advise(
    records: Sequence[EpochRecord],
    val_size: int,
    classes: int,
    *,
    augmented: bool,
    regularizers: Sequence[str],
) -> str | None:
    """Return one sentence about a finished run; None if there is nothing to say, or the run was too short to tell.

    Args:
        records: Of all epochs, the last one with its evaluation.
        val_size: Images evaluated on: a difference below two standard errors of the top-1 on them shows nothing.
        classes: Number of classes: at chance level nothing has been learned that could under-fit or over-fit.
        augmented: Whether NetAug is on.
        regularizers: From :func:`regularizers_of`.
    """
    last = records[-1]
    if last.val_top1 is None or last.train_top1 is None or last.val_loss is None:
        return None
    if len(records) < ENOUGH_EPOCHS or sum(record.steps for record in records) < ENOUGH_STEPS:
        return None
    train, val = last.train_top1, last.val_top1
    chance = 100 / classes
    if min(train, val) - chance <= _noise(chance, val_size):
        return None
    noise = _noise(val, val_size)
    seen = f"top-1 is {train:.1f} % in training and {val:.1f} % in validation"
    if train - val <= SMALL_GAP and train < SATURATED and regularizers:
        return (
            f"{seen}: the network under-fits, and {_listed(regularizers)} hold{'s' * (len(regularizers) == 1)} it back "
            "further. Try less of it, or more epochs"
        )
    if train - val >= max(LARGE_GAP, noise) and last.val_loss > last.train_loss and augmented:
        return (
            f"{seen}: the network over-fits, and NetAug is made for networks that under-fit. Try "
            "--netaug.enabled false with regularizers, or more data"
        )
    return None


def _noise(top1: float, images: int) -> float:
    """Return two standard errors of a top-1, in points."""
    right = top1 / 100
    return _STANDARD_ERRORS * 100 * math.sqrt(right * (1 - right) / images)


def regularizers_of(
    train: TrainConfig, augment: str, regularize: RegularizeConfig, network: nn.Module
) -> list[str]:
    """Name what keeps a training from fitting.

    Args:
        train: Label smoothing and weight decay.
        augment: The setting ``data.augment``.
        regularize: Regularizers.
        network: The base network, for what it drops while it trains.
    """
    names = []
    if train.label_smoothing > 0:
        names.append(f"label smoothing {train.label_smoothing:g}")
    if augment == "imagenet":
        names.append("the random crops and colors of data.augment imagenet")
    if train.weight_decay > PLAIN_DECAY:
        names.append(f"weight decay {train.weight_decay:g}")
    if (dropped := _dropped(network)) is not None:
        names.append(dropped)
    return names + [f"regularize.{name} {regularize.strength(name)}".rstrip() for name in regularize.on]


def _dropped(network: nn.Module) -> str | None:
    """Count the layers that drop something at random while training, and name the largest probability."""
    rates = [
        float(rate)
        for module in network.modules()
        if any(part in type(module).__name__ for part in _DROPPING)
        and isinstance(rate := getattr(module, "p", getattr(module, "drop_prob", None)), int | float)
        and rate > 0
    ]
    return f"dropout in {len(rates)} layer(s), up to {max(rates):g}" if rates else None


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def measured(network: Network) -> list[nn.Parameter]:
    """Return the base network's parameters, without those that get the gradients of all passes in one backward."""
    shared = isinstance(network, Supernet) and network.shares_prefix and network.plan.prefix
    left_out = shared.parameters if shared else frozenset()
    return [parameter for name, parameter in network.base.named_parameters() if name not in left_out]


class GradientFractions(Observer):
    """Separates the gradients of a step by pass, on the weights that both passes share: those of the base network.

    It reads gradients between the passes, before they are clipped or all-reduced, so it changes no bit of the run; of
    several processes the first one's images count. A step that is measured copies the base network's gradients once,
    and adds them up on the device; nothing waits for it.

    Args:
        parameters: Of the base network.
        every: Steps from one measurement to the next; 0 never measures.
        separate: Whether each pass begins without gradients, as they are combined only later (``netaug.conflict``);
            measured is what they are before that.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], every: int, *, separate: bool = False) -> None:
        self._separate = separate
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._every = every
        self._before: list[Tensor] | None = None
        self._base: list[Tensor] | None = None
        self._augmented = False

    @classmethod
    def of(cls, network: Network, every: int) -> GradientFractions:
        """Return the observer of a network."""
        separate = isinstance(network, Supernet) and network.separate is not None
        return cls(measured(network), every, separate=separate)

    def on_step_start(self, step: int) -> None:
        """Decide whether this step is measured."""
        due = self._every > 0 and step % self._every == 0
        self._before = [torch.zeros_like(parameter) for parameter in self._parameters] if due else None
        self._base, self._augmented = None, False

    @torch.no_grad()
    def on_pass_end(self, pass_: Pass) -> None:
        """Take the difference that the pass made to the gradients."""
        if self._before is None or pass_.name == "teacher":
            return
        now = self._now()
        if pass_.name == "base":
            self._base = (
                [gradient.clone() for gradient in now]
                if self._separate
                else list(torch._foreach_sub(now, self._before))
            )
        else:
            self._augmented = True
        if self._separate:
            self._before = list(torch._foreach_add(self._before, now))  # as if they had been added
        else:
            # A copy: `now` holds the gradients themselves, to which the next pass adds.
            self._before = [gradient.clone() for gradient in now]

    @torch.no_grad()
    def finish(self) -> Tensor | None:
        """Return the augmented pass's fraction of the step's gradients, its weight alpha included.

        Returns:
            ``[fraction, cosine, 1]``: ``|a| / (|a| + |b|)`` with the L2 norms of the augmented and the base pass's
            gradients, which is 0.5 where both are of equal length; the cosine of the angle between them, which is
            negative where they oppose each other; and a count. All zero if a value is not finite. None if the
            step is not measured or has no augmented pass.
        """
        before, self._before = self._before, None
        if before is None or self._base is None or not self._augmented or not before:
            return None
        augmented = torch._foreach_sub(before, self._base)
        norm_a, norm_b = _norm(augmented), _norm(self._base)
        dot = torch.stack([(a * b).sum() for a, b in zip(augmented, self._base, strict=True)]).sum()
        self._base = None
        count = torch.ones_like(norm_a)
        measured = torch.stack([norm_a / (norm_a + norm_b), dot / (norm_a * norm_b), count]).double()
        return torch.where(torch.isfinite(measured).all(), measured, torch.zeros_like(measured))

    def _now(self) -> list[Tensor]:
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    norms: list[Tensor] = list(torch._foreach_norm(list(tensors)))
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm
