"""The check for GPUs runs on the CPU too: every part reports, and a failing or late part does not end the others."""

from __future__ import annotations

import faulthandler
import json
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import PARTS, main
from benchmarks.gpu.parts import CheckFailed, Figures, NotPossible, Part, Setting, run_parts

CPU = torch.device("cpu")


TESTED_ELSEWHERE = {
    *("loader workers", "throughput", "compiled base pass", "dispatches", "resume", "two processes"),
}
"""Parts whose code has tests of its own, and that take three quarters of the time."""


@pytest.mark.slow
def test_every_part_reports(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    file = tmp_path / "gpu.json"
    names = [part.name for part in PARTS if part.name not in TESTED_ELSEWHERE]
    try:
        code = main(["--small", "--device", "cpu", "--json", str(file), "--only", *names])
    finally:
        faulthandler.cancel_dump_traceback_later()  # else its deadline would end the process of all tests
    printed = capfd.readouterr().out
    assert code == 0, printed
    parts = json.loads(file.read_text())["parts"]
    assert [part["name"] for part in parts] == names
    for part in parts:
        assert part["status"] == "PASS", part
        assert part["figures"]
        assert f"{part['name']:22} PASS" in printed


def _passes(setting: Setting) -> Figures:
    return {"figure": 1.0}


def _fails(setting: Setting) -> Figures:
    raise CheckFailed("two is not one")


def _breaks(setting: Setting) -> Figures:
    raise RuntimeError("out of memory\nfurther lines")


def _cannot(setting: Setting) -> Figures:
    raise NotPossible("one device")


def test_a_part_that_fails_does_not_end_the_others(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "results.json"
    parts = [Part(f.__name__, 1.0, f) for f in (_fails, _breaks, _cannot, _passes)]
    results = run_parts(parts, Setting(CPU, small=False), 1.0, file)
    assert [result.status for result in results] == ["FAIL", "FAIL", "SKIP", "PASS"]
    assert results[0].reason == "two is not one"
    assert results[1].reason.startswith("RuntimeError: out of memory (test_gpu.py:")
    assert results[2].reason == "one device"
    assert [part["status"] for part in json.loads(file.read_text())["parts"]] == [
        "FAIL",
        "FAIL",
        "SKIP",
        "PASS",
    ]
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_part_that_does_not_fit_is_skipped_and_says_so() -> None:
    parts = [Part("long", 300.0, _passes), Part("short", 1.0, _passes)]
    results = run_parts(parts, Setting(CPU, small=False), 1.0, None)
    assert [result.status for result in results] == ["SKIP", "PASS"]
    assert "needs about 300 s" in results[0].reason
