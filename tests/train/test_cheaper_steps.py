"""Steps with a cheaper augmented pass, or none: what learns, what rests, and what is counted."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.elastic.inspect import describe
from netaug.train.loop import Trainer
from netaug.train.tally import Tally
from tests import tiny
from tests.train.fakes import trainer

WIDER = {"width": (1.0, 2.0), "expand": (1.0, 3.0), "alpha": 0.5, "seed": 1}


def started(
    name: str = "residual", optimizer: str = "sgd", momentum: float = 0.9, **settings: Any
) -> Trainer:
    """A trainer of four steps whose supernet has these settings."""
    supernet = augment(tiny.build(name), tiny.images(), AugmentConfig(**{**WIDER, **settings}))
    config = TrainConfig(
        epochs=2, lr=0.1, warmup_epochs=0, momentum=momentum, weight_decay=0.1, optimizer=optimizer
    )
    supernet.train()
    return trainer(supernet, config, steps=2)


def take(subject: Trainer, step: int) -> Tally:
    tally = Tally(subject.task, subject.network)
    subject.step(step, subject.data.train.batches[step % 2], tally)  # type: ignore[attr-defined]
    return tally


def added_state(subject: Trainer) -> dict[str, Tensor]:
    """The added weights and all that the optimizer keeps of them."""
    found = {}
    supernet = subject.network
    assert isinstance(supernet, Supernet)
    for name, parameter in supernet.added.items():
        found[name] = parameter.detach().clone()
        for key, value in subject.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{name} {key}"] = value.clone()
    return found


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lamb", "rmsproptf"])
def test_added_weights_rest_in_steps_without_an_augmented_pass(optimizer: str) -> None:
    """Neither decay nor momentum moves them, and their optimizer states stay; the next augmented pass does."""
    subject = started(optimizer=optimizer, augment_every=2)
    take(subject, 0)
    before, base = added_state(subject), copy.deepcopy(subject.network.base.state_dict())
    tally = take(subject, 1)
    after = added_state(subject)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(base["stem.0.weight"], subject.network.base.state_dict()["stem.0.weight"])
    assert tally.macs == 4 * subject.network.macs({})
    assert tally.widths() == {}
    take(subject, 2)
    moved = added_state(subject)
    assert any(not torch.equal(after[name], moved[name]) for name in after)


def test_every_kth_step_has_the_draw_that_it_has_without_the_setting() -> None:
    often = started().network
    seldom = started(augment_every=3).network
    assert isinstance(often, Supernet)
    for step in range(7):
        names = [(one.name, one.last, dict(one.widths)) for one in seldom.passes(step, 0.0)]
        wanted = [(one.name, one.last, dict(one.widths)) for one in often.passes(step, 0.0)]
        assert names == (wanted if step % 3 == 0 else [("base", True, often.plan.base_widths)])
        assert seldom.widens(step, 0.0) == (step % 3 == 0)


def test_gradients_of_a_step_between_are_those_of_the_base_network_alone() -> None:
    """Reference: the caller's own network, float64."""
    network, images = tiny.build("inverted").double(), tiny.images().double()
    supernet = augment(network, images, AugmentConfig(augment_every=2, width=(1.0, 2.0)))
    for pass_ in supernet.passes(5, 0.0):
        (pass_.weight * F.cross_entropy(supernet(images), tiny.labels())).backward()
    F.cross_entropy(network(images), tiny.labels()).backward()
    for name, parameter in network.named_parameters():
        assert torch.equal(supernet.base.get_parameter(name).grad, parameter.grad)  # type: ignore[arg-type]
    assert all(parameter.grad is None for parameter in supernet.added.values())


def test_before_the_start_only_the_base_network_learns() -> None:
    """The steps after it have the draws that they have without the setting."""
    subject, always = started(start=0.5), started().network
    network = subject.network
    before = added_state(subject)
    for step in range(2):
        assert take(subject, step).widths() == {}
    now = added_state(subject)
    assert all(torch.equal(before[name], now[name]) for name in before)
    assert take(subject, 2).widths() == always.sample(2, 0.5)  # type: ignore[union-attr]
    assert not torch.equal(now["stem/0/weight[0]"], network.added["stem/0/weight[0]"])  # type: ignore[union-attr,operator]
    assert [network.widens(0, progress) for progress in (0.0, 0.49, 0.5, 0.51)] == [False, False, True, True]


def test_channels_are_not_sorted_before_the_added_ones_have_learned() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(start=0.4))
    events: list[object] = []
    config = TrainConfig(epochs=5, warmup_epochs=0, lr=0.01)
    subject = trainer(supernet, config, steps=1, sort_until=0.9)
    supernet.sort_channels = lambda optimizer, averages: events.append("sorts")  # type: ignore[method-assign,assignment,return-value]
    for record in subject.fit():
        events.append(record.epoch)
    assert events == [0, 1, 2, "sorts", 3, "sorts", 4]


def test_inspect_tells_the_draws_from_the_start_on() -> None:
    found = describe(tiny.build("inverted"), tiny.images(), AugmentConfig(start=0.2))
    assert "mean from 20% until 50% of training" in str(found)
    assert found.drawn.macs > found.drawn_late.macs > found.base.macs
    late = describe(tiny.build("inverted"), tiny.images(), AugmentConfig(start=0.6))
    assert "until 50%" not in str(late)
    assert "mean after 60%" in str(late)
    assert late.drawn == late.drawn_late


def test_a_step_counts_the_macs_of_smaller_images() -> None:
    subject = started("inverted", resolution=0.5, batch_share=0.5)
    network = subject.network
    assert isinstance(network, Supernet)
    widths = network.sample(0)
    assert take(subject, 0).macs == 4 * network.macs({}) + 2 * network.macs(widths, resolution=0.5)
    assert network.macs(widths, resolution=0.5) < 0.5 * network.macs(widths)
