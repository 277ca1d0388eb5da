"""What teaches in a step beside the labels: a teacher's outputs, and those of the step's own wider network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from netaug.config.distill import DistillConfig
from netaug.distill.losses import dist_loss, dkd_loss, kd_loss

Says = Callable[[Tensor, npt.NDArray[np.int64], int], Tensor]
"""From normalised images ``[N, ...]``, their indices ``[N]`` and the epoch to log probabilities ``[N, C]``."""
PassName = Literal["base", "augmented"]


class Lessons:
    """The loss of each pass, of labels, teacher and wider network together. Outputs are kept for one step.

    Args:
        config: Weights and kinds of the losses.
        says: What the teacher says; None if there is none.
    """

    def __init__(self, config: DistillConfig, says: Says | None = None) -> None:
        self._config, self._says = config, says
        self._teacher: dict[int, Tensor] = {}
        self._wide: dict[int, list[Tensor]] = {}

    @property
    def wide_first(self) -> bool:
        """Whether the augmented pass has to come before the base pass: its outputs then teach it."""
        return self._config.in_place > 0

    def begin(self) -> None:
        """Forget the step before."""
        self._teacher.clear()
        self._wide.clear()

    def hear(self, part: int, images: Tensor, indices_N: npt.NDArray[np.int64], epoch: int) -> None:
        """Ask the teacher once about a part of the batch, for all passes.

        Args:
            part: Number of the part.
            images: As the student takes them.
            indices_N: Their positions among the training images.
            epoch: 0-based.
        """
        if self._says is not None:
            self._teacher[part] = self._says(images, indices_N, epoch)

    def loss(self, name: PassName, part: int, outputs_NC: Any, targets: Any, label_loss: Tensor) -> Tensor:
        """The loss of a pass over a part, or over the first images of a part.

        Args:
            name: Of the pass.
            part: Number of the part.
            outputs_NC: Logits of the pass; with nothing that teaches, any outputs.
            targets: Labels ``[N]`` or shares ``[N, C]``; the like.
            label_loss: Of these labels.

        Returns:
            A scalar, mean over N. A wider network's teaching is the mean over the images that both passes saw; of
            several wider networks in a step, each teaches the same share.
        """
        total = label_loss
        taught = part in self._teacher and self._config.on in (name, "both")
        wide = self._wide.get(part, []) if name == "base" else []
        if taught or wide:
            total = self._config.label_weight * label_loss
        if taught:
            teacher = self._teacher[part][: len(outputs_NC)]
            total = total + self._config.weight * self._distance(outputs_NC, teacher, targets)
        for one in wide:
            temperature = self._config.in_place_temperature
            seen = kd_loss(outputs_NC[: len(one)], one, temperature=temperature)
            total = total + self._config.in_place / len(wide) * seen
        if name == "augmented" and self.wide_first:
            self._wide.setdefault(part, []).append(outputs_NC.detach())
        return total

    def _distance(self, student_NC: Tensor, teacher_NC: Tensor, targets: Tensor) -> Tensor:
        config = self._config
        if config.loss == "kd":
            return kd_loss(student_NC, teacher_NC, temperature=config.temperature)
        if config.loss == "dkd":
            return dkd_loss(
                student_NC,
                teacher_NC,
                targets,
                temperature=config.temperature,
                target_weight=config.dkd_target,
                others_weight=config.dkd_others,
            )
        return dist_loss(
            student_NC,
            teacher_NC,
            temperature=config.temperature,
            classes_weight=config.dist_classes,
            images_weight=config.dist_images,
        )
