"""What both passes of a step see: the parts of the batch, mixed, and what the teacher says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from netaug.config import DistillConfig
from netaug.core.errors import RunFolderError
from netaug.data.batch import Batch
from netaug.distill.distillation_loss import Lessons
from netaug.regularize.mixing import Mixer


@dataclass(frozen=True)
class Piece:
    """A part of a batch.

    Args:
        number: Among the parts of the whole batch.
        rows: Which images of this process's batch.
        images_NCHW: Normalised, on the device.
        targets: Class indices ``[N]``, or shares of the classes ``[N, C]`` if the part is mixed; or boxes.
    """

    number: int
    rows: slice
    images_NCHW: Tensor
    targets: Any


@dataclass(frozen=True)
class Preparation:
    """Makes the pieces of a step.

    Args:
        mixer: Mixes images and labels; None leaves them.
        lessons: The loss of each pass, with or without a teacher.
        teacher_macs: Multiply-accumulates of the teacher for one image.
        teacher: Tells the teacher's weights from others; None without one.
    """

    mixer: Mixer | None = None
    lessons: Lessons = field(default_factory=lambda: Lessons(DistillConfig()))
    teacher_macs: int = 0
    teacher: str | None = None

    def check_teacher(self, before: str | None) -> None:
        """Refuse to go on with another teacher than before.

        Raises:
            RunFolderError: Its weights, its input or its classes are others.
        """
        if before != self.teacher:
            raise RunFolderError(
                "the teacher is not that of the run to go on with.",
                got="other weights, another input or other classes under the same name",
                fix="put the teacher of then back, or start another run with --out",
            )

    def pieces(
        self,
        step: int,
        epoch: int,
        batch: Batch,
        inputs: tuple[Tensor, Any],
        cut: Iterable[tuple[int, slice]],
    ) -> list[Piece]:
        """The pieces of a batch; the teacher has been asked about them.

        Args:
            step: Number of the training step.
            epoch: 0-based.
            batch: As the loader gave it.
            inputs: Its normalised images and its targets, on the device.
            cut: Number and rows of each part.
        """
        self.lessons.begin()
        found = []
        for number, rows in cut:
            images, targets = inputs[0][rows], inputs[1][rows]
            if self.mixer is not None:
                images, targets = self.mixer(images, targets, step, number)
            self.lessons.hear(number, images, batch.indices_N[rows].numpy(), epoch)
            found.append(Piece(number, rows, images, targets))
        return found
