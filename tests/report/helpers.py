"""A comparison with everything a page can show, names that want to be markup included."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

from netaug.compare import Comparison
from netaug.compare.arms import Arm, Plan
from netaug.compare.records import RunRecord
from netaug.compare.results import arm_rows
from netaug.compare.verdict import judge
from tests.compare.helpers import record, request

EVIL = "<script>alert('x')</script> & \"more\" | `x` <img src=http://evil.test/x onerror=alert(1)>"


def comparison(epochs: int = 3, **changes: object) -> Comparison:
    """Three arms with two seeds, tuning runs, one of them failed; ``changes`` are the request's."""
    tops = {"baseline": (70.0, 70.5), "netaug": (71.0, 71.6), "baseline-long": (70.9, 71.5)}
    runs = [
        record(arm, seed, top, epochs=epochs, share=0.5 if arm == "netaug" else None)  # type: ignore[arg-type]
        for arm, values in tops.items()
        for seed, top in enumerate(values)
    ]
    failed = replace(record("baseline", 0, None, phase="tune"), message=f"it broke: {EVIL}")
    runs += [record("netaug", 0, 69.0, phase="tune", lr=0.4), failed]
    asked = request(Path("x"), lrs=(0.1, 0.4), **changes)
    rows = arm_rows(runs)
    settings = {"train": {"epochs": 3}, "model": {"name": EVIL}}
    verdict = judge(asked, rows, runs, {"netaug": 0.1})
    return Comparison(asked, rows, tuple(runs), verdict, settings, {"cpu": EVIL})


_PARTS = ("none", "mixup", "dropout", "dropblock", "autoaugment", "netaug")
_LONGER = {"mixup": ("time", 48), "autoaugment": ("time", 61), "netaug": ("macs", 160)}


def plan() -> Plan:
    """A teacher, and six arms for a tiny and for a large network."""
    arms = [Arm("teacher", "demo/fake", (("model.options.stem", 24),), stage=True, once=True)]
    for case in ("tiny", "large"):
        for part in _PARTS:
            own = (("netaug.enabled", part == "netaug"), (f"regularize.{part}", 0.2))
            reference = None if part == "none" else f"{case}.none"
            arms.append(Arm(f"{case}.{part}", f"demo/{case}", own, reference=reference))
    return Plan("regularization", tuple(arms), (("data.limit", 10000),), ("time", "macs"))


def plan_comparison(seeds: int = 3, epochs: int = 40) -> Comparison:
    """Outcomes of that plan as they might be: one arm has failed, and references were trained longer for others."""
    draw = random.Random(1)
    asked = request(Path("x"), recipe="regularization", seeds=seeds, plan=plan(), jobs=1)
    runs, comparators = [_like(record("teacher", 0, 88.0, epochs=epochs), epochs, 0.0)], {}
    for case, top in (("tiny", 57.0), ("large", 84.0)):
        for number, part in enumerate(_PARTS):
            arm, gain = f"{case}.{part}", (number - 2) * (0.6 if case == "large" else -0.6)
            gain = {"none": 0.0, "netaug": 2.2 if case == "tiny" else -1.0}.get(part, gain)
            share = 0.45 if part == "netaug" else None
            for seed in range(seeds):
                failed = arm == "large.dropblock" or (arm, seed) == ("tiny.mixup", 1)
                score = None if failed else top + gain + draw.gauss(0.0, 0.4)
                cost = 30.0 * (4.0 if part == "netaug" else 1.0 + 0.1 * number)
                runs.append(
                    _like(record(arm, seed, score, seconds=cost, epochs=epochs, share=share), epochs, gain)
                )
        for part, (budget, longer) in _LONGER.items():
            name = f"{case}.none-{'long' if budget == 'time' else 'macs'}-{part}"
            comparators[f"{case}.{part}", budget] = name
            for seed in range(seeds):
                top1 = top + 0.008 * longer + draw.gauss(0.0, 0.4)
                runs.append(
                    _like(record(name, seed, top1, seconds=0.75 * longer, epochs=longer), longer, 0.0)
                )
    rows = arm_rows(runs, plan(), comparators)
    return Comparison(
        asked, rows, tuple(runs), judge(asked, rows, runs, {}), {"train": {"epochs": epochs}}, {}
    )


def _like(run: RunRecord, epochs: int, gain: float) -> RunRecord:
    """The same run with curves that rise as those of trainings do, and with noise."""
    draw = random.Random(f"{run.spec.name}")

    def at(place: int) -> float:
        return (
            1.0 - 0.7 * math.exp(-4.0 * (place + 1) / epochs) + 0.7 * math.exp(-4.0) + draw.gauss(0.0, 0.004)
        )

    if run.summary is None:
        return run
    last = run.summary.val_score
    curve = tuple(
        replace(
            epoch,
            val_score=last * (at(epoch.epoch) if epoch.epoch + 1 < epochs else 1.0),
            train_score=(last + 3.0 - gain) * at(epoch.epoch),
            gradient_cosine=None if epoch.gradient_cosine is None else 0.2 + draw.gauss(0.0, 0.03),
            gradient_share=None
            if epoch.gradient_share is None
            else 0.45 - 0.1 * epoch.epoch / epochs + draw.gauss(0.0, 0.01),
        )
        for epoch in run.curve
    )
    return replace(run, curve=curve, summary=replace(run.summary, train_score=last + 3.0 - gain))
