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
from netaug.train.metrics import Tally
from netaug.train.trainer import Trainer
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
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(start=0.4, width_until=0.9))
    events: list[object] = []
    config = TrainConfig(epochs=5, warmup_epochs=0, lr=0.01)
    subject = trainer(supernet, config, steps=1, sort=True)
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


def test_without_a_base_pass_the_augmented_gradient_alone_moves_the_weights() -> None:
    """Reference: the augmented loss by itself; running statistics and metrics are those of the base network."""
    subject = started(momentum=0.0, base_pass=False)
    network = subject.network
    assert isinstance(network, Supernet)
    reference = copy.deepcopy(network).train()
    tally = take(subject, 0)
    batch = subject.data.train.batches[0]  # type: ignore[attr-defined]
    x, y = subject.normalizer(batch.images_NCHW), batch.labels_N
    with torch.no_grad():
        outputs = reference(x)
    reference.use(reference.sample(0))
    (0.5 * F.cross_entropy(reference(x), y, label_smoothing=0.1)).backward()
    for name, parameter in reference.named_parameters():
        decay = 0.1 * parameter if parameter.ndim > 1 else 0.0
        assert parameter.grad is not None
        wanted = parameter - 0.1 * (parameter.grad + decay)
        torch.testing.assert_close(network.get_parameter(name), wanted)
    for name, buffer in reference.base.named_buffers():
        assert torch.equal(network.base.get_buffer(name), buffer)
    right = 100 * float((outputs.argmax(1) == y).double().mean())
    assert tally.metrics()["top1"] == right
    assert tally.macs == 4 * (network.macs({}) + network.macs(network.sample(0)))


def test_a_base_pass_of_weight_zero_adds_nothing_in_a_plain_loop() -> None:
    """So a loop that knows nothing of the setting is right too; and steps without an augmented pass train the base."""
    found = []
    for base_pass in (False, True):
        config = AugmentConfig(width=(1.0, 2.0), base_pass=base_pass, augment_every=2)
        supernet = augment(tiny.build("inverted").double(), tiny.images().double(), config)
        for pass_ in supernet.passes(0, 0.0):
            if pass_.name == "augmented" or not base_pass:
                (pass_.weight * F.cross_entropy(supernet(tiny.images().double()), tiny.labels())).backward()
        found.append({name: parameter.grad for name, parameter in supernet.named_parameters()})
        weights = [(pass_.name, pass_.weight) for pass_ in supernet.passes(0, 0.0, wide_first=True)]
        assert weights == [("augmented", 1.0), ("base", float(base_pass))]
        assert [(pass_.name, pass_.weight) for pass_ in supernet.passes(1, 0.0)] == [("base", 1.0)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_several_drawn_networks_each_add_their_gradient_with_weight_alpha() -> None:
    subject = started(momentum=0.0, draws=3)
    network = subject.network
    assert isinstance(network, Supernet)
    reference = copy.deepcopy(network).train()
    tally = take(subject, 0)
    batch = subject.data.train.batches[0]  # type: ignore[attr-defined]
    x, y = subject.normalizer(batch.images_NCHW), batch.labels_N
    drawn = [reference.sample(0, 0.0, number) for number in range(3)]
    assert drawn[0] == started().network.sample(0)  # type: ignore[union-attr,operator]
    assert len({tuple(widths.values()) for widths in drawn}) == 3
    F.cross_entropy(reference(x), y, label_smoothing=0.1).backward()
    for widths in drawn:
        reference.use(widths)
        (0.5 * F.cross_entropy(reference(x), y, label_smoothing=0.1)).backward()
    for name, parameter in reference.named_parameters():
        decay = 0.1 * parameter if parameter.ndim > 1 else 0.0
        assert parameter.grad is not None
        torch.testing.assert_close(network.get_parameter(name), parameter - 0.1 * (parameter.grad + decay))
    assert tally.macs == 4 * (network.macs({}) + sum(network.macs(widths) for widths in drawn))
    name = next(iter(drawn[0]))
    assert tally.widths()[name] == pytest.approx(sum(widths[name] for widths in drawn) / 3, abs=1e-3)


def test_passes_of_several_draws_are_numbered_and_the_last_one_ends_the_step() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(draws=2, expand_until=0.5))
    order = [(one.name, one.number, one.last) for one in supernet.passes(0, 0.0)]
    assert order == [("base", 0, False), ("augmented", 0, False), ("augmented", 1, True)]
    order = [(one.name, one.number, one.last) for one in supernet.passes(0, 0.0, wide_first=True)]
    assert order == [("augmented", 0, False), ("augmented", 1, False), ("base", 0, True)]
    assert [one.last for one in supernet.passes(0, 0.7)] == [True]
    limited = AugmentConfig(draws=2, max_macs_ratio=1.5)
    supernet = augment(tiny.build("inverted"), tiny.images(), limited)
    drawn = [supernet.macs(supernet.sample(step, 0.0, number)) for step in range(20) for number in range(2)]
    assert max(drawn) <= 1.5 * supernet.macs({}) < supernet.macs(supernet.plan.widest)


class _StoppedError(Exception):
    """Ends a training between two steps."""


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_training_goes_on_to_the_same_bits(stopped_after: int) -> None:
    """Which steps are augmented, and with what, depends on their number alone."""
    settings = {"augment_every": 2, "start": 0.2, "draws": 2, "batch_norm": "shared", "base_pass": False}

    def stop(epoch: int, done: int, tally: Tally) -> None:
        if first.steps_done == stopped_after:
            raise _StoppedError

    left_alone, first, second = (started("inverted", **settings) for _ in range(3))
    records = list(left_alone.fit())
    with pytest.raises(_StoppedError):
        list(first.fit(stop))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    again = list(second.fit())
    assert again[-1].train_loss == records[-1].train_loss
    assert again[-1].widths == records[-1].widths
    state = left_alone.network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in second.network.state_dict().items())
    started_as = started("inverted", **settings).network.state_dict()
    assert any(not torch.equal(tensor, state[name]) for name, tensor in started_as.items() if "added" in name)
