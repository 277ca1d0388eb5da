"""Starts a comparison by the fake train command as a process: `python -m tests.compare.start OUT SECONDS`."""

import sys
from dataclasses import replace
from pathlib import Path

from netaug.compare.resolve import resolve_plan
from tests.compare.helpers import request, run_fake
from tests.compare.plans import plan_from


def main(out: Path, slow: str) -> None:
    """Run the plan; each epoch of each run takes that long."""
    four = ("--train.epochs=4",)
    asked = request(out, *four, plan=plan_from(out.parent), seeds=3, jobs=2)
    run_fake(replace(asked, plan=resolve_plan(asked), overrides=(*four, f"--fake.slow={slow}")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
