"""Shared batch norm: wide passes move the base channels' running statistics as a plain wide network would."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.core.errors import ConfigError
from netaug.train.trainer import Trainer
from tests import tiny
from tests.train.fakes import trainer

CONFIG = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0), seed=1, batch_norm="shared")


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in network.named_buffers() if "running" in name}


@pytest.mark.parametrize("name", ["inverted", "residual", "concat", "grouped", "rigid"])
def test_a_wide_pass_moves_the_base_channels_as_a_plain_wide_network_does(name: str) -> None:
    """Reference: the extracted network's own batch norm. Its base channels are found by marking them, in any layout."""
    supernet = augment(tiny.build(name).double(), tiny.images().double(), CONFIG)
    widths = supernet.sample(0)
    for buffer in statistics_of(supernet):
        buffer.copy_(torch.arange(1000.0, 1000.0 + len(buffer)))
    marked = statistics(supernet.extract(widths))
    for buffer in statistics_of(supernet):
        buffer.copy_(torch.linspace(0.5, 2.0, len(buffer)))
    wide = supernet.extract(widths).train()
    before = statistics(supernet.base)
    images = tiny.images(seed=3).double()
    for pass_ in supernet.passes(0, 0.0):
        assert pass_.statistics
        if pass_.name == "augmented":
            supernet(images)
    with torch.no_grad():
        wide(images)
    after, wanted = statistics(supernet.base), statistics(wide)
    grown = 0
    for key, marks in marked.items():
        chosen = marks >= 1000
        grown += int((~chosen).sum())
        torch.testing.assert_close(after[key], wanted[key][chosen], rtol=1e-12, atol=1e-12)
        assert not torch.equal(after[key], before[key])
    assert grown, "this draw widens no norm: take another seed"


def statistics_of(supernet: Supernet) -> list[Tensor]:
    return [buffer for name, buffer in supernet.base.named_buffers() if "running" in name]


def fitted(batch_norm: str, **settings: object) -> Trainer:
    config = dataclasses.replace(CONFIG, batch_norm=batch_norm)  # type: ignore[arg-type]
    supernet = augment(tiny.build("inverted"), tiny.images(), config)
    subject = trainer(supernet, TrainConfig(epochs=2, lr=0.1, warmup_epochs=0, **settings))  # type: ignore[arg-type]
    list(subject.fit())
    return subject


def test_training_comes_out_the_same_and_evaluation_does_not() -> None:
    """To the bit: batch norms in training do not read running statistics."""
    separate, shared = fitted("separate").network, fitted("shared").network
    for name, parameter in separate.named_parameters():
        assert torch.equal(parameter, shared.get_parameter(name))
    apart, together = statistics(separate.base), statistics(shared.base)
    assert all(not torch.equal(apart[name], together[name]) for name in apart)
    counts = [int(network.base.stem[1].num_batches_tracked) for network in (separate, shared)]  # type: ignore[union-attr,index]
    assert counts == [6, 12]


def test_only_a_steps_passes_in_training_mode_move_them() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), CONFIG)
    before = statistics(supernet.base)
    with supernet.at(supernet.plan.widest):
        supernet(tiny.images())
    supernet.base.eval()
    for _ in supernet.passes(0, 0.0):
        supernet(tiny.images())
    after = statistics(supernet.base)
    assert all(torch.equal(before[name], after[name]) for name in before)
    separate = augment(
        tiny.build("inverted"), tiny.images(), dataclasses.replace(CONFIG, batch_norm="separate")
    )
    assert [pass_.statistics for pass_ in separate.passes(0, 0.0)] == [True, False]


def test_changes_of_all_passes_and_parts_of_a_batch_add_up() -> None:
    """Reference: each part moves a copy of where the step started; the step moves by the mean over parts of both."""
    config = TrainConfig(epochs=1, lr=0.1, warmup_epochs=0, accumulate=2)
    subject = trainer(augment(tiny.build("residual"), tiny.images(), CONFIG), config, steps=1)
    reference = augment(tiny.build("residual"), tiny.images(), CONFIG)
    start = statistics(reference.base)
    images = subject.normalizer(subject.data.train.batches[0].images_NCHW)  # type: ignore[attr-defined]
    wanted = {name: value.clone() for name, value in start.items()}
    for _ in reference.passes(0, 0.0):
        for part in (images[:2], images[2:]):
            reference.base.load_state_dict(start, strict=False)
            reference(part)
            for name, value in statistics(reference.base).items():
                wanted[name] += (value - start[name]) / 2
    list(subject.fit())
    torch.testing.assert_close(statistics(subject.network.base), wanted)
    assert int(subject.network.base.stem[1].num_batches_tracked) == 2  # type: ignore[union-attr,index]


def test_without_running_statistics_it_is_refused() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    with pytest.raises(ConfigError, match="batch_norm shared has no effect"):
        augment(plain, tiny.images(), CONFIG)
