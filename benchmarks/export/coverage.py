"""Count which of the small convolutional classifiers in docs/coverage.md have an int8 form, and what others lack.

Weights are random and ranges made up: only operators and shapes decide.
"""

from __future__ import annotations

import re
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.coverage.catalogue import build, image_shape
from netaug.core.errors import NetaugError, first_line
from netaug.export.micro.lower import lower
from netaug.export.quantize import quantize
from netaug.export.ranges import Range
from netaug.export.tflite import operators
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
    """

    name: str
    side: int
    refused: str = ""
    operator: str = ""
    tflite: str = ""
    micro: str = ""


def listed() -> dict[str, int]:
    """Return the convolutional classifiers of docs/coverage.md, and a side in pixels that each runs on."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.split("## Convolutional", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (\S+) \| [\d.]+ \| \d+ \| \d+ \| (\d+) \|", section, flags=re.MULTILINE)
    return {name if ":" in name else f"timm:{name}": int(side) for name, side in rows}


def look_at(name: str, side: int) -> Outcome:
    """Bring a network into its int8 form, and say what refuses it."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(name).eval()
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
    return Outcome(name, side, tflite=problems[0], micro=problems[1])


def outcomes(chosen: Mapping[str, int]) -> Iterator[Outcome]:
    """Yield what became of each network, and print it."""
    start = time.monotonic()
    for number, (name, side) in enumerate(chosen.items(), start=1):
        try:
            outcome = look_at(name, side)
        except Exception as error:  # one network must not end the count of all
            outcome = Outcome(name, side, f"{type(error).__name__}: {first_line(error)}", "?")
        said = outcome.refused or outcome.tflite or outcome.micro or "int8"
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
