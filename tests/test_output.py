"""Output that nobody takes: a closed pipe, a full disk."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from netaug.cli import EXIT_MISTAKE, EXIT_PIPE
from netaug.train.console import TrainingConsole

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="has no /dev/full")


def run(*words: str, stdout: int, buffered: bool = True) -> tuple[int, str]:
    """Exit code and stderr of a command with this file descriptor as its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {} if buffered else {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "netaug", *words]
    done = subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, env=environment, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("words", [("recipes",), ("--help",)])
def test_a_closed_pipe_ends_a_command_as_it_ends_other_tools(words: tuple[str, ...], buffered: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run(*words, stdout=writer, buffered=buffered) == (EXIT_PIPE, "")
    finally:
        os.close(writer)


@needs_full
@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("words", [("recipes",), ("--version",)])
def test_an_output_that_cannot_be_written_is_one_message(words: tuple[str, ...], buffered: bool) -> None:
    with FULL.open("w") as full:
        code, said = run(*words, stdout=full.fileno(), buffered=buffered)
    assert code == EXIT_MISTAKE
    assert said.startswith("ResourceError: the output cannot be written.")
    assert "Traceback" not in said
    assert "Exception ignored" not in said


class Refusing(io.StringIO):
    """A stream that takes nothing."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_progress_that_cannot_be_written_is_lost_and_the_training_goes_on() -> None:
    console = Console(file=Refusing(OSError(28, "No space left on device")))
    TrainingConsole(1, 1, console).say("epoch 1")


def test_progress_into_a_closed_pipe_ends_the_training() -> None:
    console = Console(file=Refusing(BrokenPipeError()))
    with pytest.raises((BrokenPipeError, SystemExit)):
        TrainingConsole(1, 1, console).say("epoch 1")
