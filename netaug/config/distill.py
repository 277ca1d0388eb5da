"""The settings of distillation, in which other networks supervise the trained one; free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from netaug.core.errors import ConfigError

_OF_LOSS = {
    "dkd_target": "dkd",
    "dkd_others": "dkd",
    "dist_classes": "dist",
    "dist_images": "dist",
}


@dataclass(frozen=True)
class DistillConfig:
    """Distillation: what supervises the network beside the labels.

    Args:
        teacher: Trained networks: `timm:NAME` with timm's weights, a run folder, a weights file of netaug,
            or `NAME@FILE`, any network of `netaug models` with its weights; of several the mean counts. `wider:4` needs
            none: the network with 4 times the channels is trained first with the same settings, into OUT-teacher.
        mean: What of several teachers is averaged: `probabilities` or `logits`.
        loss: `kd` is the KL divergence of softened probabilities (Hinton 2015); `dkd` weighs the label and the other
            classes apart (Zhao 2022); `dist` compares relations only (Huang 2022), for much stronger teachers.
        temperature: Divides the logits of student and teacher, above 0; higher is softer. The loss is multiplied by
            its square, so that gradients keep their size.
        weight: Factor on the teacher's loss.
        label_weight: Factor on the loss of the labels beside it; 0 learns from the teacher alone.
        on: Passes with the distillation loss: `base`, `augmented` or `both`; only `base` and `both` without NetAug.
        dkd_target: Weight in `dkd` of how sure the teacher is of the label (alpha of the paper).
        dkd_others: Weight in `dkd` of how it shares the rest among other classes (beta of the paper).
        dist_classes: Weight in `dist` of the relations between an image's classes (beta of the paper).
        dist_images: Weight in `dist` of the relations between a class's images (gamma of the paper).
        in_place: Factor on the loss between the outputs of the base network and of the drawn wider network in the same
            step (in-place distillation); 0 is off. The wide pass then comes first.
        in_place_temperature: Temperature of that loss, a KL divergence, above 0.
        in_place_teacher: Which network that is: `drawn`, the wider one that the step trains; or `widest`, the widest
            that it could draw, run beside it for its outputs alone.
        certainty: Whether each image's distance to a teacher, that in place too, is weighed by how sure the teacher is:
            1 minus the entropy of its probabilities as a fraction of that of equal ones. Not with `dist`.
        cache: Folder of teacher outputs that `netaug distill-cache` wrote, read in place of running a teacher; with
            `teacher` given too, a sample is checked against it at the start.
        random_teacher: Whether a teacher may have random weights; for tests only.
    """

    teacher: tuple[str, ...] = ()
    mean: Literal["probabilities", "logits"] = "probabilities"
    loss: Literal["kd", "dkd", "dist"] = "kd"
    temperature: float = 1.0
    weight: float = 1.0
    label_weight: float = 1.0
    on: Literal["base", "augmented", "both"] = "both"
    dkd_target: float = 1.0
    dkd_others: float = 8.0
    dist_classes: float = 1.0
    dist_images: float = 1.0
    in_place: float = 0.0
    in_place_temperature: float = 1.0
    in_place_teacher: Literal["drawn", "widest"] = "drawn"
    certainty: bool = False
    cache: str | None = None
    random_teacher: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "teacher", tuple(self.teacher))
        for name in ("temperature", "in_place_temperature"):
            _require(name, getattr(self, name), 0 < getattr(self, name) < math.inf, "a number above 0")
        for name in ("weight", "label_weight", "in_place", *_OF_LOSS):
            _require(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "a number, at least 0")
        twice = sorted({name for name in self.teacher if self.teacher.count(name) > 1})
        if twice:
            raise ConfigError("distill.teacher names a teacher twice.", got=", ".join(twice))
        self._refuse_what_has_no_effect()

    @property
    def has_teacher(self) -> bool:
        """Whether there is a teacher, running or from a cache."""
        return bool(self.teacher) or self.cache is not None

    def _refuse_what_has_no_effect(self) -> None:
        """Refuse settings that differ from their defaults but do nothing."""
        changed = {item.name for item in fields(self) if getattr(self, item.name) != item.default}
        in_place = {"in_place", "in_place_temperature", "in_place_teacher"}
        alone = changed - in_place - {"teacher", "cache"}
        if not self.has_teacher and self.in_place:
            alone -= {"label_weight", "certainty"}  # of in-place distillation too
        if alone and not self.has_teacher:
            _no_effect(sorted(alone)[0], "without a teacher", "--distill.teacher RUN, or --distill.cache DIR")
        for name in ("in_place_temperature", "in_place_teacher"):
            if name in changed and not self.in_place:
                _no_effect(name, "with distill.in_place 0", "--distill.in_place 1")
        if self.certainty and self.has_teacher and self.loss == "dist":
            _no_effect(
                "certainty", "with distill.loss dist, which compares whole batches", "--distill.loss kd"
            )
        if "mean" in changed and len(self.teacher) < 2:
            _no_effect("mean", "with a single teacher", "leave it out")
        for name, loss in _OF_LOSS.items():
            if name in changed and self.loss != loss:
                _no_effect(name, f"with distill.loss {self.loss}", f"--distill.loss {loss}")
        if self.has_teacher and self.weight == 0:
            raise ConfigError(
                "a teacher whose loss has weight 0 has no effect.",
                got="distill.weight 0",
                fix="leave distill.teacher and distill.cache out, or raise distill.weight",
            )


def _no_effect(name: str, when: str, fix: str) -> None:
    raise ConfigError(f"distill.{name} has no effect {when}.", fix=fix)


def _require(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"distill.{name} is out of range.", got=value, allowed=allowed)
