"""A jump of the loss is said once; noise and slow changes are not."""

from __future__ import annotations

import random

from netaug.train.spikes import WINDOW, SpikeWatch


def said(losses: list[float]) -> list[int]:
    watch = SpikeWatch()
    return [step for step, loss in enumerate(losses) if watch.add(step, loss) is not None]


def noisy(count: int) -> list[float]:
    drawn = random.Random(0)
    return [2.0 - 0.5 * step / count + drawn.gauss(0, 0.05) for step in range(count)]


def test_a_spike_is_said_once_and_then_again_after_the_window() -> None:
    losses = noisy(500)
    for step in (150, 151, 160, 400):
        losses[step] = 9.0
    assert said(losses) == [150, 400]


def test_noise_and_the_first_steps_are_not_spikes() -> None:
    assert said(noisy(2000)) == []
    assert said([1.0] * (WINDOW - 1) + [50.0]) == []
    assert said([1.0] * WINDOW + [50.0]) == [WINDOW]


def test_nearly_constant_losses_may_move_a_little() -> None:
    """Their deviation is nothing, so a jump has to be half of the mean too."""
    assert said([1.0] * WINDOW + [1.4]) == []
    assert said([1.0] * WINDOW + [1.6]) == [WINDOW]


def test_the_rule_is_six_deviations() -> None:
    wave = [1.0 + 0.1 * (-1) ** step for step in range(WINDOW)]  # mean 1, deviation 0.1
    assert said([*wave, 1.59]) == []
    assert said([*wave, 1.61]) == [WINDOW]


def test_the_sentence_says_where_and_how_much() -> None:
    watch = SpikeWatch()
    sentences = [watch.add(step, 1.0 if step < 120 else 7.0) for step in range(121)]
    assert sentences[-1] is not None
    assert "jumps to 7 at step 120" in sentences[-1]
