"""A terminal gets a bar, everything else one plain line per epoch."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from netaug.config import TrainConfig
from netaug.core.display import duration
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


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (8040, "2 h 14 min")]
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words
