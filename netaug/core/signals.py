"""Requests to stop: the step is finished and a checkpoint written before the process ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A training was asked to stop; the message says what it left behind.

    Attributes:
        exit_code: 128 + the signal's number, as a shell counts: 130 Ctrl-C, 143 SIGTERM, 138 SIGUSR1.
        loud: Whether this process, of several that train together, is the one to print the message.
    """

    def __init__(self, message: str, signal_number: int, *, loud: bool = True) -> None:
        super().__init__(message)
        self.loud = loud
        self.exit_code = 128 + signal_number


class StopRequests:
    """Turns the first signal into a request; a context manager. A second Ctrl-C leaves at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():  # nobody else may set handlers
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Put back, so that a caller who trains twice keeps handlers of its own.
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt("stopped at once; what was written before is whole")
        self.signal = self.signal or number
