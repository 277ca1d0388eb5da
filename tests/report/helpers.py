"""A comparison with everything a page can show, names that want to be markup included."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from netaug.compare import Comparison
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
