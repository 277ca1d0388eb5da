"""Read a comparison from its folder, without any training: finished, still running, or stopped.

It goes through the plan as a comparison does, with a reader in place of the trainer, and changes no record.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netaug.compare.engine import outcome
from netaug.compare.ledger import Ledger
from netaug.compare.records import RunRecord, is_finished, read_record
from netaug.compare.request import CompareRequest
from netaug.compare.results import Comparison
from netaug.compare.run_specs import RunSpec
from netaug.compare.runner import last_lines
from netaug.core.errors import RunFolderError
from netaug.core.existing import COMPARISON_NAME

_FAILURE = re.compile(r"^(\w+Error\b|Traceback|Killed)", re.MULTILINE)


@dataclass(frozen=True)
class Reread:
    """Hold what was read from a comparison's folder.

    Args:
        comparison: Of the runs that have ended.
        missing: Names of the runs that have not, as far as they are known.
    """

    comparison: Comparison
    missing: tuple[str, ...]


def command_of(folder: Path) -> list[str]:
    """Return the words behind ``netaug compare`` that a comparison's folder was made with.

    Raises:
        RunFolderError: Its record cannot be read.
    """
    path = folder / COMPARISON_NAME
    try:
        arguments = shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])
        if arguments[:2] != ["netaug", "compare"]:
            raise ValueError(f"the command is {shlex.join(arguments[:2])!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunFolderError(f"the record of the comparison, '{path}', cannot be read.", got=error) from error
    return arguments[2:]


def reread(request: CompareRequest) -> Reread:
    """Return the comparison of the runs in ``request.out`` that have ended; changes nothing there.

    Args:
        request: What was asked, its plan resolved.

    Raises:
        RunFolderError: No run of it has finished.
    """
    reader = _Reader(request, Ledger(request, {}, only_reads=True))
    # otherwise the outcome would be that all runs failed
    if not any(request.out.glob("*/summary.json")):
        raise RunFolderError(
            f"no run of the comparison in '{request.out}' has finished yet.",
            fix="wait for the first, or resume the comparison: " + request.command(),
        )
    comparison = outcome(request, reader.ledger, reader.run)
    missing = tuple(dict.fromkeys(reader.missing))
    if missing:
        verdict, known = comparison.verdict, len(missing) + len(comparison.runs)
        hint = f"Not finished: {len(missing)} of {known} known runs have not ended and are left out."
        comparison = replace(comparison, verdict=replace(verdict, hints=(hint, *verdict.hints)))
    return Reread(comparison, missing)


class _Reader:
    """Return the records of existing runs, in place of the runner that trains them."""

    def __init__(self, request: CompareRequest, ledger: Ledger) -> None:
        self.ledger = ledger
        self.missing: list[str] = []
        self._request = request
        self._failed: set[str] = set()

    def run(self, specs: Sequence[RunSpec]) -> list[RunRecord]:
        """Return the records of the runs that have ended, well or not."""
        records = []
        for spec in specs:
            record = self._record(spec)
            if record is None:
                self.missing.append(spec.name)
            else:
                records.append(record)
                if record.summary is None:
                    self._failed.add(spec.name)
        return records

    def _record(self, spec: RunSpec) -> RunRecord | None:
        folder, log = self.ledger.folder(spec.name), self.ledger.log(spec.name)
        if is_finished(spec, folder):
            return read_record(spec, folder)
        for stage, run in spec.needs(self._request.arms).items():
            if run in self._failed:
                message = f"not started: it needs '{stage}', whose run {run} has no result"
                return RunRecord(spec, folder, None, spec.lr, message=message)
        message = last_lines(log) if log.is_file() else ""
        # a run without a summary may still train: only an error in its log tells that it has failed
        return RunRecord(spec, folder, None, spec.lr, message=message) if _FAILURE.search(message) else None
