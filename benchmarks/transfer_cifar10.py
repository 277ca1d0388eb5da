"""Compare how networks pre-trained with and without NetAug transfer: CIFAR-10, five classes to the other five.

    python -m benchmarks.transfer_cifar10 --data DIR --out runs/transfer-cifar10

Pre-trains `demo/cifar10` on the classes with even numbers, fine-tunes to few images of those with odd numbers without
NetAug, and measures the test images of these. Everything goes through the public commands; runs that are finished are
not trained again. Learning rates are chosen for each arm on held-out training images of the target classes, never on
test images.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from netaug.cli import main as netaug
from netaug.compare.formatting import interval, plus_minus
from netaug.compare.paired_statistics import paired_difference, spread

SOURCE, TARGET = "airplane,bird,deer,frog,ship", "automobile,cat,dog,horse,truck"
EPOCHS, LONG = 60, 186  # 186 take the baseline as long as 60 take NetAug, on an idle core
ARMS = {
    "baseline": (EPOCHS, False),
    "netaug": (EPOCHS, True),
    "baseline-long": (LONG, False),
    "scratch": None,
}
SHOTS = (20, 100)
RATES = (0.025, 0.1, 0.4)
TUNING_SEEDS = (0, 1)
BATCH, TUNED_EPOCHS, HELD = 50, 100, 0.2


def pretrain(out: Path, data: str, arm: str, seed: int) -> Path:
    """Return the run folder of a pre-training; the baseline's with the same initialization and order of images."""
    epochs, augmented = ARMS[arm] or (0, False)
    folder = out / "pretrain" / f"{arm}-seed{seed}"
    arguments = ["train", "demo/cifar10", f"--data.classes={SOURCE}", f"--train.epochs={epochs}"]
    arguments += [
        f"--netaug.enabled={str(augmented).lower()}",
        "--train.eval_every=20",
        "--train.checkpoint_every=20",
    ]
    if not _run(arguments, folder, data, seed):
        raise SystemExit(f"no result in {folder}")
    return folder


def finetune(
    out: Path, data: str, arm: str, seed: int, shots: int, draw: int, lr: float, holdout: float
) -> float:
    """Return top-1 in percent after fine-tuning; on the test images, or on held-out training images."""
    name = f"{arm}-seed{seed}-shots{shots}-draw{draw}-lr{lr:g}"
    folder = out / ("tune" if holdout else "final") / name
    arguments = ["train", "demo/cifar10", "--netaug.enabled=false"]
    if arm != "scratch":
        arguments = [
            "finetune",
            "--from",
            str(pretrain(out, data, arm, seed)),
            "--data.name=cifar10",
            "--data.pad=2",
        ]
    arguments += [f"--data.classes={TARGET}", f"--data.shots={shots}", f"--data.subset_seed={draw}"]
    arguments += [f"--data.holdout={holdout}", f"--data.batch_size={BATCH}", "--data.eval_batch_size=500"]
    arguments += [f"--train.epochs={TUNED_EPOCHS}", "--train.warmup_epochs=9", f"--train.lr={lr}"]
    arguments += [f"--train.eval_every={TUNED_EPOCHS}", f"--train.checkpoint_every={TUNED_EPOCHS}"]
    if not _run(arguments, folder, data, seed):
        if holdout:
            return 0.0  # a rate with which training diverges is not chosen
        raise SystemExit(f"no result in {folder}")
    return float(json.loads((folder / "summary.json").read_text())["val_top1"])


def _run(arguments: list[str], folder: Path, data: str, seed: int) -> bool:
    """Train unless that is done; whether there is a result."""
    if (folder / "summary.json").exists():
        return True
    run_arguments = [f"--data.root={data}", f"--train.seed={seed}", "--train.threads=1", "--out", str(folder)]
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        return netaug([*arguments, *run_arguments]) == 0


def best_rate(out: Path, data: str, arm: str, shots: int) -> tuple[float, dict[float, float]]:
    """Return the rate with the highest mean top-1 on held-out images, and all means; extends the grid at its edge."""
    means: dict[float, float] = {}

    def best() -> float:
        return max(means, key=lambda lr: means[lr])

    rates = list(RATES)
    while rates:
        lr = rates.pop(0)
        tops = [finetune(out, data, arm, seed, shots, 100 + seed, lr, HELD) for seed in TUNING_SEEDS]
        means[lr] = statistics.fmean(tops)
        if not rates and best() == max(means):  # at the edge: the best may be beyond
            rates.append(2 * max(means))
    return best(), means


def results(
    out: Path, data: str, arms: list[str], all_shots: list[int], seeds: int, draws: int
) -> Iterator[dict[str, object]]:
    """Yield a row per final run."""
    for shots, arm in itertools.product(all_shots, arms):
        lr, means = best_rate(out, data, arm, shots)
        print(f"{arm}, {shots} images per class: rate {lr:g} of held-out top-1 {means}", flush=True)
        for seed, draw in itertools.product(range(seeds), range(draws)):
            top1 = finetune(out, data, arm, seed, shots, 10 * seed + draw, lr, 0.0)
            pre = (
                None
                if arm == "scratch"
                else json.loads((pretrain(out, data, arm, seed) / "summary.json").read_text())
            )
            yield {
                "arm": arm,
                "shots": shots,
                "seed": seed,
                "draw": draw,
                "lr": lr,
                "top1": top1,
                "pretrain_top1": pre and pre["val_top1"],
                "pretrain_train_top1": pre and pre["train_top1"],
                "pretrain_epochs": pre and pre["epochs"],
                "pretrain_macs": pre and pre["train_macs"],
            }


def table(rows: list[dict[str, object]], arms: list[str]) -> str:
    """Return mean and deviation over seeds, and NetAug's paired difference, as Markdown."""
    lines = ["| images per class | arm | n | top-1 % | NetAug minus this arm |", "|---|---|---|---|---|"]
    for shots in sorted({int(str(row["shots"])) for row in rows}):
        by_arm = {arm: _by_seed(rows, arm, shots) for arm in arms}
        for arm, values in by_arm.items():
            other = arm in ("netaug",) or "netaug" not in by_arm
            gain = None if other else paired_difference(by_arm["netaug"], values)
            mean = plus_minus(spread(list(values.values())))
            lines.append(f"| {shots} | {arm} | {len(values)} | {mean} | {interval(gain)} |")
    return "\n".join(lines)


def _by_seed(rows: list[dict[str, object]], arm: str, shots: int) -> dict[int, float]:
    """Return the mean over draws of images, by seed."""
    tops_by_seed: dict[int, list[float]] = {}
    for row in rows:
        if (row["arm"], row["shots"]) == (arm, shots):
            tops_by_seed.setdefault(int(str(row["seed"])), []).append(float(str(row["top1"])))
    return {seed: statistics.fmean(tops) for seed, tops in tops_by_seed.items()}


def main() -> None:
    """Train what is missing, print the table and write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CIFAR-10: its official files or class folders")
    parser.add_argument("--out", type=Path, required=True, help="folder for all runs and results.csv")
    parser.add_argument("--seeds", type=int, default=4, help="pre-trainings of each arm")
    parser.add_argument("--draws", type=int, default=2, help="choices of images for each pre-trained network")
    parser.add_argument("--shots", type=int, nargs="+", default=list(SHOTS), help="images of each class")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    asked = parser.parse_args()
    rows = list(results(asked.out, asked.data, asked.arms, asked.shots, asked.seeds, asked.draws))
    with (asked.out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(table(rows, asked.arms))


if __name__ == "__main__":
    main()
