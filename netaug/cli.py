"""The command line: find the command, run it, turn a user's mistake into a message and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

import netaug
from netaug.commands import COMMANDS
from netaug.core.errors import ConfigError, NetaugError, UntrustedNetworkError
from netaug.core.escaping import EscapingFormatter, say
from netaug.core.limits import explain_limit
from netaug.core.one_command import one_command
from netaug.core.suggest import did_you_mean, nearest
from netaug.distributed.launch import SAFE_PATH, place
from netaug.distributed.launcher_watch import ends_with_launcher

EXIT_OK, EXIT_MISTAKE, EXIT_INTERRUPTED = 0, 2, 130
EXIT_PIPE = 141
"""What a shell shows of a tool whose reader went away, as with `| head`: 128 + SIGPIPE."""

_SHARED = ("train", "finetune")
"""Commands that run in several processes of one training."""

_HELP = """\
usage: netaug COMMAND [ARGUMENTS]

Makes tiny neural networks more accurate at no inference cost, by Network Augmentation.

commands:
{commands}

first steps:
  netaug recipes
  netaug train demo/digits --train.epochs 20
  netaug predict runs/demo-digits-netaug-seed0 picture.png
  netaug compare demo/digits --seeds 4 --jobs 2

`netaug COMMAND --help` shows its arguments with an example. `netaug --version` shows the version."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after `netaug`; those of the process by default.

    Returns:
        Exit code: 0 done, 2 a mistake of the user's, a limit of the system or a dead loader (message on stderr), 130
            Ctrl-C, 141 where the reader of the output went away; a training that was asked to stop: 128 + the
            signal's number.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.update(SAFE_PATH)  # of processes that torch and multiprocessing start
    first = _is_first_here()
    _set_up_logging(logging.WARNING if first else logging.ERROR)  # else each process prints the same warning
    try:
        return _flushed(_dispatch(words))
    except NetaugError as error:
        if isinstance(error, UntrustedNetworkError):
            error = error.with_command(["netaug", *words])
        if first if error.loud is None else error.loud:
            _say_error(error.report())
        return EXIT_MISTAKE
    except KeyboardInterrupt as stop:
        if getattr(stop, "loud", True):
            _say_error(str(stop) or "stopped")
        return int(getattr(stop, "exit_code", EXIT_INTERRUPTED))
    except BrokenPipeError:
        _drop(sys.stdout)
        return EXIT_PIPE
    except (OSError, MemoryError, RuntimeError, ImportError, SystemError) as error:
        limit = explain_limit(error)
        if limit is None:
            raise
        _drop(sys.stdout)
        _say_error(limit.report())
        return EXIT_MISTAKE


def _set_up_logging(level: int) -> None:
    """Print messages of this level and above on stderr, with control characters escaped."""
    handler = logging.StreamHandler()
    handler.setFormatter(EscapingFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=level)


def _flushed(code: int) -> int:
    """Return the exit code once all output is written: at Python's exit it would be too late for a message."""
    if sys.stdout is not None:  # closed by the shell's >&-
        sys.stdout.flush()
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:  # progress and warnings alone are lost
        _drop(sys.stderr)
    return code


def _say_error(text: str) -> None:
    """Print on stderr; where that cannot be written either, the exit code is all there is."""
    try:
        with _children_end_unnoticed():
            say(text, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


@contextlib.contextmanager
def _children_end_unnoticed() -> Iterator[None]:
    """Keep torch's handler of SIGCHLD from raising in the middle of a message about the loader that just died."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _drop(stream: TextIO) -> None:
    """Drop what is not written yet to a stream that takes no more, as Python would try again at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_first_here() -> bool:
    """Return whether this is the first of the processes of a training on this machine, or the only one."""
    try:
        return place().local_rank == 0
    except ConfigError:
        return True  # the code that needs the variables raises a message about them


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        rows = "\n".join(f"  {name:<16}{line}" for name, line in COMMANDS.items())
        say(_HELP.format(commands=rows))
        return EXIT_OK if words else EXIT_MISTAKE
    if words[0] in ("-V", "--version"):
        say(f"netaug {netaug.__version__}")
        return EXIT_OK
    if words[0] not in COMMANDS:
        close = nearest(words[0], COMMANDS, count=1)
        raise ConfigError(
            f"there is no command {words[0]!r}.",
            got=words[0],
            allowed=", ".join(COMMANDS),
            fix=did_you_mean(f"`netaug {name}`" for name in close) or "see `netaug --help`",
        )
    if words[0] not in _SHARED and place().size > 1:
        raise ConfigError(
            f"`netaug {words[0]}` runs in a single process.",
            got=f"process {place().rank + 1} of {place().size} that torchrun or srun started",
            allowed=f"several processes for: {', '.join(_SHARED)}",
            fix="start it without torchrun or srun",
        )
    watch = ends_with_launcher() if words[0] in _SHARED else contextlib.nullcontext()
    try:
        with watch, one_command():  # from before torch is imported, which takes seconds
            importlib.import_module(f"netaug.commands.{words[0].replace('-', '_')}").run(words[1:])
    except SystemExit as leave:  # --help of a command
        if isinstance(leave.__context__, BrokenPipeError):  # rich's answer to one
            raise leave.__context__ from None
        return int(leave.code or 0)
    return EXIT_OK
