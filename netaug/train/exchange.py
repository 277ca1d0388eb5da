"""Brings the processes of a step together: gradients, errors, and whether to save, stop or skip the step."""

from __future__ import annotations

from collections.abc import Callable

from netaug.core.errors import NetaugError
from netaug.distributed.all_reduce import AllReduce, StepFlags
from netaug.distributed.world import World
from netaug.train.stability import FiniteGuard, SkippedSteps

Request = Callable[[], StepFlags]
"""Returns what this process requests: that a checkpoint is written, or that the training stops."""


class Exchange:
    """Makes all processes do the same behind a step's gradients; a single process only checks itself.

    Args:
        all_reduce: Sums gradients, changes of statistics, and flags.
        guard: Knows which losses are not finite.
        skipped: How many steps may be left out because of that.
        world: The processes.

    Attributes:
        flags: Of all processes, of the last step.
        request: Asked in each step.
    """

    def __init__(
        self, all_reduce: AllReduce, guard: FiniteGuard, skipped: SkippedSteps, world: World
    ) -> None:
        self._all_reduce, self._guard, self._skipped, self._world = all_reduce, guard, skipped, world
        self.flags = StepFlags()
        self.request: Request = StepFlags

    def run(self, step: int, failure: NetaugError | None, *, widens: bool) -> bool:
        """All-reduce gradients and flags; an error of one process is raised by all, before weights change.

        Args:
            step: Number of the update.
            failure: What went wrong in this process.
            widens: Whether the step has an augmented pass.

        Returns:
            Whether all processes skip the step: a loss is not finite, and that is allowed.
        """
        requested = self.request()
        if self._world.size == 1:
            self._world.raise_if_any_failed(failure)
            self.flags = self._all_reduce.run(requested, widens=False)
            if not self._skipped.allowed:
                return False  # the guard checks by itself
            nonfinite = bool(self._guard.nonfinite())
        else:
            flags = StepFlags(failure is not None, self._guard.nonfinite(), requested.save, requested.signal)
            self.flags = self._all_reduce.run(flags, widens)
            if self.flags.failed:
                self._world.raise_if_any_failed(failure)
            nonfinite = bool(self.flags.nonfinite)
        skip = nonfinite and self._skipped.skip(self._guard.first_error(), step, self._world)
        self._guard.forget()
        return skip
