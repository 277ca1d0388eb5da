"""A rank whose torchrun is gone ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import signal, sys, threading
from netaug.distributed import launcher_watch as launcher
launcher._POLL_SECONDS, launcher._PATIENCE_SECONDS = 0.02, 0.1
{handler}
with launcher.ends_with_launcher():
    print("ready", flush=True)
    threading.Event().wait(60)
"""
LAUNCHER = """
import os, subprocess, sys
child = subprocess.Popen({command}, env={{**os.environ, {variable!r}: "1"}})
print(child.pid, flush=True)
child.wait()
"""


def ended(process: int) -> bool:
    """Whether a process is gone, or waits for somebody to read its exit code."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("through_a_shell", [False, True])
@pytest.mark.parametrize(
    "handler", ["", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])"], ids=["free", "blocked"]
)
def test_a_rank_ends_when_its_launcher_is_killed(handler: str, through_a_shell: bool) -> None:
    """Also where SIGTERM is not handled, as by a main thread that waits in a collective."""
    command = [sys.executable, "-c", PROGRAM.format(handler=handler)]
    if through_a_shell:
        command = ["sh", "-c", '"$0" "$@"; exit $?', *command]
    code = LAUNCHER.format(command=command, variable="TORCHELASTIC_RUN_ID")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as launcher:
        assert launcher.stdout is not None
        lines = {launcher.stdout.readline().strip(), launcher.stdout.readline().strip()}
        child = int((lines - {"ready"}).pop())
        launcher.kill()
        launcher.wait()
        end = time.monotonic() + 200
        while not ended(child):
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                pytest.fail("the rank was left behind")
            time.sleep(0.01)
