"""Run the planned trainings as child processes, a few at a time, reusing what is finished."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from netaug.compare.board import Board, label
from netaug.compare.ledger import Ledger
from netaug.compare.records import RunRecord, epochs_logged, is_finished, read_config, read_record
from netaug.compare.request import CompareRequest
from netaug.compare.run_specs import RunSpec, train_arguments
from netaug.core import errors
from netaug.core.errors import ConfigError, NetaugError, RunFolderError
from netaug.core.lock import is_held
from netaug.distributed.launch import SAFE_PATH, alone, end_with_parent

_LAST_LINES = 12
# a child that is told to stop writes a checkpoint first
_PATIENCE_SECONDS = 15.0
_FORMER_SECONDS = 60.0
_TORCHRUN = re.compile(r"^[WE]\d{4} .*torch/distributed/elastic/", re.MULTILINE)
"""Where torchrun's own report of a failed training begins, after the output of the training."""
_REFUSED = 2  # exit code of a user's mistake


@dataclass
class _Child:
    spec: RunSpec
    folder: Path
    log: Path
    process: subprocess.Popen[bytes]
    resumed: bool = False
    planned_epochs: int = 0


class Runner:
    """Train runs as child processes, and return their records.

    Args:
        request: Recipe, overrides and number of jobs.
        ledger: Owner of the folders.
        board: Is told what starts, how far it is and how it ends.
        train_command: The command before the recipe.
        poll_seconds: Time between two polls of the children.
    """

    def __init__(
        self,
        request: CompareRequest,
        ledger: Ledger,
        board: Board,
        train_command: Sequence[str],
        poll_seconds: float = 0.2,
    ) -> None:
        self._request, self._ledger, self._board = request, ledger, board
        self._train_command, self._poll_seconds = list(train_command), poll_seconds
        self._warned: set[str] = set()
        self._proven = False  # whether some run found its settings, data and network good

    def run(self, specs: Sequence[RunSpec]) -> list[RunRecord]:
        """Train whatever of ``specs`` is not finished yet.

        The first run goes alone until it has found data and network good, so that a broken recipe is reported once.
        On any exception, Ctrl-C included, the children are ended before it is raised further; finished runs stay.

        Returns:
            One record per specification, in their order; failed runs have no summary.

        Raises:
            NetaugError: The first run refused to start; this is its own message.
        """
        self._board.planned(specs)
        records = self._finished_before(specs)
        waiting = deque(spec for spec in specs if spec not in records)
        children: list[_Child] = []
        with _sigterm_as_exit():
            try:
                while waiting or children:
                    self._start_next(waiting, children, records)
                    time.sleep(self._poll_seconds)
                    self._poll(children, records)
            finally:
                _end(children)
        return [records[spec] for spec in specs]

    def _finished_before(self, specs: Sequence[RunSpec]) -> dict[RunSpec, RunRecord]:
        """Return the records of runs that an earlier start of the comparison has finished."""
        records: dict[RunSpec, RunRecord] = {}
        for spec in specs:
            if is_finished(spec, self._ledger.folder(spec.name)):
                records[spec] = read_record(spec, self._ledger.folder(spec.name))
                self._board.reused(records[spec])
                self._proven = True
        return records

    def _start_next(
        self, waiting: deque[RunSpec], children: list[_Child], records: dict[RunSpec, RunRecord]
    ) -> None:
        """Start waiting runs while there is room; a run whose stage has no result gets its record at once."""
        # one alone until settings, data and network have proven good: a broken recipe fails once, not `jobs` times
        room = self._request.jobs if self._proven else 1
        while waiting and len(children) < room:
            spec = waiting.popleft()
            lacking = self._lacking(spec)
            if lacking:
                records[spec] = lacking
            else:
                children.append(self._start(spec))

    def _poll(self, children: list[_Child], records: dict[RunSpec, RunRecord]) -> None:
        """Show how far the children are, and record those that have ended."""
        for child in tuple(children):
            if child.process.poll() is None:
                self._watch(child)
                continue
            children.remove(child)
            if child.resumed and self._refused(child):
                # a checkpoint of an older version or of other settings: the run is trained again from the start
                children.append(self._start(child.spec, from_scratch=True))
            else:
                records[child.spec] = self._finish(child)

    def _lacking(self, spec: RunSpec) -> RunRecord | None:
        """Return the record of a run that cannot start because a stage before it has no result."""
        for stage, run in spec.needs(self._request.arms).items():
            folder = self._ledger.folder(run)
            if not (folder / "summary.json").exists():
                message = f"not started: it needs '{stage}', whose run {folder} has no result"
                record = RunRecord(spec, self._ledger.folder(spec.name), None, spec.lr, message=message)
                self._board.started(spec)
                self._board.finished(record, self._ledger.log(run))
                return record
        return None

    def _start(self, spec: RunSpec, *, from_scratch: bool = False) -> _Child:
        """Start a run, or resume it where a killed comparison left it, unless ``from_scratch``."""
        _wait_for_former_process(self._ledger.folder(spec.name))
        resumed = not from_scratch and self._ledger.unfinished(spec.name)
        resumed = resumed and spec.fits(read_config(self._ledger.folder(spec.name)))
        folder = self._ledger.folder(spec.name) if resumed else self._ledger.claim(spec.name)
        log, command = (
            self._ledger.log(spec.name),
            [*self._train_command, *train_arguments(self._request, spec)],
        )
        # a resumed run keeps what it printed before
        with log.open("ab" if resumed else "wb") as output:
            process = subprocess.Popen(
                command,
                # no child may wait for the terminal, or take keys from it
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # `python -m` would import from the working directory
                env=alone() | SAFE_PATH | {"OMP_NUM_THREADS": str(self._request.most_threads)},
                preexec_fn=end_with_parent(),
            )
        self._board.started(spec)
        return _Child(spec, folder, log, process, resumed)

    def _watch(self, child: _Child) -> None:
        if not child.planned_epochs:
            config = read_config(child.folder)  # written once training can begin
            child.planned_epochs = (config.get("train") or {}).get("epochs", 0)
        if child.planned_epochs:
            self._proven = True
            done = epochs_logged(child.folder)
            if done:
                self._board.advanced(child.spec, done / child.planned_epochs)

    def _refused(self, child: _Child) -> bool:
        """Return whether a run ended with a mistake of the user's; torchrun keeps the exit code to itself."""
        if self._request.nproc > 1 and child.process.returncode > 0:
            return known_error(child.log) is not None
        return child.process.returncode == _REFUSED

    def _finish(self, child: _Child) -> RunRecord:
        code = child.process.returncode
        message = last_lines(child.log)
        if code == 0 and is_finished(child.spec, child.folder):
            self._proven = True
            record = read_record(child.spec, child.folder)
        elif self._refused(child) and not self._proven and not read_config(child.folder):
            error = child_error(child.log)
            self._ledger.discard()
            raise error
        else:
            note = "ended without a summary of these settings" if code == 0 else f"exit code {code}"
            message = f"{note}\n{message}".strip()
            record = RunRecord(child.spec, child.folder, None, child.spec.lr, message=message)
        self._board.finished(record, child.log)
        self._pass_on_warnings(child)
        return record

    def _pass_on_warnings(self, child: _Child) -> None:
        """Show the warnings of a run, which only its log has; each once, because most runs warn of the same."""
        for line in re.findall(r"^WARNING: .*", _clean(child.log), re.MULTILINE):
            if line not in self._warned:
                self._warned.add(line)
                self._board.say(f"{label(child.spec)}: {line}")


def _wait_for_former_process(folder: Path) -> None:
    """Wait for a training that a killed comparison left behind: it was told to stop, but writes a checkpoint first.

    Raises:
        RunFolderError: It has not ended after a minute, so its comparison still runs.
    """
    until = time.monotonic() + _FORMER_SECONDS
    while is_held(folder):
        if time.monotonic() > until:
            raise RunFolderError(
                f"another process is training in '{folder}'.",
                got="most likely the same comparison, started before",
                fix="wait for it, stop it, or give another --out",
            )
        time.sleep(0.1)


def last_lines(log: Path) -> str:
    """Return the last lines of what a run printed."""
    lines = _clean(log).rstrip().splitlines()
    return "\n".join(lines[-_LAST_LINES:])


def child_error(log: Path) -> NetaugError:
    """Return the error that ended a run, of its class and with its text, read back from its log."""
    return known_error(log) or ConfigError("`netaug train` refused these arguments:\n" + last_lines(log))


def known_error(log: Path) -> NetaugError | None:
    """Return the last netaug error that a run printed; None without one."""
    text = _clean(log).rstrip()
    # the last one: earlier ones were printed by something that recovered
    for match in reversed(list(re.finditer(r"^(\w+): (?=\S)", text, re.MULTILINE))):
        kind = getattr(errors, match[1], None)
        if isinstance(kind, type) and issubclass(kind, NetaugError):
            return kind(text[match.end() :])
    return None


def _clean(log: Path) -> str:
    # bars go back to the start of their line by a carriage return
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return _TORCHRUN.split(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text), maxsplit=1)[0]


def _end(children: Sequence[_Child]) -> None:
    # all are told before any is waited for, because each writes a checkpoint first
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    for child in children:
        try:
            child.process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that no training is left behind without its parent."""

    def leave(number: int, frame: FrameType | None) -> None:
        # as a shell counts exit codes of signals
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # signal handlers can be set in the main thread only
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
