"""Measure all runs of a comparison on inputs of several sizes: score against MACs."""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.core.display import score_name
from netaug.core.errors import RunFolderError
from netaug.core.escaping import csv_text, say
from netaug.core.io import write_atomic

if TYPE_CHECKING:
    from netaug.compare.equal_accuracy import EqualAccuracy, Point

FILES = ("resolutions.csv", "resolutions.svg", "resolutions.txt")

_NAMES = {"netaug": "NetAug", "baseline": "the baseline"}
_RUN = re.compile(r"(?!tune-)(?P<arm>.+?)(-lr[0-9.e+-]+)?-seed(?P<seed>\d+)")

Curves = dict[str, dict[int, list["Point"]]]
"""Points by seed, by arm."""


def evaluate_comparison(
    folder: Path, sides: Sequence[int], given: Sequence[str], trusted: Collection[str] = ()
) -> None:
    """Measure every finished run, print table and findings, and write them with a picture beside the runs.

    Args:
        folder: Of the comparison.
        sides: Height = width of the input in pixels, each measured.
        given: Settings of the command line.
        trusted: Factories ``package.module:function`` that the runs may name.

    Raises:
        RunFolderError: The comparison has no finished run.
    """
    from netaug.compare.equal_accuracy import equal_accuracy
    from netaug.report.svg import standalone
    from netaug.report.tradeoff import tradeoff

    score, curves = measure_runs(folder, sides, given, trusted)
    name = score_name(score)
    reference = "baseline" if "baseline" in curves else next(iter(curves))
    ordered = {reference: curves[reference], **curves}
    found = {
        arm: one
        for arm in ordered
        if arm != reference and (one := equal_accuracy(curves[reference], curves[arm])) is not None
    }
    text = "\n".join([*_table(ordered, name), *_sentences(found, reference, name)])
    say(text)
    first = found[next(iter(found))] if len(found) == 1 else None
    for path, content in zip(
        FILES, (None, standalone(tradeoff(ordered, name, first)), text + "\n"), strict=True
    ):
        if content is not None:
            write_atomic(folder / path, content)
    _write_csv(folder / FILES[0], ordered, score)
    say(f"written: {', '.join(str(folder / path) for path in FILES)}")


def measure_runs(
    folder: Path, sides: Sequence[int], given: Sequence[str], trusted: Collection[str] = ()
) -> tuple[str, Curves]:
    """Return the name of the score, and the points of every finished run but those of tuning, by arm and seed.

    Raises:
        RunFolderError: No run is finished.
    """
    from netaug.api.evaluation import open_network
    from netaug.compare.equal_accuracy import Point
    from netaug.runs.folder import read_config

    curves: Curves = {}
    score = ""
    for arm, seed, path in _runs(folder):
        network = open_network(path, read_config(path, tuple(given)), trusted)
        points = []
        for side in sides:
            row = network.measure(side)
            score = row.score
            points.append(Point(side, row.macs, row.metrics[score]))
        curves.setdefault(arm, {})[seed] = points
        say(f"{path.name}: measured at {', '.join(map(str, sides))} pixels", file=sys.stderr)
    if not curves:
        raise RunFolderError(f"the comparison in '{folder}' has no finished run yet.", fix="let it finish")
    return score, curves


def _runs(folder: Path) -> Iterator[tuple[str, int, Path]]:
    for path in sorted(folder.iterdir()):
        match = _RUN.fullmatch(path.name)
        if match and (path / "summary.json").is_file():
            yield match["arm"], int(match["seed"]), path


def _table(curves: Curves, name: str) -> list[str]:
    width = max(map(len, curves))
    lines = [f"{'arm':<{width}}  side           MACs  {name:>8} %     sd  n"]
    for arm, by_seed in curves.items():
        for points in zip(*by_seed.values(), strict=True):
            scores = [point.score for point in points]
            spread = f"{statistics.stdev(scores):6.2f}" if len(scores) > 1 else "     -"
            lines.append(
                f"{arm:<{width}}  {points[0].resolution:>4}  {points[0].macs:>13,.0f}  "
                f"{statistics.fmean(scores):>10.2f} {spread}  {len(scores)}"
            )
    return lines


def _sentences(found: Mapping[str, EqualAccuracy], reference: str, name: str) -> list[str]:
    from netaug.compare.equal_accuracy import sentence

    return [
        sentence(one, arm=_NAMES.get(arm, arm), against=_NAMES.get(reference, reference), score=name)
        for arm, one in found.items()
    ]


def _write_csv(path: Path, curves: Curves, score: str) -> None:
    rows = [
        {
            "arm": arm,
            "seed": seed,
            "resolution": point.resolution,
            "macs": point.macs,
            score: f"{point.score:.4f}",
        }
        for arm, by_seed in curves.items()
        for seed, points in by_seed.items()
        for point in points
    ]
    write_atomic(path, csv_text(["arm", "seed", "resolution", "macs", score], rows))
