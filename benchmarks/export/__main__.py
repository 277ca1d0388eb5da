"""Measure exports, and print Markdown.

`python -m benchmarks.export` measures every format of several networks; with --coverage it counts the networks of
docs/coverage.md that have an int8 form.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def main() -> None:
    """Run what is asked for."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coverage", action="store_true", help="Count networks that have an int8 form.")
    parser.add_argument(
        "--run", action="store_true", help="With --coverage: compare the runtimes on images, too."
    )
    parser.add_argument("--only", default="", help="Part of the names of the networks.")
    parser.add_argument("--out", type=Path, default=None, help="File for the Markdown.")
    arguments = parser.parse_args()
    lines = _coverage(arguments.only, run=arguments.run) if arguments.coverage else _formats(arguments.only)
    print("\n".join(lines))
    if arguments.out is not None:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _coverage(only: str, *, run: bool) -> list[str]:
    from benchmarks.export.coverage import listed, outcomes, summary

    chosen = {name: side for name, side in listed().items() if only in name}
    return summary(list(outcomes(chosen, run=run)))


def _formats(only: str) -> list[str]:
    from benchmarks.export.formats import NETWORKS, rows_of, table

    chosen = {name: how for name, how in NETWORKS.items() if only in name}
    return table([row for name, (side, formats) in chosen.items() for row in rows_of(name, side, formats)])


if __name__ == "__main__":
    main()
