"""Write docs/coverage.md: what NetAug does with every classifier of timm and torchvision of up to 10 M parameters.

One line per model is kept in the cache, so that a run that was stopped resumes, and a later one only does
again what it is asked for: `--redo-failed` or `--only PATTERN`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import time
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.coverage.workers import run_all

if TYPE_CHECKING:
    from benchmarks.coverage.catalogue import Entry
    from benchmarks.coverage.probe import Record


def main() -> None:
    """List all models, check the small ones that the cache does not know, write the page."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, here and in the workers
    arguments = _arguments()
    from benchmarks.coverage.page import page

    arguments.cache.mkdir(parents=True, exist_ok=True)
    limits: dict[str, Any] = {"jobs": arguments.jobs, "seconds": arguments.seconds, "gib": arguments.gib}
    entries = catalogue(arguments.cache / "catalogue.jsonl", limits)
    small = [entry for entry in entries if entry.small]
    records = checked(small, arguments.cache / "models.jsonl", arguments, limits)
    arguments.page.write_text(page(entries, records, jobs=arguments.jobs))
    print(f"wrote {arguments.page}")


def catalogue(cache: Path, limits: dict[str, Any]) -> list[Entry]:
    """Return every model of the two libraries, each counted once."""
    from benchmarks.coverage.catalogue import Entry, all_names, look_at
    from netaug.core.progress import WorkProgress

    names = all_names()
    known = {name: Entry(**line) for name, line in read(cache).items()}
    missing = [name for name in names if name not in known]
    with WorkProgress("counting parameters of models", len(missing)) as progress:
        for name, entry, problem in run_all(look_at, missing, **limits):
            known[name] = entry or Entry(name, 0, problem=problem)
            append(cache, asdict(known[name]))
            progress.advance()
    return [known[name] for name in names]


def checked(
    entries: list[Entry], cache: Path, arguments: argparse.Namespace, limits: dict[str, Any]
) -> dict[str, Record]:
    """Return the results of each model, from this run or an earlier one."""
    from benchmarks.coverage.probe import Record, probe

    records = {name: Record(**line) for name, line in read(cache).items()}
    wanted = [entry for entry in entries if _wanted(records.get(entry.name), entry.name, arguments)]
    random.Random(0).shuffle(wanted)  # so that the first ones tell about the rest
    started, code = time.monotonic(), commit()
    for number, (entry, record, problem) in enumerate(run_all(probe, wanted, **limits), start=1):
        record_of_model = records[entry.name] = record or Record(entry.name, error=problem)
        record_of_model.code = code
        append(cache, asdict(record_of_model))
        verdict = (
            "exact" if record_of_model.exact else record_of_model.error or "; ".join(record_of_model.notes)
        )
        print(
            f"{time.monotonic() - started:.0f} s, {number}/{len(wanted)}: {entry.name} {record_of_model.size} px, "
            f"{record_of_model.widened:.0%} of MACs widen, {record_of_model.seconds} s, {verdict}",
            flush=True,
        )
    return records


def commit() -> str:
    """Return the commit that is checked out, in short; empty outside a clone."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()


def read(path: Path) -> dict[str, Any]:
    """Return the last line about each name in a cache file."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["name"]: line for line in lines}


def append(path: Path, line: dict[str, Any]) -> None:
    """Add a line to a cache file."""
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _wanted(known: Record | None, name: str, arguments: argparse.Namespace) -> bool:
    if arguments.only and not any(fnmatchcase(name, pattern) for pattern in arguments.only):
        return False
    if known is None or (arguments.only and not arguments.redo_failed):
        return True
    return bool(arguments.redo_failed and (not known.exact or known.widened < 0.5))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="do these again, e.g. 'timm:resnet*'")
    parser.add_argument("--redo-failed", action="store_true", help="do those again that fail or widen little")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--seconds", type=float, default=240.0, help="processor time limit of one model")
    parser.add_argument("--gib", type=float, default=6.0, help="memory limit of one model")
    parser.add_argument("--cache", type=Path, default=Path("runs/coverage"), help="where lines are kept")
    parser.add_argument("--page", type=Path, default=Path("docs/coverage.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
