"""The ladder: accuracy of every form of a network on the same images, and what each costs; measured, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from netaug.core.progress import track
from netaug.export.conversion import Conversion
from netaug.export.graph import ExportError

TOLERANCE = 1e-4
"""Largest difference of float outputs, as a fraction of the largest output or of 1."""


@dataclass(frozen=True)
class Rung:
    """A form of the network that answers images.

    Args:
        name: What it is, for people.
        answer: From normalized images ``[N, C, H, W]`` to outputs ``[N, classes]``.
        must: ``float``: outputs within `TOLERANCE` of the trained network's; ``int8``: the values of the NumPy
            reference; ``free``: only the accuracy is measured.
    """

    name: str
    answer: Callable[[Tensor], NDArray[Any]]
    must: Literal["float", "int8", "free"] = "free"


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


@dataclass
class Tally:
    """Counts of a rung.

    Args:
        name: Of the rung.
        top1: Percent of images whose largest output is that of their label.
        same: Percent of images with the trained network's top-1.
        max_difference: Of float outputs from the trained network's; None of others.
        values: Number of int8 outputs that were compared with the reference, none of which differs.
    """

    name: str
    top1: float = 0.0
    same: float = 0.0
    max_difference: float | None = None
    values: int = 0


@dataclass(frozen=True)
class Ladder:
    """Everything that was measured at an export.

    Args:
        images: Number of evaluation images.
        split: Where they come from, such as ``test``.
        dataset: Its name.
        side: Height = width of the input in pixels.
        rungs: Accuracy per form.
        macs: Multiply-accumulates for one image.
        memory: Memory per form; empty where there is no int8 form.
        checks: What else was checked, and what was skipped and why, one sentence each.
    """

    images: int
    split: str
    dataset: str
    side: int
    rungs: tuple[Tally, ...]
    macs: int
    memory: tuple[Memory, ...] = ()
    checks: tuple[str, ...] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """Return the same as values of JSON."""
        return asdict(self)

    def describe(self) -> list[str]:
        """Return lines for people."""
        title = f"top-1 on {self.images:,} {self.split} images of {self.dataset}, {self.side} pixels"
        rows = [f"{title:<52}{'top-1 %':>9}{'same as trained':>18}"]
        for tally in self.rungs:
            further = ""
            if tally.values:
                further = f"   {tally.values:,} values equal the reference's"
            elif tally.max_difference:
                further = f"   max difference {tally.max_difference:.1e}"
            rows.append(f"  {tally.name:<50}{tally.top1:>9.2f}{tally.same:>16.2f} %{further}")
        if self.memory:
            rows.append(f"{'memory of one inference in int8, bytes':<52}{'SRAM':>9}{'flash':>18}")
            rows += [
                f"  {item.name:<50}{item.sram:>9,}{item.flash:>18,}{f'   {item.note}' if item.note else ''}"
                for item in self.memory
            ]
        rows.append(f"{self.macs:,} MACs per image; no latency is given: none was measured on a device")
        return [*rows, *self.checks]


def climb(conversion: Conversion, rungs: Sequence[Rung]) -> tuple[int, tuple[Tally, ...]]:
    """Return the number of images, and the accuracy of all rungs; the first is the trained network.

    Args:
        conversion: Has the images.
        rungs: Forms to measure; one that must be ``int8`` is compared value by value.

    Raises:
        ExportError: An answer differs by more than it may.
    """
    tallies = [Tally(rung.name) for rung in rungs]
    count = 0
    batches = conversion.batches(conversion.evaluation)
    for images_NCHW, labels_N in track(batches, "checking", len(conversion.evaluation)):
        trained_NC = conversion.logits(images_NCHW)
        reference_NC = conversion.reference(images_NCHW) if _exact(rungs) else None
        count += len(images_NCHW)
        for rung, tally in zip(rungs, tallies, strict=True):
            outputs_NC = rung.answer(images_NCHW)
            tally.top1 += float((outputs_NC.argmax(1) == labels_N.numpy()).sum())
            tally.same += float((outputs_NC.argmax(1) == trained_NC.argmax(1)).sum())
            if rung.must == "float":
                tally.max_difference = max(
                    tally.max_difference or 0.0, _difference(rung.name, outputs_NC, trained_NC)
                )
            elif rung.must == "int8" and reference_NC is not None:
                tally.values += compare_int8(rung.name, outputs_NC, reference_NC)
    if not count:
        raise ExportError("there are no images to check the export on.", got="0 evaluation images")
    for tally in tallies:
        tally.top1, tally.same = 100 * tally.top1 / count, 100 * tally.same / count
    return count, tuple(tallies)


def _exact(rungs: Sequence[Rung]) -> bool:
    return any(rung.must == "int8" for rung in rungs)


def _difference(name: str, outputs_NC: NDArray[Any], trained_NC: NDArray[Any]) -> float:
    difference = float(np.abs(outputs_NC - trained_NC).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(trained_NC).max()))
    if not difference <= allowed:  # also where it is NaN
        raise ExportError(
            f"{name} answers something else than the trained network.",
            got=f"a difference of {difference:.3g}",
            allowed=f"at most {allowed:.3g}",
            fix="please report it, with the name of the network",
        )
    return difference


def compare_int8(name: str, outputs_NC: NDArray[Any], reference_NC: NDArray[Any]) -> int:
    """Return the number of values, all of which are the reference's.

    Raises:
        ExportError: A value differs.
    """
    differing = int(np.count_nonzero(outputs_NC != reference_NC))
    if differing or outputs_NC.shape != reference_NC.shape:
        raise ExportError(
            f"{name} differs from the int8 reference.",
            got=f"{differing:,} of {reference_NC.size:,} values",
            allowed="0 values",
            fix="please report it, with the name of the network",
        )
    return reference_NC.size
