"""Measure exports: `python -m benchmarks.export --coverage` counts the networks that have an int8 form."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def main() -> None:
    """Run what is asked for, and print Markdown."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coverage", action="store_true", help="Count networks that have an int8 form.")
    parser.add_argument("--only", default="", help="Part of the names of the networks to count.")
    parser.add_argument("--out", type=Path, default=None, help="File for the Markdown.")
    arguments = parser.parse_args()
    from benchmarks.export.coverage import listed, outcomes, summary

    rows = summary(list(outcomes({name: side for name, side in listed().items() if arguments.only in name})))
    print("\n".join(rows))
    if arguments.out is not None:
        arguments.out.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
