"""Makes what all passes of a step see: microbatches of normalized, mixed images with the teacher's logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from netaug.config import DistillConfig
from netaug.core.errors import RunFolderError
from netaug.data.batch import Batch, Normalizer
from netaug.distill.distillation_loss import DistillationLoss
from netaug.distributed.world import SINGLE_PROCESS, World
from netaug.regularize.mixing import Mixer


@dataclass(frozen=True)
class Microbatch:
    """Holds a slice of a batch whose gradients are computed at once.

    Args:
        number: Among the microbatches of the whole batch, over all processes.
        images_NCHW: Normalized and mixed, on the device.
        targets: Class indices ``[N]``, fractions of the classes ``[N, C]`` if the images are mixed; or boxes.
        indices_N: Positions of the images in the training split, on the CPU.
        fraction: Its images over those of the whole batch of all processes.
        area: Pixels of an image over those at ``data.image_size``.
        last: Whether it is this process's last one of the step.
    """

    number: int
    images_NCHW: Tensor
    targets: Any
    indices_N: Tensor
    fraction: float
    area: float
    last: bool


@dataclass(frozen=True)
class Preparation:
    """Makes the microbatches of a step.

    Args:
        mixer: Mixes images and labels; None leaves them.
        distillation: The loss of each pass, with or without a teacher.
        teacher_macs: Multiply-accumulates of the teacher for one image.
        teacher: Fingerprint of the teacher's weights; None without a teacher.
    """

    mixer: Mixer | None = None
    distillation: DistillationLoss = field(default_factory=lambda: DistillationLoss(DistillConfig()))
    teacher_macs: int = 0
    teacher: str | None = None

    def check_teacher(self, before: str | None) -> None:
        """Refuse to resume with a teacher other than the original one.

        Raises:
            RunFolderError: Its weights, its input or its classes differ.
        """
        if before != self.teacher:
            raise RunFolderError(
                "the teacher is not the one that the run was started with.",
                got="other weights, another input or other classes under the same name",
                fix="put the original teacher back, or start another run with --out",
            )

    def microbatches(
        self,
        step: int,
        epoch: int,
        batch: Batch,
        normalizer: Normalizer,
        *,
        image_size: int,
        count: int = 1,
        world: World = SINGLE_PROCESS,
    ) -> list[Microbatch]:
        """Cut this process's batch into microbatches and set the teacher's logits for each.

        The teacher sees the images as the student does, mixed and at full resolution, once per step for all passes.

        Args:
            step: Number of the training step.
            epoch: From 0.
            batch: As the loader gave it.
            normalizer: Moves images to the device and normalizes them.
            image_size: The side in pixels that multiply-accumulates are counted for.
            count: Microbatches of each process.
            world: The processes that train together.
        """
        images_NCHW = normalizer(batch.images_NCHW)
        targets: Any = batch.targets.to(normalizer.device, non_blocking=True)
        area = images_NCHW.shape[-2] * images_NCHW.shape[-1] / image_size**2
        self.distillation.start_step()
        microbatches = []
        slices = list(microbatch_slices(len(batch), count))
        # Numbered over all processes: noise and mixing are keyed by it, so that nothing depends on who computes what.
        for number, rows in enumerate(slices, start=world.rank * count):
            x, y, indices_N = images_NCHW, targets, batch.indices_N
            if len(slices) > 1:
                x, y, indices_N = x[rows], y[rows], indices_N[rows]
            if self.mixer is not None:
                x, y = self.mixer(x, y, step, number)
            self.distillation.set_teacher_logits(number, x, indices_N.numpy(), epoch)
            fraction = len(y) / (len(batch) * world.size)  # gradients are summed over processes, not averaged
            microbatches.append(Microbatch(number, x, y, indices_N, fraction, area, last=rows is slices[-1]))
        return microbatches


def microbatch_slices(images: int, count: int) -> Iterator[slice]:
    """Cut a number of images into ``count`` slices whose lengths differ by one at most.

    No slice has a single image where that can be avoided: batch norm cannot normalize it.
    """
    count = max(1, min(count, images // 2))
    for number in range(count):
        yield slice(number * images // count, (number + 1) * images // count)
