"""Which cheaper forms of NetAug keep its gain? CIFAR-10 at 16 pixels, 10,000 images, a network of 2,084 parameters.

    python -m benchmarks.pareto --data DIR --out runs/pareto --jobs 2

Trains each arm for the same epochs, and the baseline also for more, so that every arm has a baseline of about its
cost beside it. Everything goes through `netaug train`; runs that are finished are not trained again. Rates are tuned
with seed 0 on held-out training images, for the baseline and for NetAug; the cheaper forms take NetAug's,
or the next lower one where that diverges.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from netaug.compare.numbers import interval, plus_minus
from netaug.compare.statistics import paired_difference, spread

EPOCHS, IMAGES = 80, 10_000
RATES = (0.2, 0.4, 0.8)
HELD = 0.1
ARMS: dict[str, tuple[float, tuple[str, ...]]] = {
    "baseline": (1, ("--netaug.enabled=false",)),
    "netaug": (1, ()),
    "in-place": (1, ("--distill.in_place=1",)),
    "share-1/4": (1, ("--netaug.batch_share=0.25",)),
    "in-place-share-1/4": (1, ("--distill.in_place=1", "--netaug.batch_share=0.25")),
    "expand-only": (1, ("--netaug.width=1", "--netaug.width_until=0", "--netaug.sort=false")),
    "small-factors": (1, ("--netaug.width=1,1.3,1.6", "--netaug.expand=1,1.3,1.6")),
    "baseline-x2": (2, ("--netaug.enabled=false",)),
    "baseline-x3": (3, ("--netaug.enabled=false",)),
}
"""Epochs as a multiple of ``EPOCHS``, and what differs from `demo/cifar10`."""
HIGHEST = {"share-1/4": 0.4, "in-place-share-1/4": 0.4}
"""Rates at which these arms still train; at 0.8 their loss is no number within five epochs."""


def train(out: Path, data: str, name: str, arm: str, lr: float, seed: int, held: float) -> dict[str, Any]:
    """The summary of one run, trained if it is not there yet; without a result it is empty."""
    folder = out / name
    times, words = ARMS[arm]
    epochs = round(times * EPOCHS)
    own = [f"--data.root={data}", f"--data.limit={IMAGES}", f"--data.holdout={held}", f"--train.lr={lr}"]
    own += [f"--train.epochs={epochs}", f"--train.eval_every={epochs}", f"--train.checkpoint_every={epochs}"]
    own += [f"--train.seed={seed}", "--train.threads=1", "--out", str(folder)]
    if not (folder / "summary.json").exists():
        command = [sys.executable, "-m", "netaug", "train", "demo/cifar10", *words, *own]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, capture_output=True, check=False)
    summary = folder / "summary.json"
    return json.loads(summary.read_text()) if summary.exists() else {}


def tuned(out: Path, data: str, jobs: ThreadPoolExecutor) -> dict[str, float]:
    """The rate with the highest held-out top-1, of the baseline and of NetAug."""
    cases = [(arm, lr) for arm in ("baseline", "netaug") for lr in RATES]
    done = jobs.map(lambda c: train(out, data, f"tune-{c[0]}-lr{c[1]}", c[0], c[1], 0, HELD), cases)
    tops = {case: summary.get("val_top1", 0.0) for case, summary in zip(cases, done, strict=True)}
    for (arm, lr), top1 in tops.items():
        print(f"tuning: {arm} at {lr:g}: held-out top-1 {top1:.2f}", flush=True)
    return {arm: max(RATES, key=lambda lr: tops[arm, lr]) for arm in ("baseline", "netaug")}


def final(
    out: Path, data: str, arms: list[str], seeds: int, jobs: ThreadPoolExecutor
) -> list[dict[str, Any]]:
    """A row per finished run; a seed's arms side by side."""
    rates = tuned(out, data, jobs)
    cases = [(seed, arm) for seed in range(seeds) for arm in arms]

    def run(case: tuple[int, str]) -> dict[str, Any]:
        seed, arm = case
        lr = rates["baseline" if arm.startswith("baseline") else "netaug"]
        lr = min(lr, HIGHEST.get(arm, lr))
        summary = train(out, data, f"{arm.replace('/', '-')}-seed{seed}", arm, lr, seed, 0.0)
        row = {key: summary.get(key) for key in ("val_top1", "train_top1", "train_seconds", "train_macs")}
        print(f"seed {seed} {arm}: {row}", flush=True)
        return {"arm": arm, "seed": seed, "lr": lr, "epochs": summary.get("epochs"), **row}

    return [row for row in jobs.map(run, cases) if row["val_top1"] is not None]


def table(rows: list[dict[str, Any]]) -> str:
    """Per arm: top-1, gain over the baseline, and what it cost beside the baseline's training, as Markdown."""
    tops = {arm: {row["seed"]: row["val_top1"] for row in rows if row["arm"] == arm} for arm in ARMS}
    costs = {arm: _median_ratio(rows, arm, "train_macs") for arm in ARMS}
    lines = ["| arm | epochs | n | top-1 % | minus baseline | time | MACs | minus the baseline of its MACs |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for arm, values in tops.items():
        if not values:
            continue
        gain = None if arm == "baseline" else paired_difference(values, tops["baseline"])
        longer = None if arm.startswith("baseline") else _equal_cost(tops, costs, arm)
        seconds = _median_ratio(rows, arm, "train_seconds")
        lines.append(
            f"| {arm} | {round(ARMS[arm][0] * EPOCHS)} | {len(values)} | {plus_minus(spread(list(values.values())))} "
            f"| {interval(gain)} | {seconds:.2f} | {costs[arm]:.2f} | {interval(longer)} |"
        )
    return "\n".join(lines)


def _equal_cost(tops: dict[str, dict[int, float]], costs: dict[str, float], arm: str) -> Any:
    """Against the baseline at the arm's own MACs: between measured lengths, linearly in their logarithm.

    An arm that costs more than the longest baseline is set beside that one.
    """
    known = sorted((costs[name], name) for name in ARMS if name.startswith("baseline") and tops[name])
    below = max((item for item in known if item[0] <= costs[arm]), default=known[0])
    above = min((item for item in known if item[0] >= costs[arm]), default=known[-1])
    share = 0.0
    if above[0] > below[0]:
        share = _log_share(costs[arm], below[0], above[0])
    seeds = tops[below[1]].keys() & tops[above[1]].keys()
    between = {
        seed: (1 - share) * tops[below[1]][seed] + share * tops[above[1]][seed] for seed in sorted(seeds)
    }
    return paired_difference(tops[arm], between)


def _log_share(value: float, low: float, high: float) -> float:
    return math.log(value / low) / math.log(high / low)


def _median_ratio(rows: list[dict[str, Any]], arm: str, key: str) -> float:
    """Of an arm to the baseline, seed by seed; the median."""
    by_seed = {(row["arm"], row["seed"]): row[key] for row in rows}
    seeds = {row["seed"] for row in rows}
    ratios = [
        by_seed[arm, seed] / by_seed["baseline", seed]
        for seed in seeds
        if (arm, seed) in by_seed and ("baseline", seed) in by_seed
    ]
    return statistics.median(ratios) if ratios else float("nan")


def main() -> None:
    """Train what is missing, print the table and write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CIFAR-10: its official files or class folders")
    parser.add_argument("--out", type=Path, required=True, help="folder for all runs and results.csv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time, one thread each")
    asked = parser.parse_args()
    with ThreadPoolExecutor(asked.jobs) as jobs:
        rows = final(asked.out, asked.data, asked.arms, asked.seeds, jobs)
    with (asked.out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(table(rows))


if __name__ == "__main__":
    main()
