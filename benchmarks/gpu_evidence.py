"""Compare baseline, longer baseline, NetAug and distillation on a GPU, within a number of minutes.

CIFAR-10 at 32 pixels lies in device memory, and several trainings share the device, because one of a tiny network
leaves most of it idle. First each arm's step is timed with all trainings side by side; from that follows the number of
epochs that fits. Then the runs are trained as :mod:`benchmarks.regime` does, seed by seed, so that whole seeds are
there when time is up. The same command goes on where it was stopped; results are appended as they come.

    python -m benchmarks.gpu_evidence --data CIFAR10 --out evidence.csv --minutes 12

Scores are of 5,000 held-out training images. Never run on a GPU so far; it is tested on a CPU with tiny settings.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.regime_job import Job
from benchmarks.regime_training import Training, update
from netaug.compare.formatting import interval, plus_minus
from netaug.compare.paired_statistics import paired_difference, spread

NETWORKS: dict[str, dict[str, Any]] = {
    "resnet8": {"network": {"kind": "resnet8"}, "lr": 0.4},
    "mobilenetv2-tiny": {"network": {"kind": "mobilenetv2-tiny"}, "lr": 0.4},
}
"""Networks with the learning rate of all their arms; it is not tuned here."""
_TEACHER_FACTOR = 2.0
_TRAINING = 0.85  # of the time; the rest is for loading, evaluation and the ends of runs


def arms_of(name: str, epochs: int, longer: float, side: int, batch_size: int = 256) -> dict[str, Job]:
    """Return the jobs of one network, seed 0.

    Args:
        name: One of :data:`NETWORKS`.
        epochs: Of all arms but the longer baseline.
        longer: Epochs of the longer baseline, as a multiple: what a step of NetAug costs.
        side: Of the images in pixels.
        batch_size: Images per step.
    """
    task: dict[str, Any] = {"task": f"cifar10-{side}", "batch_size": batch_size, **NETWORKS[name]}
    plain = Job(**task, epochs=epochs)
    kind = NETWORKS[name]["network"]["kind"]
    teacher = {**task, "network": {"kind": kind, "widen": _TEACHER_FACTOR}, "epochs": epochs}
    return {
        "baseline": plain,
        "baseline-long": replace(plain, epochs=max(epochs + 1, round(epochs * longer))),
        "netaug": replace(plain, arm="netaug"),
        "kd": replace(plain, teacher=teacher, distill=1.0),
        "netaug-kd": replace(plain, arm="netaug", teacher=teacher, distill=1.0),
    }


def seconds_per_step(job: Job, root: Path, work: Path, device: torch.device, steps: int) -> tuple[float, int]:
    """Time steps of a job's training beside whatever else runs; return the median in seconds, and steps per epoch."""
    training = Training.start(replace(job, teacher={}, distill=0.0), root, work / "timing", device)
    per_epoch = len(training.batches.images.labels_N) // job.batch_size
    times = []
    batches = training.batches.training(job.seed, 0, job.batch_size)
    for number, batch in zip(range(steps), batches, strict=False):
        started = time.perf_counter()
        update(training.supernet, job, batch, number, steps)
        training.optimizer.step()
        training.optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times[len(times) // 3 :]), per_epoch


def measure_side_by_side(arguments: argparse.Namespace) -> dict[tuple[str, str], tuple[float, int]]:
    """Time each arm's step while as many others run as later will, each in a process of its own."""
    wanted = [(name, arm) for name in NETWORKS for arm in ("baseline", "netaug")]
    measured: dict[tuple[str, str], tuple[float, int]] = {}
    for name, arm in wanted:
        command = [sys.executable, "-m", "benchmarks.gpu_evidence", "--time-one", name, arm]
        command += [*_places(arguments), "--out", str(arguments.out), "--side", str(arguments.side)]
        command += ["--batch-size", str(arguments.batch_size), "--timed-steps", str(arguments.timed_steps)]
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(arguments.workers)
        ]
        outputs = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise SystemExit(f"timing {name}, {arm} failed")
        lines = [json.loads(output.splitlines()[-1]) for output in outputs]
        measured[name, arm] = max(line["seconds"] for line in lines), lines[0]["steps"]
    return measured


def epochs_that_fit(
    measured: dict[tuple[str, str], tuple[float, int]], minutes: float, seeds: int, workers: int
) -> tuple[int, dict[str, float]]:
    """Return the epochs with which all runs fit, and per network what a step of NetAug costs in plain ones."""
    ratios = {name: measured[name, "netaug"][0] / measured[name, "baseline"][0] for name in NETWORKS}
    per_epoch = 0.0
    for name in NETWORKS:
        seconds, steps = measured[name, "baseline"]
        # baseline, longer baseline, NetAug, distillation (about two plain steps), both; and the teacher once
        plain_steps = seeds * (1 + ratios[name] + ratios[name] + 2 + ratios[name] + 1) + _TEACHER_FACTOR
        per_epoch += plain_steps * seconds * steps
    return max(1, math.floor(minutes * 60 * _TRAINING * workers / per_epoch)), ratios


def summarize(out: Path, plan: Sequence[tuple[str, str, Job]]) -> list[str]:
    """Return a line per network and arm: n, mean, standard deviation, paired difference to the baseline."""
    with out.open(newline="") as file:
        scores = {row["name"]: float(row["top1"]) for row in csv.DictReader(file)}
    found: dict[tuple[str, str], dict[int, float]] = {}
    for network, arm, job in plan:
        if job.name in scores:
            found.setdefault((network, arm), {})[job.seed] = scores[job.name]
    lines = [f"{'network':18} {'arm':14} {'n':>2}  top-1 of held-out images; minus baseline, 95 % interval"]
    for (network, arm), by_seed in found.items():
        base = found.get((network, "baseline"), {})
        line = f"{network:18} {arm:14} {len(by_seed):2}  {plus_minus(spread([*by_seed.values()]))}"
        if arm != "baseline":
            line += f"  {interval(paired_difference(by_seed, base))}"
        lines.append(line)
    return lines


def write_plan(arguments: argparse.Namespace, path: Path, epochs: int, ratios: dict[str, float]) -> None:
    """Write the jobs, seed by seed; the order is that in which they are trained."""
    rows = []
    for seed in range(arguments.seeds):
        for name in NETWORKS:
            arms = arms_of(name, epochs, ratios[name], arguments.side, arguments.batch_size)
            for arm, job in arms.items():
                rows.append({"network": name, "arm": arm, "job": asdict(replace(job, seed=seed))})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_plan(path: Path) -> list[tuple[str, str, Job]]:
    """Return network, arm and job of each line of a plan."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["network"], row["arm"], Job(**row["job"])) for row in rows]


def run(arguments: argparse.Namespace, plan: Sequence[tuple[str, str, Job]], deadline: float) -> None:
    """Train the jobs in as many processes as there are workers; stop them at the deadline."""
    jobs = arguments.work / "jobs.jsonl"
    jobs.write_text("".join(json.dumps(asdict(job)) + "\n" for _, _, job in plan))
    command = [sys.executable, "-m", "benchmarks.regime", str(jobs), "--out", str(arguments.out)]
    command += _places(arguments)
    parts = [f"{part}/{arguments.workers}" for part in range(arguments.workers)]
    processes = [subprocess.Popen([*command, "--part", part]) for part in parts]
    try:
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        print("time is up; the same command goes on from the last checkpoints", flush=True)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _places(arguments: argparse.Namespace) -> list[str]:
    return ["--data", str(arguments.data), "--work", str(arguments.work), "--device", str(arguments.device)]


def main(words: Sequence[str] | None = None) -> None:
    """Time, plan, train and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 as train|test/CLASS/*.jpg")
    parser.add_argument("--out", type=Path, required=True, help="CSV of results")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu-evidence"), help="checkpoints and plan")
    parser.add_argument("--minutes", type=float, default=12.0, help="for all of it, timing included")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=6, help="trainings side by side")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--side", type=int, default=32, help="of the images in pixels")
    parser.add_argument("--batch-size", type=int, default=256, help="images per step")
    parser.add_argument("--timed-steps", type=int, default=60)
    parser.add_argument("--time-one", nargs=2, metavar=("NETWORK", "ARM"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    started = time.monotonic()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.time_one:
        job = arms_of(arguments.time_one[0], 1, 2.0, arguments.side, arguments.batch_size)[
            arguments.time_one[1]
        ]
        place = (arguments.data, arguments.work, arguments.device, arguments.timed_steps)
        seconds, steps = seconds_per_step(job, *place)
        print(json.dumps({"seconds": seconds, "steps": steps}))
        return
    file = arguments.work / "plan.jsonl"
    if not file.exists():
        measured = measure_side_by_side(arguments)
        spent = (time.monotonic() - started) / 60
        left = max(0.0, arguments.minutes - spent)
        epochs, ratios = epochs_that_fit(measured, left, arguments.seeds, arguments.workers)
        for (name, arm), (seconds, _) in measured.items():
            print(f"{name}, {arm}: {1e3 * seconds:.1f} ms a step, {arguments.workers} side by side")
        print(f"{epochs} epochs fit into the {left:.1f} minutes that are left", flush=True)
        write_plan(arguments, file, epochs, ratios)
    plan = read_plan(file)
    run(arguments, plan, started + 60 * arguments.minutes)
    print("\n".join(summarize(arguments.out, plan)))


if __name__ == "__main__":
    main()
