"""`netaug runs` shows a line a run, for people and for programs, and starts at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.commands.runs import age, size
from tests.runs.test_listing import make_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    now = time.time()
    make_run(tmp_path / "new", (None, 60.0, 50.0), when=now - 7300)
    make_run(tmp_path / "set" / "old", when=now - 3 * 86400)
    damaged = make_run(tmp_path / "bad", (50.0,), when=now - 4 * 86400)
    (damaged / "config.yaml").unlink()
    os.utime(damaged, (now - 4 * 86400,) * 2)
    return tmp_path


def test_there_is_a_line_a_run_under_titles(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    assert main(["runs", str(runs)]) == 0
    titles, *rows = capsys.readouterr().out.splitlines()
    assert titles.split() == [
        "run",
        "state",
        *("network", "data", "task", "arm", "seed", "epoch", "score", "best", "last", "size", "written"),
    ]
    assert rows[0].split() == [
        *("new", "stopped", "micronet", "digits", "classify", "netaug", "7", "3/4"),
        *("top1", "60.00", "50.00", "3", "KB", "2", "h", "ago"),
    ]
    assert rows[1].split() == [
        *("set/old", "failed", "micronet", "digits", "classify", "netaug", "7", "0/4"),
        *("-", "-", "-", "3", "KB", "3", "d", "ago"),
    ]
    assert rows[2].split() == [*("bad", "unreadable:", "no", "config.yaml;", "seen", "4", "d", "ago")]
    assert len({len(line) for line in (titles, *rows[:2])}) == 1, "columns stand under their titles"


def test_programs_get_the_same_as_json(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    assert main(["runs", str(runs), "--json"]) == 0
    first, second, third = json.loads(capsys.readouterr().out)
    assert (first["path"], first["state"], first["epochs_done"]) == (str(runs / "new"), "stopped", 3)
    assert (first["best"], second["best"]) == (60.0, None)
    assert (third["state"], third["problem"]) == ("unreadable", "no config.yaml")


def test_the_advice_of_a_single_run_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", (50.0,))
    (run / "summary.json").write_text(json.dumps({"advice": "a sentence"}))
    assert main(["runs", str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "a sentence"


def test_nothing_there_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path}\n"
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 2
    assert "RunFolderError: there is no folder 'runs'" in capsys.readouterr().err


def test_it_starts_without_torch(runs: Path) -> None:
    code = "import sys; from netaug.cli import main; main(['runs', sys.argv[1]]); assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, str(runs)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "stopped" in done.stdout


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 KB"), (12_300, "12 KB"), (3.44e6, "3.4 MB"), (5e9, "5.0 GB")]
)
def test_sizes_have_one_unit(count: int, words: str) -> None:
    assert size(int(count)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (45, "45 s"), (180, "3 min"), (7300, "2 h"), (3 * 86400, "3 d")],
)
def test_ages_have_one_unit(seconds: float, words: str) -> None:
    assert age(seconds) == words
