"""The command line of every run of a comparison, ready for a shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netaug.compare.results import Comparison


def commands(comparison: Comparison) -> list[tuple[str, str]]:
    """Name and command line of every run."""
    from netaug.compare.plan import train_words

    asked = comparison.request
    several = ("torchrun", "--standalone", "--nproc-per-node", str(asked.nproc), "-m")
    words = (*(several if asked.nproc > 1 else ()), "netaug", "train")
    return [(run.spec.name, shlex.join([*words, *train_words(asked, run.spec)])) for run in comparison.runs]
