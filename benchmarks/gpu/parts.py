"""Runs the parts of a check one after the other within a time budget, and keeps their results as they come."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch

from netaug.core.device import set_up

Figures = Mapping[str, float | str]


class CheckFailed(Exception):  # noqa: N818  as in «this check failed», not an error of the program
    """What a part promises does not hold."""


class NotPossible(Exception):  # noqa: N818  the reason why a part is skipped, not an error
    """A part cannot run on this machine."""


@dataclass(frozen=True)
class Setting:
    """Where and how large the parts run.

    Args:
        device: CUDA, or the CPU to test the parts themselves.
        small: Whether networks, images and steps are as few and small as they can be.
    """

    device: torch.device
    small: bool

    @property
    def is_cuda(self) -> bool:
        """Return whether the device is a GPU."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait until the device has done what it was given."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Part:
    """One part of the check.

    Args:
        name: As it is printed.
        seconds: A generous estimate of its time on a GPU; the part is skipped if less is left.
        run: Returns the figures; raises :class:`CheckFailed` or :class:`NotPossible`.
    """

    name: str
    seconds: float
    run: Callable[[Setting], Figures]


@dataclass(frozen=True)
class Result:
    """How a part ended.

    Args:
        name: Of the part.
        status: A failed part does not end the others.
        seconds: It took.
        figures: What it measured.
        reason: Why it failed or was skipped.
    """

    name: str
    status: Literal["PASS", "FAIL", "SKIP"]
    seconds: float
    figures: Figures = field(default_factory=dict)
    reason: str = ""

    def line(self) -> str:
        """Return the result as one line."""
        figures = "  ".join(f"{name} {_number(value)}" for name, value in self.figures.items())
        return f"{self.name:22} {self.status}  {self.seconds:5.1f} s  {figures}{self.reason}"


def run_parts(parts: Sequence[Part], setting: Setting, minutes: float, file: Path | None) -> list[Result]:
    """Run the parts, print a line each, and write all results so far after each.

    Args:
        parts: In their order; one that is estimated to take longer than what is left is skipped.
        setting: Given to each.
        minutes: For all of them.
        file: Gets the results as JSON; None writes none.
    """
    start, results = time.monotonic(), []
    for part in parts:
        left = 60 * minutes - (time.monotonic() - start)
        if part.seconds > left and not setting.small:
            reason = f"needs about {part.seconds:.0f} s, and {max(left, 0):.0f} s are left"
            result = Result(part.name, "SKIP", 0.0, reason=reason)
        else:
            result = _run(part, setting)
        results.append(result)
        print(result.line(), flush=True)
        if file is not None:
            _write(file, setting, results)
    return results


def _run(part: Part, setting: Setting) -> Result:
    start = time.monotonic()
    try:
        with own_settings(setting):
            figures = part.run(setting)
            setting.wait()  # an error of the device is reported by the part that made it
        return Result(part.name, "PASS", time.monotonic() - start, figures)
    except NotPossible as reason:
        return Result(part.name, "SKIP", time.monotonic() - start, reason=str(reason))
    except CheckFailed as reason:
        return Result(part.name, "FAIL", time.monotonic() - start, reason=str(reason))
    except Exception as error:  # whatever it is, the other parts still have something to say
        frame = traceback.extract_tb(error.__traceback__)[-1]
        first = (str(error).strip() or "no message").splitlines()[0]
        at = f"{Path(frame.filename).name}:{frame.lineno}"
        reason_text = f"{type(error).__name__}: {first} ({at})"
        traceback.print_exc()
        return Result(part.name, "FAIL", time.monotonic() - start, reason=reason_text)


@contextmanager
def own_settings(setting: Setting) -> Iterator[None]:
    """Set torch up as a training does, with equal seeds in every part; set back what parts change."""
    torch.manual_seed(0)
    set_up(setting.device, None)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        if setting.is_cuda:
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.empty_cache()


def _write(file: Path, setting: Setting, results: Sequence[Result]) -> None:
    name = torch.cuda.get_device_name(setting.device) if setting.is_cuda else "CPU"
    about = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "small": setting.small}
    content = {**about, "parts": [asdict(result) for result in results]}
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, file)


def require(holds: bool, otherwise: str) -> None:
    """Fail the part with this reason unless something holds."""
    if not holds:
        raise CheckFailed(otherwise)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
