"""Measure what every format of an export costs: bytes, differences, memory, processor time; weights are random."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import netaug
from netaug.config import DetectConfig
from netaug.data.batch import ClassificationBatch
from netaug.export.conversion import Conversion
from netaug.export.formats import find_format
from netaug.export.graph import ExportError
from netaug.export.ladder import FloatForm, compare_floats
from netaug.models.registry import is_detector
from netaug.tasks.classify import ClassificationTask
from netaug.weights.metadata import ModelCard

FLOATS = ("tflite", "onnx", "torch")
INT8 = ("tflite-int8", "micro", "onnx-int8")
NETWORKS: dict[str, tuple[int, Sequence[str]]] = {
    "mobilenetv2-tiny": (144, INT8 + FLOATS),
    "mcunet": (176, INT8 + FLOATS),
    "mobilenetv2-0.35": (160, INT8 + FLOATS),
    "mobilenetv3-0.35": (160, INT8 + FLOATS),
    "proxylessnas-0.35": (160, INT8 + FLOATS),
    "micronet": (32, INT8 + FLOATS),
    "timm:mobilenetv3_small_050": (96, INT8 + FLOATS),
    "timm:repvit_m0_9": (96, INT8 + FLOATS),
    "yolov3:mobilenetv2-0.35": (160, INT8 + FLOATS),
    "resnet50": (224, FLOATS),
}
"""Side in pixels and formats of each network: the paper's five, and others."""
_FILES = {"micro": "weights.c", "torch": "model.pt2", "onnx": "model.onnx", "onnx-int8": "model.onnx"}


@dataclass(frozen=True)
class Row:
    """What a format of a network costs; ``problem`` says why there is none.

    Args:
        network: Name and side.
        format: As for ``--to``.
        size: Bytes of the file, or of the constants in C.
        difference: Largest difference of float outputs from torch's, in batches of 3.
        largest: Largest output of torch.
        values: Int8 values that were compared with the reference, none of which differs; 0 if none were.
        sram: Bytes of activations; 0 of float formats.
        seconds: Processor time of this process and its compiler.
        problem: Why the format is not there.
    """

    network: str
    format: str
    size: int = 0
    difference: float | None = None
    largest: float = 0.0
    values: int = 0
    sram: int = 0
    seconds: float = 0.0
    problem: str = ""


class _Noise:
    """Batches of random images; the same in every iteration."""

    def __init__(self, card: ModelCard, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (count, card.in_chans, card.image_size, card.image_size)
        self.pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[ClassificationBatch]:
        count = len(self.pixels)
        yield ClassificationBatch(self.pixels, torch.zeros(count, dtype=torch.int64), torch.arange(count))


def conversion_of(name: str, side: int) -> Conversion:
    """Return a network with random weights and moved statistics on its way, with random images."""
    torch.manual_seed(0)
    network = netaug.create_model(name, num_classes=10).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    anchors = tuple((8.0 * k, 8.0 * k) for k in range(1, 10)) if is_detector(name) else ()
    card = ModelCard(
        name=name,
        options={},
        num_classes=10,
        in_chans=3,
        class_names=tuple(map(str, range(10))),
        image_size=side,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop_ratio=1.0,
        top1=None,
        val_split="val",
        netaug_version=netaug.__version__,
        anchors=anchors,
    )
    return Conversion(
        network=network,
        card=card,
        calibration=_Noise(card, 32, 1),
        evaluation=_Noise(card, 20, 2),
        task=ClassificationTask(),
        val_split="val",
        dataset="noise",
        detect=DetectConfig() if anchors else None,
    )


def rows_of(name: str, side: int, formats: Sequence[str]) -> Iterator[Row]:
    """Yield what each format of a network costs; the first int8 one includes calibration."""
    conversion = conversion_of(name, side)
    for kind in formats:
        row = _row(conversion, f"{name} @ {side}", kind)
        print(row, flush=True)
        yield row


def _row(conversion: Conversion, network: str, kind: str) -> Row:
    with tempfile.TemporaryDirectory() as place:
        start = _seconds()
        try:
            written = find_format(kind).write(conversion, Path(place))
        except ExportError as error:
            return Row(network, kind, problem=error.where)
        seconds = _seconds() - start
        size = (Path(place) / _FILES.get(kind, "model.tflite")).stat().st_size
    images_NCHW = conversion.sample(3)
    trained = conversion.trained(images_NCHW)
    largest = max(float(output.abs().max()) for output in trained)
    difference = None
    for form in written.forms:
        if isinstance(form, FloatForm) and form.exact:
            difference = compare_floats(form.name, form.answer(images_NCHW), trained)
    memory = written.memory[0] if written.memory else None
    values = 0
    if memory is not None:  # a value that differs would have been an error
        values = conversion.reference(conversion.sample(20)).size
        size = memory.flash if kind == "micro" else size
    sram = 0 if memory is None else memory.sram
    return Row(network, kind, size, difference, largest, values, sram, round(seconds, 1))


def _seconds() -> float:
    """Return the processor time of this process and of those it started."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as Markdown."""
    head = "| network | format | bytes | max difference (largest output) | differing int8 values | SRAM | seconds |"
    lines = [head, "|---|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        if row.problem:
            lines.append(f"| {row.network} | {row.format} | {row.problem} | | | | |")
            continue
        difference = "" if row.difference is None else f"{row.difference:.1e} ({row.largest:.2g})"
        values = f"0 of {row.values:,}" if row.values else ""
        sram = f"{row.sram:,}" if row.sram else ""
        lines.append(
            f"| {row.network} | `{row.format}` | {row.size:,} | {difference} | {values} | {sram} | {row.seconds} |"
        )
    return lines
