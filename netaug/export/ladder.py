"""Measures a network and its exported forms on the same images: accuracy of each, and how often they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from netaug.core.errors import DataError
from netaug.core.modules import evaluating
from netaug.data.batch import Batch, Normalizer
from netaug.export.float_reference import run_float
from netaug.export.graph import ExportError, Graph
from netaug.export.int8 import GraphInt8, Int8Array
from netaug.export.reference import decode, encode, run_int8
from netaug.tasks.base import Task
from netaug.tasks.evaluate import added

Outputs = Tensor | tuple[Tensor, ...]
Run = Callable[[Int8Array], list[Int8Array]]


class FloatNetwork(nn.Module):
    """Runs the float form in place of the network: same inputs, same outputs."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, images_NCHW: Tensor) -> Outputs:
        """Map normalized images to the network's outputs."""
        return _as_the_network(run_float(self.graph, images_NCHW))


class Int8Network(nn.Module):
    """Runs the int8 form in place of the network: images are rounded to int8, outputs turned back into floats.

    Args:
        graph: The int8 form.
        run: What runs it: int8 ``[N, H, W, C]`` in, one int8 array per output out. None takes the NumPy reference.
    """

    def __init__(self, graph: GraphInt8, run: Run | None = None) -> None:
        super().__init__()
        self.graph = graph
        self._run = partial(run_int8, graph) if run is None else run

    def forward(self, images_NCHW: Tensor) -> Outputs:
        """Map normalized images, on any device, to the network's outputs as float32 on that device."""
        images_NHWC = images_NCHW.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        integers = self._run(encode(self.graph.tensors[self.graph.inputs[0]], images_NHWC))
        floats = [
            torch.from_numpy(decode(self.graph.tensors[name], values))
            for name, values in zip(self.graph.outputs, integers, strict=True)
        ]
        maps = [values.permute(0, 3, 1, 2) if values.ndim == 4 else values for values in floats]
        return _as_the_network([values.to(images_NCHW.device) for values in maps])


def _as_the_network(outputs: list[Tensor]) -> Outputs:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


@dataclass(frozen=True)
class Rung:
    """Holds what one form of the network measures.

    Args:
        name: Which form.
        images: How many images it was measured on.
        metrics: By name; accuracies and precisions in percent.
        agreement: Percent of the images with the first form's likeliest class; None of detectors.
    """

    name: str
    images: int
    metrics: dict[str, float]
    agreement: float | None


@dataclass
class _Collected:
    sums: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    agreeing: int = 0


def measure_ladder(
    forms: Mapping[str, nn.Module],
    batches: Iterable[Batch],
    normalizer: Normalizer,
    task: Task[Any, Any],
) -> list[Rung]:
    """Return the metrics of every form on every batch; each image is read once for all of them.

    Args:
        forms: Networks by name, on the normalizer's device; agreement is with the first one.
        batches: Each image once.
        normalizer: Moves and normalizes the images.
        task: Says what is measured.

    Raises:
        DataError: There is no image.
    """
    collected = {name: _Collected() for name in forms}
    images = 0
    for batch in batches:
        images += len(batch)
        first: Any = None
        for name, form in forms.items():
            # Again for each form: one may work on its input in place.
            outputs = _measured(form, batch, normalizer, task, collected[name])
            first = outputs if first is None else first
            collected[name].agreeing += _agreeing(outputs, first)
    if not images:
        raise DataError("there is nothing to measure the exported network on.", got="a split without images")
    return [_rung(name, images, state, task) for name, state in collected.items()]


def _measured(
    form: nn.Module, batch: Batch, normalizer: Normalizer, task: Task[Any, Any], state: _Collected
) -> Any:
    with evaluating(form), torch.no_grad():
        outputs = form(normalizer(batch.images_NCHW))
        targets = batch.targets.to(normalizer.device, non_blocking=True)
        state.sums.append(task.sums(outputs, targets, task.losses(outputs, targets)))
        rows = task.rows(outputs, batch)
    state.rows += [] if rows is None else [rows]
    return outputs


def _agreeing(outputs: Any, first: Any) -> int:
    if not isinstance(outputs, Tensor) or outputs.ndim != 2:
        return 0
    return int((outputs.argmax(1) == first.argmax(1)).sum())


def _rung(name: str, images: int, state: _Collected, task: Task[Any, Any]) -> Rung:
    rows = torch.cat(state.rows) if state.rows else None
    agreement = None if rows is not None else 100 * state.agreeing / images
    return Rung(name, images, task.judged(added(state.sums), rows), agreement)


def check_float_form(
    model: nn.Module, graph: Graph, images_NCHW: Tensor, *, tolerance: float = 1e-5
) -> float:
    """Return the largest difference between the network and its float form.

    Args:
        model: In evaluation mode, on the CPU.
        graph: Its float form.
        images_NCHW: Normalized images to compare on.
        tolerance: How far they may differ, times the largest output or 1.

    Raises:
        ExportError: They differ by more.
    """
    with evaluating(model), torch.no_grad():
        outputs = model(images_NCHW)
    expected = list(outputs) if isinstance(outputs, tuple | list) else [outputs]
    largest = 0.0
    for ours, theirs in zip(run_float(graph, images_NCHW), expected, strict=True):
        difference = float((ours - theirs).abs().max())
        allowed = tolerance * max(1.0, float(theirs.abs().max()))
        if not difference <= allowed:  # also for NaN
            raise ExportError(
                "the folded network differs from the trained one, so it is not exported.",
                got=f"a difference of {difference:.1e}",
                allowed=f"{allowed:.1e}",
                fix="report this network: its layers are read wrongly",
            )
        largest = max(largest, difference)
    return largest
