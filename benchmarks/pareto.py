"""Compare cheaper forms of NetAug by the gain they keep: CIFAR-10 at 16 pixels, 10,000 images, 2,084 parameters.

    python -m benchmarks.pareto screen --data DIR --out runs/pareto
    python -m benchmarks.pareto train --data DIR --out runs/pareto --seeds 3
    python -m benchmarks.pareto report --out runs/pareto

`screen` trains every form of NetAug, and the baseline, at two rates with one seed and a tenth of the training images
held out: it is where the rates of :data:`ARMS` come from, and forms that fall behind there are left at that. `train`
trains the arms for the same epochs, and the baseline also for more, so that every arm has a baseline of about its cost
beside it: the cheap arms of all seeds first, then the costly ones. `report` writes tables and pictures of the runs that
are finished. A run that is finished is not trained again, so the same command resumes what was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGES, EPOCHS, HELD, SCREENED_RATES = 10_000, 15, 0.1, (0.4, 0.8)
OFF, TAUGHT = "--netaug.enabled=false", "--distill.in_place=1"
QUARTER, HALF = "--netaug.batch_share=0.25", "--netaug.batch_share=0.5"
SMALL, SMALLER = "--netaug.resolution=0.75", "--netaug.resolution=0.5"
FOURTH, LATE = "--netaug.augment_every=4", "--netaug.start=0.5"


@dataclass(frozen=True)
class Arm:
    """Describe one way to train.

    Args:
        arguments: What differs from `demo/cifar10`.
        lr: Its rate in `train`; None if it is only screened.
        times: Epochs as a multiple of the baseline's.
    """

    arguments: tuple[str, ...]
    lr: float | None = None
    times: int = 1


ARMS: dict[str, Arm] = {
    "baseline": Arm((OFF,), 0.8),
    "baseline-x2": Arm((OFF,), 0.8, 2),
    "in-place-every-4": Arm((TAUGHT, FOURTH), 0.4),
    "in-place-late": Arm((TAUGHT, LATE), 0.8),
    "in-place-side-3/4-share-1/2": Arm((TAUGHT, SMALL, HALF), 0.4),
    "in-place": Arm((TAUGHT,), 0.8),
    "netaug": Arm((), 0.8),
    "baseline-x4": Arm((OFF,), 0.4, 4),
    "every-4": Arm((FOURTH,)),
    "share-1/4": Arm((QUARTER,)),
    "in-place-share-1/4": Arm((TAUGHT, QUARTER)),
    "side-1/2": Arm((SMALLER,)),
}
CHEAP = ("baseline", "baseline-x2", "in-place-every-4", "in-place-late", "in-place-side-3/4-share-1/2")


def train(out: Path, data: str, name: str, arm: str, lr: float, seed: int, holdout: float) -> dict[str, Any]:
    """Return the summary of one run, trained in this process if it is missing; empty if the run fails."""
    from netaug.config.loading import load_config
    from netaug.core.errors import NetaugError
    from netaug.train.run import train as train_run

    folder, epochs = out / name, ARMS[arm].times * EPOCHS
    summary = folder / "summary.json"
    arguments = [
        f"--data.root={data}",
        f"--data.limit={IMAGES}",
        f"--data.holdout={holdout}",
        f"--train.lr={lr}",
    ]
    arguments += [
        f"--train.epochs={epochs}",
        f"--train.eval_every={epochs}",
        f"--train.checkpoint_every={epochs}",
    ]
    arguments += [f"--train.seed={seed}", "--train.threads=1"]
    if not summary.exists():
        with contextlib.suppress(NetaugError), contextlib.redirect_stdout(io.StringIO()):
            train_run(load_config("demo/cifar10", [*ARMS[arm].arguments, *arguments]), folder)
    return json.loads(summary.read_text()) if summary.exists() else {}


def screen(out: Path, data: str, arms: Sequence[str]) -> None:
    """Train each arm of one length at each rate, held-out images aside."""
    for arm in arms:
        for lr in SCREENED_RATES:
            name = f"tune-{_plain(arm)}-lr{lr:g}"
            top1 = train(out, data, name, arm, lr, 0, HELD).get("val_top1", "failed")
            print(f"screening: {arm} at {lr:g}: held-out top-1 {top1}", flush=True)


def finals(out: Path, data: str, seeds: int) -> None:
    """Train all arms that have a rate: the cheap ones of all seeds, then the others."""
    costly = [arm for arm in ARMS if arm not in CHEAP]
    for arms in (CHEAP, costly):
        for seed in range(seeds):
            for arm in arms:
                lr = ARMS[arm].lr
                if lr is not None:
                    summary = train(out, data, f"{_plain(arm)}-seed{seed}", arm, lr, seed, 0.0)
                    print(f"seed {seed} {arm} at {lr:g}: {summary.get('val_top1', 'failed')}", flush=True)


def finished(out: Path) -> list[dict[str, Any]]:
    """Return a row per finished run, those of screening aside, by arms, then seeds."""
    rows = []
    for arm, how in ARMS.items():
        for file in sorted(out.glob(f"{_plain(arm)}-seed*/summary.json")):
            summary = json.loads(file.read_text())
            row = {key: summary[key] for key in ("val_top1", "train_top1", "train_seconds", "train_macs")}
            rows.append(
                {"arm": arm, "seed": summary["seed"], "lr": how.lr, "epochs": summary["epochs"], **row}
            )
    return rows


def screened(out: Path) -> list[dict[str, Any]]:
    """Return a row per run of screening; ``val_top1`` is None where it failed."""
    rows = []
    for arm in ARMS:
        for lr in SCREENED_RATES:
            folder = out / f"tune-{_plain(arm)}-lr{lr:g}"
            if folder.exists():
                file = folder / "summary.json"
                summary = json.loads(file.read_text()) if file.exists() else {}
                found = {key: summary.get(key) for key in ("val_top1", "train_macs")}
                rows.append({"arm": arm, "lr": lr, **found})
    return rows


def _plain(arm: str) -> str:
    return arm.replace("/", "-")


def main() -> None:
    """Screen, train or report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=("screen", "train", "report"))
    parser.add_argument("--out", type=Path, required=True, help="folder for all runs")
    parser.add_argument("--data", help="CIFAR-10: its official files or class folders")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), help="to screen; default: all of one length")
    asked = parser.parse_args()
    if asked.stage != "report" and asked.data is None:
        parser.error("--data is needed to train")
    if asked.stage == "screen":
        screen(asked.out, asked.data, asked.arms or [arm for arm in ARMS if ARMS[arm].times == 1])
    elif asked.stage == "train":
        finals(asked.out, asked.data, asked.seeds)
    else:
        from benchmarks.pareto_report import report

        print(report(finished(asked.out), screened(asked.out), asked.out))


if __name__ == "__main__":
    main()
