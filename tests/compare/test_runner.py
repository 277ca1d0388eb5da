"""Child processes never outlive the comparison, and their messages survive."""

import io
import os

import pytest
from rich.console import Console

from netaug.compare.board import Board
from netaug.compare.ledger import Ledger
from netaug.compare.request import Choice
from netaug.compare.run_specs import final_runs
from netaug.compare.runner import Runner, child_error, last_lines
from netaug.core.errors import ConfigError, DataError
from tests.compare.helpers import FAKE_TRAIN, request


class InterruptingBoard(Board):
    """The user presses Ctrl-C when the hanging run has logged an epoch."""

    def advanced(self, spec, fraction):
        if (self.out / spec.name / "pid").exists():
            raise KeyboardInterrupt


def test_ctrl_c_ends_the_children_and_keeps_what_is_finished(tmp_path):
    asked = request(tmp_path / "out", "--fake.hang=baseline:1", jobs=1)
    board = InterruptingBoard({"netaug": 2, "baseline": 2}, 1, Console(file=io.StringIO()))
    board.out = asked.out
    runner = Runner(asked, Ledger(asked, {}), board, FAKE_TRAIN, poll_seconds=0.01)
    with pytest.raises(KeyboardInterrupt):
        runner.run(final_runs(asked, {"netaug": Choice(), "baseline": Choice()}))
    pid = int((asked.out / "baseline-seed1" / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert sorted(path.parent.name for path in asked.out.glob("*/summary.json")) == [
        "baseline-seed0",
        "netaug-seed0",
        "netaug-seed1",
    ]


def test_child_error_has_the_kind_and_words_of_the_child(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("epoch 1\r\x1b[31mDataError: no images.\x1b[0m\n  got:     /x\n  fix:     look: there\n")
    error = child_error(log)
    assert type(error) is DataError
    assert error.report() == "DataError: no images.\n  got:     /x\n  fix:     look: there"


def test_child_error_without_a_known_kind_shows_the_last_lines(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("usage: netaug\nerror: unrecognized arguments: --nope\n")
    error = child_error(log)
    assert type(error) is ConfigError
    assert "unrecognized arguments: --nope" in str(error)


def test_what_torchrun_adds_is_left_out(tmp_path):
    log = tmp_path / "run.log"
    log.write_text(
        "DataError: no images.\n  got:     /x\n"
        "W1124 12:50:35.730000 13499 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 1\n"
        "Traceback (most recent call last):\n  File x\ntorch.distributed.elastic.errors.ChildFailedError: \n"
    )
    assert child_error(log).report() == "DataError: no images.\n  got:     /x"
    assert last_lines(log).endswith("/x")


def test_a_mistake_is_said_once_also_under_torchrun(tmp_path):
    """Torchrun exits with 1 whatever its processes say."""
    asked = request(tmp_path / "out", "--fake.refuse=1", jobs=1, nproc=2)
    board = Board({"netaug": 2, "baseline": 2}, 1, Console(file=io.StringIO()))
    command = ("sh", "-c", '"$@" || exit 1', "sh", *FAKE_TRAIN)
    with pytest.raises(ConfigError, match="there is no such recipe"):
        Runner(asked, Ledger(asked, {}), board, command, poll_seconds=0.01).run(
            final_runs(asked, {"netaug": Choice(), "baseline": Choice()})
        )
    assert not asked.out.exists()
