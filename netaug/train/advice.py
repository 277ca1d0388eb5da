"""One sentence at the end of a run when training and validation say that the network under-fits or over-fits.

Tiny networks lack capacity, and what keeps large ones from over-fitting makes them worse: MobileNetV2-Tiny loses 0.7
points with Mixup, 1.4 with AutoAugment and 3.7 with DropBlock, where ResNet50 gains 1.1, 0.8 and 1.6; NetAug does the
opposite, +1.3 against -0.3 (arXiv:2110.08890, regularization study and learning curves). Which side a network is on
shows in its top-1 on training images beside that on others. The limits below are our choice: the paper gives
directions, not limits.
"""

from __future__ import annotations

import math

from torch import nn

from netaug.config import RunConfig
from netaug.runs.records import EpochRecord

SMALL_GAP, LARGE_GAP = 2.0, 10.0
"""Points of training top-1 above that of validation. Training is measured on augmented images while weights change,
so it is lower than it would be on plain ones: a gap of 10 there is more than one on plain images."""
SATURATED = 95.0
"""Training top-1 in percent from which there is little left to fit."""
PLAIN_DECAY = 1e-4
"""Weight decay up to which it is as usual for tiny networks; the paper's is 4e-5."""
_STANDARD_ERRORS = 2.0
_DROPPING = ("Dropout", "DropPath", "StochasticDepth", "DropBlock")


def advise(record: EpochRecord, config: RunConfig, network: nn.Module, val_size: int) -> str | None:
    """The sentence about a finished run, from its last epoch; None if there is nothing to say.

    Args:
        record: Of the last epoch, with its evaluation.
        config: The run's settings.
        network: The base network, for what it drops while it trains.
        val_size: Images evaluated on: a gap below two standard errors of the top-1 on them shows nothing.
    """
    if record.val_top1 is None or record.train_top1 is None:
        return None
    train, val = record.train_top1, record.val_top1
    share = val / 100
    noise = _STANDARD_ERRORS * 100 * math.sqrt(share * (1 - share) / val_size)
    seen = f"top-1 is {train:.1f} % in training and {val:.1f} % in validation"
    holding = regularizers(config, network)
    if train - val <= SMALL_GAP and train < SATURATED and holding:
        return (
            f"{seen}: the network under-fits, and {_listed(holding)} hold{'s' * (len(holding) == 1)} it back "
            "further. Try less of it, or more epochs"
        )
    if train - val >= max(LARGE_GAP, noise) and config.netaug.enabled:
        return (
            f"{seen}: the network over-fits, and NetAug is made for networks that under-fit. Try "
            "--netaug.enabled false with regularizers, or more data"
        )
    return None


def regularizers(config: RunConfig, network: nn.Module) -> list[str]:
    """What of the settings and the network itself keeps training from fitting, in words."""
    train = config.train
    found = []
    if train.label_smoothing > 0:
        found.append(f"label smoothing {train.label_smoothing:g}")
    if config.data.augment == "imagenet":
        found.append("the random crops and colours of data.augment imagenet")
    if train.weight_decay > PLAIN_DECAY:
        found.append(f"weight decay {train.weight_decay:g}")
    if (dropped := _dropped(network)) is not None:
        found.append(dropped)
    return found + [
        f"regularize.{name} {config.regularize.strength(name)}".rstrip() for name in config.regularize.on
    ]


def _dropped(network: nn.Module) -> str | None:
    """The layers that drop something at random while training: how many, and the largest probability."""
    shares = [
        float(share)
        for module in network.modules()
        if any(part in type(module).__name__ for part in _DROPPING)
        and isinstance(share := getattr(module, "p", getattr(module, "drop_prob", None)), int | float)
        and share > 0
    ]
    return f"dropout in {len(shares)} layer(s), up to {max(shares):g}" if shares else None


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
