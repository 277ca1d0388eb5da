"""Computes the loss of each pass: labels, a teacher's logits, and in-place distillation from the step's wider network.

A base or wide pass has the label loss, plus the distance to the teacher's log probabilities in the passes that
``distill.on`` names; a base pass also the distance to the wide pass's outputs, which therefore comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from netaug.config.distill import DistillConfig
from netaug.distill.losses import certainty, dist_loss, dkd_loss, kd_loss

TeacherLogits = Callable[[Tensor, npt.NDArray[np.int64], int], Tensor]
"""From normalized images ``[N, ...]``, their indices ``[N]`` and the epoch to log probabilities ``[N, C]``."""
PassName = Literal["base", "augmented", "teacher"]


class DistillationLoss:
    """Combines the losses of labels, teacher and wider network in each pass. Outputs are kept for one step.

    Args:
        config: Weights and kinds of the losses.
        teacher_logits: Returns the teacher's log probabilities; None without a teacher.
    """

    def __init__(self, config: DistillConfig, teacher_logits: TeacherLogits | None = None) -> None:
        self._config, self._teacher_logits = config, teacher_logits
        self._teacher: dict[int, Tensor] = {}
        self._wide: dict[int, list[Tensor]] = {}

    @property
    def wide_first(self) -> bool:
        """Return whether the augmented pass comes before the base pass, because its outputs are a target there."""
        return self._config.in_place > 0

    @property
    def widest_teaches(self) -> bool:
        """Return whether the widest network is run too, and teaches in place of the drawn one."""
        return self._config.in_place > 0 and self._config.in_place_teacher == "widest"

    def start_step(self) -> None:
        """Forget the outputs of the previous step."""
        self._teacher.clear()
        self._wide.clear()

    def set_teacher_logits(
        self, microbatch: int, images: Tensor, indices_N: npt.NDArray[np.int64], epoch: int
    ) -> None:
        """Run the teacher, or read its cached logits, once per microbatch for all passes.

        The teacher gets the images as the student does, resized again on the device; mixing images commutes with
        normalizing them.

        Args:
            microbatch: Its number.
            images: As the student takes them.
            indices_N: Their positions among the training images.
            epoch: From 0.
        """
        if self._teacher_logits is not None:
            self._teacher[microbatch] = self._teacher_logits(images, indices_N, epoch)

    def loss(
        self, name: PassName, microbatch: int, outputs_NC: Any, targets: Any, label_loss: Tensor
    ) -> Tensor:
        """Return the loss of a pass over a microbatch, or over its first images.

        Args:
            name: Of the pass; the outputs of ``teacher`` are only kept.
            microbatch: Its number.
            outputs_NC: Logits of the pass; without distillation, any outputs.
            targets: Labels ``[N]`` or fractions of the classes ``[N, C]``; without distillation, any.
            label_loss: Of these labels.

        Returns:
            A scalar, mean over N. The in-place term is the mean over the images that both passes saw; with several
            wider networks per step, each has the same fraction of it.
        """
        if name == "teacher":
            self._keep(microbatch, outputs_NC)
            return label_loss
        total = label_loss
        supervised = microbatch in self._teacher and self._config.on in (name, "both")
        wide = self._wide.get(microbatch, []) if name == "base" else []
        if supervised or wide:
            total = self._config.label_weight * label_loss
        if supervised:
            teacher = self._teacher[microbatch][: len(outputs_NC)]
            total = total + self._config.weight * self._distance(outputs_NC, teacher, targets)
        for wide_NC in wide:  # fewer rows than the base pass's where netaug.batch_share is below 1
            temperature = self._config.in_place_temperature
            student_NC, weights_N = outputs_NC[: len(wide_NC)], self._weights(wide_NC)
            distance = kd_loss(student_NC, wide_NC, temperature=temperature, weights_N=weights_N)
            total = total + self._config.in_place / len(wide) * distance
        if name == "augmented" and self.wide_first and not self.widest_teaches:
            self._keep(microbatch, outputs_NC)
        return total

    def _keep(self, microbatch: int, outputs_NC: Tensor) -> None:
        # Detached: the base pass is to follow the wider network, not the other way round.
        self._wide.setdefault(microbatch, []).append(outputs_NC.detach())

    def _weights(self, teacher_NC: Tensor) -> Tensor | None:
        return certainty(teacher_NC) if self._config.certainty else None

    def _distance(self, student_NC: Tensor, teacher_NC: Tensor, targets: Tensor) -> Tensor:
        config = self._config
        if config.loss == "kd":
            weights_N = self._weights(teacher_NC)
            return kd_loss(student_NC, teacher_NC, temperature=config.temperature, weights_N=weights_N)
        if config.loss == "dkd":
            return dkd_loss(
                student_NC,
                teacher_NC,
                targets,
                temperature=config.temperature,
                target_weight=config.dkd_target,
                others_weight=config.dkd_others,
                weights_N=self._weights(teacher_NC),
            )
        return dist_loss(
            student_NC,
            teacher_NC,
            temperature=config.temperature,
            classes_weight=config.dist_classes,
            images_weight=config.dist_images,
        )
