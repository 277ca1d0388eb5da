"""Search for small trainings that are trained out: where four times the epochs give the plain network almost nothing.

Images are shrunk once, held in memory as bytes, and augmented batch by batch, so that a run costs little more than
its arithmetic. Each line of a plan is one run (`Job`, JSON); results are appended to a CSV as they come. A run that was
stopped resumes at its last checkpoint, and runs whose row is there are skipped, so the same command can be started
again, also several times side by side (`--part 0/2`, `--part 1/2`).

    python -m benchmarks.regime docs/results/regime/plan.jsonl --data CIFAR10 --out docs/results/regime/runs.csv

Scores are of 5,000 training images held out from training; the test split is read only by jobs with `test` or `tested`.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.regime_data import Batches
from benchmarks.regime_job import Job, splits
from benchmarks.regime_training import CPU, Training, best_start, run_to_end
from netaug.profile import profile


def train(job: Job, root: Path, work: Path, device: torch.device = CPU) -> dict[str, Any]:
    """Train one job to its end and return its row."""
    training = best_start(job, root, work, device)
    side = training.judge.side
    network = run_to_end(training)
    training.checkpoint.unlink(missing_ok=True)
    cost = profile(network, torch.zeros(1, 3, side, side, device=device))
    return {
        "name": job.name,
        "parameters": cost.params,
        "macs": cost.macs,
        "top1": round(training.judge.score(network), 2),
        "test_top1": round(_test_score(training, network, root, work), 2) if job.tested else "",
        "train_top1": round(training.batches.score(network, 10000), 2),
        "loss": round(training.loss, 4),
        "cpu_seconds": round(training.seconds, 1),
    }


def _test_score(training: Training, network: nn.Module, root: Path, work: Path) -> float:
    images, judge = splits(replace(training.job, test=True), root, work)[1], training.judge
    return Batches(images, judge.mean_C, 1 / judge.scale_C, device=judge.device).score(network)


def finished(out: Path) -> set[str]:
    """Return the names of the jobs whose row is in the CSV."""
    if not out.exists():
        return set()
    with out.open(newline="") as file:
        return {row["name"] for row in csv.DictReader(file)}


def append(out: Path, job: Job, row: dict[str, Any]) -> None:
    """Append one row under a lock, because several processes write side by side."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        settings = {
            key: json.dumps(v) if isinstance(v, dict | tuple | list) else v for key, v in asdict(job).items()
        }
        columns = [*row, *settings]
        with out.open(newline="") as earlier:
            rows = list(csv.DictReader(earlier))
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if not rows or list(rows[0]) != columns:  # a setting is new: it is empty in rows from before
            file.truncate(0)
            writer.writeheader()
            writer.writerows(rows)
        writer.writerow({**row, **settings})


def main() -> None:
    """Run the jobs of a plan one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "plan", type=Path, help="JSON lines, one job each; lines that begin with # are comments"
    )
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 as train|test/CLASS/*.jpg")
    parser.add_argument("--out", type=Path, required=True, help="CSV of results")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/regime"), help="shrunk images and checkpoints"
    )
    parser.add_argument("--device", type=torch.device, default=CPU, help="a device of torch; default: cpu")
    parser.add_argument("--part", default="0/1", help="K/N: every N-th job from the K-th")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    part, parts = map(int, arguments.part.split("/"))
    lines = [line for line in arguments.plan.read_text().splitlines() if line and not line.startswith("#")]
    for line in lines[part::parts]:
        job = Job(**json.loads(line))
        if job.name in finished(arguments.out):
            continue
        row = train(job, arguments.data, arguments.work, arguments.device)
        append(arguments.out, job, row)
        print(json.dumps(row), line, flush=True)


if __name__ == "__main__":
    main()
