"""Count which of the small convolutional classifiers in docs/coverage.md have an int8 form, and what others lack.

Weights are random and ranges made up: only operators and shapes decide. With ``run``, the networks also answer random
images, and the values of the runtimes are compared.
"""

from __future__ import annotations

import re
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from benchmarks.coverage.catalogue import build, image_shape
from benchmarks.coverage.probe import revive
from netaug.core.errors import NetaugError, first_line
from netaug.export.conversion import flattened
from netaug.export.formats.tflite_int8 import LITERT, MICRO
from netaug.export.graph import Graph
from netaug.export.micro.lower import lower
from netaug.export.quantize import quantize
from netaug.export.ranges import Range, measure_ranges
from netaug.export.reference import encode, run_int8
from netaug.export.tflite import operators, write_tflite
from netaug.export.tflite_micro import missing_in_tflite_micro
from netaug.export.tracing import float_graph

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"


@dataclass(frozen=True)
class Outcome:
    """What became of a network.

    Args:
        name: ``timm:NAME`` or ``torchvision:NAME``.
        side: Height = width in pixels of the image that it was recorded with.
        refused: Why it has no int8 form, without the names of its layers; empty if it has one.
        operator: The operator that was refused.
        tflite: Why it cannot be a `.tflite`; empty if it can.
        micro: Why there is no C for it; empty if there is.
        values: Number of values that the runtimes were compared on.
        differing: Number of those that differ, by runtime.
    """

    name: str
    side: int
    refused: str = ""
    operator: str = ""
    tflite: str = ""
    micro: str = ""
    values: int = 0
    differing: Mapping[str, int] = field(default_factory=dict)


def listed() -> dict[str, int]:
    """Return the convolutional classifiers of docs/coverage.md, and a side in pixels that each runs on."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.split("## Convolutional", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (\S+) \| [\d.]+ \| \d+ \| \d+ \| (\d+) \|", section, flags=re.MULTILINE)
    return {name if ":" in name else f"timm:{name}": int(side) for name, side in rows}


def look_at(name: str, side: int, *, run: bool) -> Outcome:
    """Bring a network into its int8 form, and say what refuses it, or what differs."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _moved(build(name).eval())
        channels, _ = image_shape(model)
        try:
            graph = float_graph(model, torch.zeros(1, channels, side, side))
            int8 = quantize(graph, dict.fromkeys(graph.shapes, Range(-1.0, 1.0)))
        except NetaugError as error:
            reason = error.where.split(": ", 1)[-1]
            return Outcome(name, side, reason, str(error.got or "").split(" with")[0])
    problems = []
    for write in (operators, lambda graph: lower(graph, "")):
        try:
            write(int8)
            problems.append("")
        except NetaugError as error:
            problems.append(first_line(error))
    outcome = Outcome(name, side, tflite=problems[0], micro=problems[1])
    return _compared(outcome, graph, channels) if run and not problems[0] else outcome


def _moved(model: nn.Module) -> nn.Module:
    """Give batch norms statistics as if they were trained, and parameters that are all zero random values."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5)
    revive(model)
    return model


def _compared(outcome: Outcome, graph: Graph, channels: int) -> Outcome:
    """Run a network on two random images in tflite-micro and LiteRT, and count values that are not the reference's."""
    images_NCHW = torch.randn(2, channels, outcome.side, outcome.side)
    int8 = quantize(graph, measure_ranges(graph, [images_NCHW]))
    images_NHWC = encode(int8.tensors[int8.inputs[0]], images_NCHW.permute(0, 2, 3, 1).numpy())
    expected_NK, file = flattened(run_int8(int8, images_NHWC)), write_tflite(int8)
    differing = {
        runtime.name: int((runtime.run(file, images_NHWC, len(int8.outputs)) != expected_NK).sum())
        for runtime in (MICRO, LITERT)
        if runtime is LITERT or not missing_in_tflite_micro(int8)
    }
    return replace(outcome, values=expected_NK.size, differing=differing)


def outcomes(chosen: Mapping[str, int], *, run: bool) -> Iterator[Outcome]:
    """Yield what became of each network, and print it."""
    start = time.monotonic()
    for number, (name, side) in enumerate(chosen.items(), start=1):
        try:
            outcome = look_at(name, side, run=run)
        except Exception as error:  # one network must not end the count of all
            outcome = Outcome(name, side, f"{type(error).__name__}: {first_line(error)}", "?")
        differing = ", ".join(
            f"{count} differ in {name}" for name, count in outcome.differing.items() if count
        )
        said = outcome.refused or outcome.tflite or outcome.micro or differing or "int8"
        print(f"{time.monotonic() - start:.0f} s, {number}: {name} {outcome.side} px, {said}", flush=True)
        yield outcome


def summary(found: list[Outcome]) -> list[str]:
    """Return the shares and what is lacking most often, as lines of Markdown."""
    known = [outcome for outcome in found if not outcome.refused]
    rows = [
        "| | networks |",
        "|---|---:|",
        f"| convolutional classifiers of docs/coverage.md | {len(found)} |",
        f"| have an int8 form | {_share(len(known), len(found))} |",
        f"| ... and are written as `.tflite` | {_share(sum(not o.tflite for o in known), len(found))} |",
        f"| ... and as C | {_share(sum(not o.micro for o in known), len(found))} |",
    ]
    ran = [outcome for outcome in known if outcome.values]
    for runtime in (MICRO.name, LITERT.name) if ran else ():
        of_runtime = [outcome.differing[runtime] for outcome in ran if runtime in outcome.differing]
        rows.append(f"| run in {runtime} | {len(of_runtime)} |")
        rows.append(f"| ... without a value that differs | {sum(not count for count in of_runtime)} |")
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in found:
        if outcome.refused:
            reasons[outcome.refused, outcome.operator].append(outcome.name)
    rows += ["", "| refused | operator | networks | such as |", "|---|---|---:|---|"]
    for (reason, operator), affected in sorted(reasons.items(), key=lambda item: -len(item[1])):
        rows.append(f"| {reason} | {operator} | {len(affected)} | {', '.join(affected[:3])} |")
    further = Counter(o.tflite or o.micro for o in known if o.tflite or o.micro)
    return rows + [f"- {count} networks: {problem}" for problem, count in further.most_common()]


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(whole, 1):.0f} %)"
