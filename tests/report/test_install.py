"""Where chromium cannot be installed, the target says why and the run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("install-chromium")
_TOOLS = ("bash", "sh", "mktemp", "rm", "timeout", "grep", "echo")


def _run(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """The script where there are no programs but the shell's, and those given as scripts."""
    for name in _TOOLS:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    for name, text in programs.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!{shutil.which('sh')}\n{text}\n")
        path.chmod(0o755)
    environment = {"PATH": str(folder), "TMPDIR": str(folder)} | {"LC_ALL": os.environ.get("LC_ALL", "C")}
    return subprocess.run(
        [str(shutil.which("bash")), str(SCRIPT)], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("programs", "why"),
    [
        ({}, "not a Debian system"),
        ({"apt_get": "exit 0", "id": "echo 1000"}, "needs root"),
        (
            {"apt_get": "echo 'E: Could not resolve the host'; exit 100", "id": "echo 0"},
            "E: Could not resolve the host",
        ),
        ({"apt_get": "exit 0", "id": "echo 0"}, "brings no chromium"),
    ],
)
def test_what_is_in_the_way_is_said_and_skipped(tmp_path: Path, programs: dict[str, str], why: str) -> None:
    done = _run(tmp_path, **programs)
    assert done.returncode == 0
    assert why in done.stderr
    assert "are skipped" in done.stderr


def test_nothing_is_done_where_there_is_one(tmp_path: Path) -> None:
    done = _run(tmp_path, chromium="exit 0", apt_get="exit 1", id="echo 0")
    assert (done.returncode, done.stderr) == (0, "")
