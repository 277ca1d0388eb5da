"""What lies in the working directory is no module of ours, nor of any process that we start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.compare.engine import TORCHRUN, TRAIN_COMMAND
from netaug.distributed.launch import SAFE_PATH, alone

PATH = {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def _trap(folder: Path) -> None:
    """Files named like modules of the standard library, torch's and ours; importing one leaves a mark."""
    for name in ("secrets", "random", "runpy_", "json", "yaml", "netaug", "wandb", "multiprocessing"):
        mark = f"open({str(folder / 'IMPORTED')!r}, 'a').write({name!r})\nraise SystemExit(9)"
        (folder / f"{name}.py").write_text(mark)


@pytest.mark.parametrize("command", [[*TRAIN_COMMAND[:3], "--version"], [*TORCHRUN[:3], "--help"]])
def test_children_of_a_comparison_import_nothing_from_there(tmp_path: Path, command: list[str]) -> None:
    _trap(tmp_path)
    environment = alone() | SAFE_PATH | PATH
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "IMPORTED").exists()


def test_processes_that_torchrun_starts_drop_the_working_directory(tmp_path: Path) -> None:
    """Torchrun runs ``python -u -m netaug``, in whatever environment the user has."""
    (tmp_path / "yaml.py").write_text("raise SystemExit(9)")
    environment = {name: value for name, value in os.environ.items() if name not in SAFE_PATH} | PATH
    done = subprocess.run(
        [sys.executable, "-u", "-m", "netaug", "recipes"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "demo/digits" in done.stdout


def test_the_command_line_keeps_its_children_off_the_working_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    assert main(["--version"]) == 0
    assert os.environ["PYTHONSAFEPATH"] == "1"
