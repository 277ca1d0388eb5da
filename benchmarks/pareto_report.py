"""Write tables and picture of `benchmarks.pareto`: gain over the baseline against what it costs."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pareto import ARMS, EPOCHS
from netaug.compare.formatting import NONE, interval, plus_minus
from netaug.compare.paired_statistics import Difference, paired_difference, spread

Row = Mapping[str, Any]


def report(rows: Sequence[Row], screened: Sequence[Row], out: Path) -> str:
    """Write `results.csv`, `screening.csv` and `front.svg`, and give both tables as Markdown.

    Args:
        rows: Of finished runs, see :func:`benchmarks.pareto.finished`.
        screened: Of the runs that chose rates.
        out: Folder for the files.
    """
    for name, rows_of_file in (("results.csv", rows), ("screening.csv", screened)):
        if rows_of_file:
            with (out / name).open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows_of_file[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows_of_file)
    if rows:
        draw(rows, out / "front.svg")
    return "\n\n".join([table(rows), screening_table(screened)])


def table(rows: Sequence[Row]) -> str:
    """Return top-1, gain over the baseline and cost relative to the baseline per arm, as Markdown."""
    tops, costs = _tops(rows), _costs(rows, "train_macs")
    seconds = _costs(rows, "train_seconds")
    lines = [
        "| arm | lr | epochs | n | top-1 % | minus baseline | MACs | minus the baseline of its MACs | time |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for arm, values in tops.items():
        gain = None if arm == "baseline" else paired_difference(values, tops["baseline"])
        equal = None if arm.startswith("baseline") else equal_cost(tops, costs, arm)
        lines.append(
            f"| {arm} | {ARMS[arm].lr} | {ARMS[arm].times * EPOCHS} | {len(values)} "
            f"| {plus_minus(spread(list(values.values())))} | {interval(gain)} | {costs[arm]:.2f} "
            f"| {interval(equal)} | {seconds[arm]:.2f} |"
        )
    return "\n".join(lines)


def screening_table(screened: Sequence[Row]) -> str:
    """Return held-out top-1 per arm and rate, one seed, as Markdown."""
    rates = sorted({row["lr"] for row in screened})
    tops = {(row["arm"], row["lr"]): row["val_top1"] for row in screened}
    lines = [f"| arm | {' | '.join(f'lr {rate:g}' for rate in rates)} |", "|---" * (1 + len(rates)) + "|"]
    for arm in dict.fromkeys(row["arm"] for row in screened):
        cells = []
        for rate in rates:
            top1 = tops.get((arm, rate), NONE)
            cells.append("diverged" if top1 is None else top1 if top1 == NONE else f"{top1:.1f}")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def equal_cost(
    tops: Mapping[str, Mapping[int, float]], costs: Mapping[str, float], arm: str
) -> Difference | None:
    """Compare with the baseline at the arm's MACs, interpolated between measured lengths in their logarithm.

    An arm that costs more than the longest baseline is set beside that one.
    """
    known = sorted((costs[name], name) for name in tops if name.startswith("baseline"))
    below = max((item for item in known if item[0] <= costs[arm]), default=known[0])
    above = min((item for item in known if item[0] >= costs[arm]), default=known[-1])
    weight = 0.0
    if above[0] > below[0]:
        weight = math.log(costs[arm] / below[0]) / math.log(above[0] / below[0])
    seeds = tops[below[1]].keys() & tops[above[1]].keys()
    between = {
        seed: (1 - weight) * tops[below[1]][seed] + weight * tops[above[1]][seed] for seed in sorted(seeds)
    }
    return paired_difference(tops[arm], between)


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the arms than which no other costs at most as much and gains more, by cost.

    Args:
        points: Cost and gain per arm.
    """
    order = sorted(points, key=lambda arm: (points[arm][0], -points[arm][1]))
    best, arms_on_front = -math.inf, []
    for arm in order:
        if points[arm][1] > best:
            best = points[arm][1]
            arms_on_front.append(arm)
    return arms_on_front


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the gain over the baseline of the same seed against MACs: a dot per run, the mean, the front as a line."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "netaug"
    from matplotlib import pyplot as plt

    tops, costs = _tops(rows), _costs(rows, "train_macs")
    points = {}
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for number, (arm, values) in enumerate(tops.items()):
        gains = [top1 - tops["baseline"][seed] for seed, top1 in values.items() if seed in tops["baseline"]]
        points[arm] = costs[arm], statistics.mean(gains)
        color = "black" if arm.startswith("baseline") else f"C{number % 10}"
        axes.scatter([costs[arm]] * len(gains), gains, color=color, s=12, alpha=0.5)
        marker = "s" if arm.startswith("baseline") else "o"
        axes.scatter(*points[arm], color=color, s=60, marker=marker, label=f"{arm} (n = {len(gains)})")
    best = [points[arm] for arm in front(points)]
    axes.plot(
        *zip(*best, strict=True), color="grey", linewidth=1, zorder=0, label="Pareto front of the means"
    )
    axes.axhline(0, color="grey", linewidth=0.5, linestyle=":")
    axes.set_xscale("log")
    axes.set_xticks([1, 1.5, 2, 3, 4], ["1", "1.5", "2", "3", "4"])
    axes.minorticks_off()
    axes.set_xlabel("MACs of the training, multiples of the baseline's")
    axes.set_ylabel("top-1 minus the baseline of the same seed, points")
    axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _tops(rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """Return top-1 by arm and seed, of arms with a run."""
    tops: dict[str, dict[int, float]] = {}
    for row in sorted(rows, key=lambda row: list(ARMS).index(row["arm"])):
        tops.setdefault(row["arm"], {})[row["seed"]] = row["val_top1"]
    return tops


def _costs(rows: Sequence[Row], key: str) -> dict[str, float]:
    """Return each arm's cost over the baseline's, the median over seeds; NaN without a common seed."""
    by_seed = {(row["arm"], row["seed"]): row[key] for row in rows}
    ratios: dict[str, list[float]] = {}
    for arm, seed in by_seed:
        if ("baseline", seed) in by_seed:
            ratios.setdefault(arm, []).append(by_seed[arm, seed] / by_seed["baseline", seed])
    return {arm: statistics.median(values) for arm, values in ratios.items()}
