"""A comparison that is killed at any moment and started again ends with the same table."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 300.0  # seconds for one start, on a machine with much other work

PLAN = """
recipe: demo/digits
settings: {data.limit: 128, train.epochs: 4, train.warmup_epochs: 1, train.checkpoint_every: 1, train.eval_every: 4}
stages:
  teacher: {once: true, set: {netaug.enabled: false, model.options.stem: 8}}
reference: baseline
arms:
  baseline: {set: {netaug.enabled: false}}
  netaug-kd: {set: {distill: {teacher: "{run:teacher}", temperature: 2}}}
budgets: []
"""


@pytest.fixture
def begin():
    """Starts a process that leads a group of its own, which does not outlive the test."""
    started = []

    def start(command):
        started.append(_start(command))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(command):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=nothing,
        stderr=nothing,
        start_new_session=True,
    )


def marks(out):
    """How much there is: run folders, epochs, summaries."""
    lines = sum(path.read_bytes().count(b"\n") for path in out.glob("*/metrics.jsonl"))
    return lines + len(list(out.glob("*/config.yaml"))) + len(list(out.glob("*/summary.json")))


def kill_at_random(begin, command, out, dice):
    """Start, wait until something has been done, kill a random moment later: all processes, or the first alone."""
    before, process = marks(out), begin(command)
    wanted, until = before + dice.randint(1, 4), time.monotonic() + DEADLINE
    while marks(out) < wanted and process.poll() is None:
        assert time.monotonic() < until, "the comparison got nowhere"
        time.sleep(0.005)
    time.sleep(dice.uniform(0, 0.1))
    if process.poll() is None:
        (os.killpg if dice.random() < 0.7 else os.kill)(process.pid, signal.SIGKILL)
    return process.wait(DEADLINE) == -signal.SIGKILL


def rows_of(out, *without):
    with (out / "compare.csv").open(encoding="utf-8") as file:
        return [{key: row[key] for key in row if key not in without} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_killed_at_random_the_table_is_the_same(tmp_path, begin):
    out, whole = tmp_path / "a" / "out", tmp_path / "b" / "out"
    for folder in (out, whole):
        folder.parent.mkdir()
    dice = random.Random(0)
    command = ["-m", "tests.compare.start", str(out), "0.01"]
    kills = int(os.environ.get("NETAUG_RANDOM_KILLS", "2"))
    assert sum(kill_at_random(begin, command, out, dice) for _ in range(kills)) >= kills / 2
    assert begin(command).wait(DEADLINE) == 0
    assert begin(["-m", "tests.compare.start", str(whole), "0"]).wait(DEADLINE) == 0
    assert (out / "table.txt").read_text() == (whole / "table.txt").read_text()
    assert rows_of(out) == rows_of(whole)
    assert len(rows_of(out)) == 1 + 4 * 3 + 3


@pytest.mark.slow
@pytest.mark.skipif(
    "NETAUG_RANDOM_KILLS" not in os.environ, reason="a minute of real trainings: `make kill-test` runs it"
)
def test_a_real_plan_killed_at_random_ends_with_the_same_results(tmp_path, begin):
    (tmp_path / "plan.yaml").write_text(PLAN)
    outs = tmp_path / "killed", tmp_path / "whole"
    words = ["-m", "netaug", "compare", str(tmp_path / "plan.yaml"), "--seeds", "1", "--jobs", "2"]
    commands = [[*words, "--threads", "1", "--out", str(out)] for out in outs]
    assert kill_at_random(begin, commands[0], outs[0], random.Random(0))
    assert [begin(command).wait(DEADLINE) for command in commands] == [0, 0]
    killed, whole = (rows_of(out, "train_seconds") for out in outs)
    assert killed == whole
    assert [row["arm"] for row in whole] == ["teacher", "baseline", "netaug-kd"]
    assert all(row["status"] == "ok" and float(row["val_top1"]) > 5 for row in whole)
