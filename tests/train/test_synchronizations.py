"""A step of the trainer reads nothing that it computes: on a GPU each reading would wait for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.gpu.parts import Setting
from benchmarks.gpu.synchronizations import Waits, readings_of, synchronizations, trainer_of
from netaug import AugmentConfig, augment
from netaug.train.metrics import Tally
from netaug.train.observers import Observer
from tests import tiny

CPU = torch.device("cpu")


def test_steps_of_all_forms_read_nothing() -> None:
    assert synchronizations(Setting(CPU, small=True))["steps"] == 9


class _Reading(Observer):
    def on_microbatch(self, pass_: Any, microbatch: Any, outputs: Any, *others: Any) -> None:
        outputs.sum().item()


def test_an_observer_that_reads_would_be_seen() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(2, 64), AugmentConfig(width=(1.0, 2.0)))
    trainer, batch = trainer_of(supernet, CPU)
    trainer._observers.append(_Reading())
    tally = Tally(trainer.task, trainer.network)
    assert readings_of(trainer, batch, lambda: trainer.step(0, batch, tally)) == ["_local_scalar_dense"] * 2


READINGS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "tolist": lambda x: (x + 1).tolist(),
    "numpy": lambda x: (x + 1).numpy(),
    "bool": lambda x: bool((x > 0).any()),
    "mask": lambda x: x[x > 0],
    "equal": lambda x: torch.equal(x, x + 1),
}


@pytest.mark.parametrize("name", READINGS)
def test_every_way_to_read_is_seen(name: str) -> None:
    values = torch.arange(4.0)
    with Waits([values]) as waits:
        READINGS[name](values)
    assert waits.readings


def test_what_is_drawn_on_the_host_may_be_read() -> None:
    values = torch.arange(4.0)
    with Waits([values]) as waits:
        count = int(torch.randint(1, 4, ()))
        (values * count).sum()
    assert not waits.readings
