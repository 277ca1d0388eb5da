"""A terminal gets a bar, everything else one plain line per epoch."""

from __future__ import annotations

import io
from unittest.mock import Mock

import pytest
from rich.console import Console

from netaug.config import TrainConfig
from netaug.core.display import duration, rough_duration
from netaug.elastic.plain_network import BaseOnly
from netaug.train.console import TrainingConsole
from tests import tiny
from tests.train.fakes import trainer


def shown(*, terminal: bool) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, highlight=False)
    network = BaseOnly(tiny.build("plain"), macs=1)
    config = TrainConfig(epochs=2, warmup_epochs=0, lr=0.01, eval_every=2)
    with TrainingConsole(2, 3, console) as view:
        for record in trainer(network, config, steps=3).fit(view.step):
            view.epoch(record)
    return output.getvalue()


def test_plain_output_is_a_line_per_epoch() -> None:
    lines = shown(terminal=False).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss ")
    assert "val" not in lines[0]
    for word in ("top-1", "val top-1", "lr", "img/s", "ETA 0 s"):
        assert word in lines[1]
    assert "\x1b" not in "".join(lines)


def test_a_terminal_sees_a_bar_with_speed_and_time_left() -> None:
    text = shown(terminal=True)
    assert "━" in text
    for word in ("epoch 1/2", "loss", "top-1", "img/s", "ETA"):
        assert word in text


def estimated(seconds: float, *, epochs: int = 30, before: int = 0, terminal: bool = False) -> list[str]:
    """The lines about the whole duration in an epoch of 100 steps, of which the first three take 20 times as long."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, highlight=False)
    tally = Mock(images=64, **{"metrics.return_value": {"loss": 1.0}})
    now = 0.0
    with TrainingConsole(epochs, 100, console, lambda: now) as view:
        view.start_at(before)
        for done in range(1, 51):
            now += seconds if done > 3 else 20 * seconds
            view.step(before // 100, before % 100 + done, tally)
    return [line for line in output.getvalue().splitlines() if "about" in line]


@pytest.mark.parametrize("terminal", [False, True])
def test_how_long_it_takes_is_said_once_and_soon(terminal: bool) -> None:
    (line,) = estimated(0.5, terminal=terminal)
    assert "about 25 min for the 30 epochs, 50 s each, without evaluation" in line


def test_a_resumed_run_says_how_long_the_rest_takes() -> None:
    (line,) = estimated(0.5, before=2_000)
    assert "about 8 min for the 10 epochs that are left, 50 s each" in line


def test_a_training_of_seconds_has_no_estimate() -> None:
    assert estimated(1e-4) == []
    assert estimated(0.05, epochs=1) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (7.2, "7 s"),
        (23, "25 s"),
        (57, "1 min"),
        (700, "12 min"),
        (9_100, "2.5 h"),
        (2e5, "2.3 days"),
    ],
)
def test_estimates_are_round(seconds: float, words: str) -> None:
    assert rough_duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (8040, "2 h 14 min")]
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words
