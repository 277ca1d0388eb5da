"""The ladder: how good every form of a network is on the same images, and what each costs; measured, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from netaug.core.display import score_name
from netaug.core.progress import track
from netaug.data.batch import Batch
from netaug.export.conversion import Conversion
from netaug.export.graph import ExportError
from netaug.export.int8 import Int8Array
from netaug.tasks.evaluate import added

TOLERANCE = 1e-4
"""Largest difference of float outputs, as a fraction of the largest output or of 1."""


@dataclass(frozen=True)
class FloatForm:
    """A form of the network that answers with real numbers.

    Args:
        name: What it is, for people.
        answer: From normalized images ``[N, C, H, W]`` to the network's outputs.
        exact: Whether its outputs have to be within `TOLERANCE` of the first form's.
    """

    name: str
    answer: Callable[[Tensor], list[Tensor]]
    exact: bool = True


@dataclass(frozen=True)
class Int8Form:
    """A form of the network that answers with the integers of the int8 form.

    Args:
        name: What it is, for people.
        answer: From normalized images ``[N, C, H, W]`` to int8 ``[N, K]``, as `Conversion.reference` gives them.
    """

    name: str
    answer: Callable[[Tensor], Int8Array]


Form: TypeAlias = FloatForm | Int8Form


@dataclass(frozen=True)
class Rung:
    """What was measured of a form.

    Args:
        name: Of the form.
        metrics: By name; accuracies and precisions in percent.
        same: Percent of images with the first form's likeliest class; None of detectors.
        max_difference: Of float outputs from the first form's; None of others.
        values: Number of int8 outputs that were compared with the first int8 form's, none of which differs.
    """

    name: str
    metrics: dict[str, float]
    same: float | None = None
    max_difference: float | None = None
    values: int = 0


@dataclass(frozen=True)
class Memory:
    """What a form takes on a device.

    Args:
        name: The form.
        sram: Bytes of activations.
        flash: Bytes of constants, or of the file.
        note: What is not counted.
    """

    name: str
    sram: int
    flash: int
    note: str = ""


@dataclass(frozen=True)
class Ladder:
    """Everything that was measured at an export.

    Args:
        images: Number of evaluation images.
        split: Where they come from, such as ``test``.
        dataset: Its name.
        side: Height = width of the input in pixels.
        score: Name of the metric that results are reported in, such as ``top1``.
        rungs: What was measured of each form.
        macs: Multiply-accumulates for one image.
        memory: Memory per form; empty where there is no int8 form.
        checks: What else was checked, and what was skipped and why, one sentence each.
    """

    images: int
    split: str
    dataset: str
    side: int
    score: str
    rungs: tuple[Rung, ...]
    macs: int
    memory: tuple[Memory, ...] = ()
    checks: tuple[str, ...] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """Return the same as values of JSON."""
        return asdict(self)

    def describe(self) -> list[str]:
        """Return lines for people."""
        score = score_name(self.score)
        title = f"{score} on {self.images:,} {self.split} images of {self.dataset}, {self.side} pixels"
        compared = any(rung.same is not None for rung in self.rungs)
        rows = [f"{title:<52}{f'{score} %':>9}{'same as trained' if compared else '':>18}".rstrip()]
        rows += [self._line(rung) for rung in self.rungs]
        if self.memory:
            rows.append(f"{'memory of one inference in int8, bytes':<52}{'SRAM':>9}{'flash':>18}")
            rows += [
                f"  {item.name:<50}{item.sram:>9,}{item.flash:>18,}{f'   {item.note}' if item.note else ''}"
                for item in self.memory
            ]
        rows.append(f"{self.macs:,} MACs per image; no latency is given: none was measured on a device")
        return [*rows, *self.checks]

    def _line(self, rung: Rung) -> str:
        same = "" if rung.same is None else f"{rung.same:>16.2f} %"
        further = ""
        if rung.values:
            further = f"   {rung.values:,} values equal the reference's"
        elif rung.max_difference:
            further = f"   max difference {rung.max_difference:.1e}"
        return f"  {rung.name:<50}{rung.metrics[self.score]:>9.2f}{same}{further}"


@dataclass
class _Tally:
    """Collects what is measured of a form, batch by batch."""

    form: Form
    sums: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    agreeing: int | None = 0
    max_difference: float | None = None
    values: int = 0

    def rung(self, conversion: Conversion, images: int) -> Rung:
        rows = torch.cat(self.rows) if self.rows else None
        same = None if self.agreeing is None else 100 * self.agreeing / images
        metrics = conversion.task.judged(added(self.sums), rows)
        return Rung(self.form.name, metrics, same, self.max_difference, self.values)


def measure_ladder(conversion: Conversion, forms: Sequence[Form]) -> tuple[int, tuple[Rung, ...]]:
    """Return the number of images, and what was measured of each form; each image is read once for all of them.

    Args:
        conversion: Has the images, and says what is measured.
        forms: The first one is what the outputs of other float forms and all likeliest classes are compared with;
            the first int8 form is what the values of other int8 forms are compared with, one by one.

    Raises:
        ExportError: An answer differs by more than it may, or there is no image.
    """
    tallies = [_Tally(form) for form in forms]
    images = 0
    batches = conversion.batches(conversion.evaluation)
    for images_NCHW, batch in track(batches, "checking", len(conversion.evaluation)):
        images += len(batch)
        _measure_batch(conversion, images_NCHW, batch, tallies)
    if not images:
        raise ExportError("there are no images to check the export on.", got="0 evaluation images")
    return images, tuple(tally.rung(conversion, images) for tally in tallies)


def _measure_batch(
    conversion: Conversion, images_NCHW: Tensor, batch: Batch, tallies: Sequence[_Tally]
) -> None:
    first: list[Tensor] | None = None
    reference_NK: Int8Array | None = None
    for tally in tallies:
        form, copied_NCHW = tally.form, images_NCHW.clone()  # a network may work on its input in place
        if isinstance(form, Int8Form):
            values_NK = form.answer(copied_NCHW)
            if reference_NK is None:
                reference_NK = values_NK
            else:
                tally.values += compare_int8(form.name, values_NK, reference_NK)
            outputs = conversion.decode(values_NK)
        else:
            outputs = form.answer(copied_NCHW)
            if form.exact and first is not None:
                difference = compare_floats(form.name, outputs, first)
                tally.max_difference = max(tally.max_difference or 0.0, difference)
        first = outputs if first is None else first
        _judge(conversion, outputs, first, batch, tally)


def _judge(
    conversion: Conversion, outputs: list[Tensor], first: list[Tensor], batch: Batch, tally: _Tally
) -> None:
    task, whole = conversion.task, outputs[0] if len(outputs) == 1 else tuple(outputs)
    tally.sums.append(task.sums(whole, batch.targets, task.losses(whole, batch.targets)))
    rows = task.rows(whole, batch)
    tally.rows += [] if rows is None else [rows]
    if len(outputs) > 1 or outputs[0].ndim != 2:
        tally.agreeing = None  # maps have no likeliest class
    elif tally.agreeing is not None:
        tally.agreeing += int((outputs[0].argmax(1) == first[0].argmax(1)).sum())


def compare_floats(name: str, outputs: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference between the outputs of a float form and those expected of it.

    Raises:
        ExportError: It is above `TOLERANCE` times the largest output or 1, or not a number.
    """
    largest = 0.0
    for ours, theirs in zip(outputs, expected, strict=True):
        difference = float((ours - theirs).abs().max())
        allowed = TOLERANCE * max(1.0, float(theirs.abs().max()))
        if not difference <= allowed:  # also where it is NaN
            raise ExportError(
                f"{name}: its answers differ from those of the trained network.",
                got=f"a difference of {difference:.3g}",
                allowed=f"at most {allowed:.3g}",
                fix="please report it, with the name of the network",
            )
        largest = max(largest, difference)
    return largest


def compare_int8(name: str, values_NK: Int8Array, reference_NK: Int8Array) -> int:
    """Return the number of values, all of which are the reference's.

    Raises:
        ExportError: A value differs.
    """
    same_shape = values_NK.shape == reference_NK.shape
    differing = int(np.count_nonzero(values_NK != reference_NK)) if same_shape else values_NK.size
    if differing:
        raise ExportError(
            f"{name} differs from the int8 reference.",
            got=f"{differing:,} of {reference_NK.size:,} values",
            allowed="0 values",
            fix="please report it, with the name of the network",
        )
    return reference_NK.size
