"""Tells the other ranks of one that fails before it meets them.

A module of its own, as commands import it without torch, and ``launch`` cannot hold it: ``rendezvous`` imports that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from netaug.core.errors import NetaugError, TrainingError, first_line


@contextmanager
def failures_announced() -> Iterator[None]:
    """Tell the other ranks of an error inside a ``with`` block, instead of letting them wait for this rank.

    For what a rank does before it meets the others.
    """
    try:
        yield
    except Exception as error:
        if "WORLD_SIZE" in os.environ or "SLURM_STEP_ID" in os.environ:
            from netaug.distributed.rendezvous import announce  # here, as it imports torch

            unknown = f"{type(error).__name__}: {first_line(error)}"
            announce(error if isinstance(error, NetaugError) else TrainingError(unknown))
        raise
