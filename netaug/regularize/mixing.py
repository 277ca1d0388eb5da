"""Mixup and CutMix: images of a batch are mixed with others of it, and their labels in the same proportion.

Both are in one file because a batch gets one of them by a draw. An image's partner is of the same microbatch, so that
neither the number of processes nor the loader's workers changes what is mixed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netaug.config.regularize import RegularizeConfig
from netaug.core.seeding import seeded


class Mixer:
    """Mix each image with its neighbor in the microbatch that a forward sees, by torchvision's transforms.

    What is drawn is a function of (seed, step, microbatch) alone. Both passes of a step see the same mixed images.

    Args:
        config: Which of the two, and how strong.
        num_classes: C, the number of classes.
        seed: The run's seed.

    Source:
        Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899.
    """

    def __init__(self, config: RegularizeConfig, num_classes: int, seed: int) -> None:
        from torchvision.transforms import v2  # on first use: slow to import

        self._config, self._seed = config, seed
        self._mixup = v2.MixUp(alpha=config.mixup, num_classes=num_classes) if config.mixup else None
        self._cutmix = v2.CutMix(alpha=config.cutmix, num_classes=num_classes) if config.cutmix else None

    def __call__(
        self, images_NCHW: Tensor, labels_N: Tensor, step: int, part: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Mix a microbatch.

        Args:
            images_NCHW: Normalized images, float ``[N, C, H, W]``, on any device.
            labels_N: Class indices ``[N]``.
            step: Number of the training step, from 0.
            part: Number of the microbatch in the whole batch.

        Returns:
            Images of the same shape, and fractions of the classes ``[N, C]``; both as given if nothing is mixed.
        """
        with seeded(self._seed, "mix", step, part):
            # Both numbers are drawn always, so that a probability of 1 mixes the same as one just below it.
            mixed, which = torch.rand(2).tolist()
            if mixed >= self._config.mix_probability:
                return images_NCHW, labels_N
            mix = self._cutmix if self._mixup is None or which < self._config.cutmix_share else self._mixup
            if self._cutmix is None:
                mix = self._mixup
            assert mix is not None, "made only where one of the two is on"
            images, fractions_NC = mix(images_NCHW, labels_N)
        return images, fractions_NC


def make_mixer(config: RegularizeConfig, num_classes: int, seed: int) -> Mixer | None:
    """Return the mixer of these settings; None if they mix nothing."""
    return Mixer(config, num_classes, seed) if config.mixes else None
