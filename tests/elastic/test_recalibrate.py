"""A network of any width gets the statistics of its own activations, and the supernet notices nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netaug
from netaug import AugmentConfig, Supernet
from netaug.core.errors import ConfigError, DataError, ModelError, ShapeError
from netaug.data import ClassificationBatch, Normalizer
from netaug.elastic.recalibrate import batch_inputs, has_statistics, recalibrate
from tests import tiny

CONFIG = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0))


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return netaug.augment(tiny.build("inverted"), tiny.images(), CONFIG)


def batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    """Batches whose means differ, so that averaging them is not the same as measuring all images."""
    return [(tiny.images(n, seed=n) * (i + 1) + i, tiny.labels(n)) for i, n in enumerate(sizes)]


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in network.named_buffers()}


@pytest.mark.parametrize("wide", [False, True], ids=["base", "widest"])
def test_the_first_norm_has_mean_and_variance_over_all_images(supernet: Supernet, wide: bool) -> None:
    widths = supernet.plan.widest if wide else None
    loader = batches(8, 5, 3)
    network = recalibrate(supernet, loader, widths)
    conv, norm = network.get_submodule("stem.0"), network.get_submodule("stem.1")
    with torch.no_grad():
        seen = conv(torch.cat([images for images, _ in loader])).transpose(0, 1).flatten(1).double()
    assert len(seen) == (16 if wide else 8)
    torch.testing.assert_close(norm.get_buffer("running_mean").double(), seen.mean(1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(norm.get_buffer("running_var").double(), seen.var(1), atol=1e-6, rtol=1e-5)
    assert not network.training


@pytest.mark.parametrize("name", ["inverted", "residual", "concat", "plain"])
def test_on_one_batch_it_is_what_the_supernet_computes_there(name: str) -> None:
    """Every layer then has the statistics of that batch, which a wide pass normalizes with."""
    supernet = netaug.augment(tiny.build(name), tiny.images(), CONFIG).double()
    images = tiny.images(64).double()
    network = recalibrate(supernet, [images], supernet.plan.widest)
    with torch.no_grad(), supernet.at(supernet.plan.widest):
        expected = supernet.eval()(images)
    # running variances are unbiased, those of a batch are not: 1 / 256 apart where 2 x 2 positions are left
    torch.testing.assert_close(network(images), expected, rtol=5e-3, atol=5e-3)
    assert not torch.allclose(supernet.extract(supernet.plan.widest).eval()(images), expected, atol=0.05)


def test_the_supernet_is_as_before(supernet: Supernet) -> None:
    supernet.train()
    supernet.use_widest()
    before, widths = {k: v.clone() for k, v in supernet.state_dict().items()}, supernet.widths
    for wanted in (None, supernet.plan.widest):
        network = recalibrate(supernet, batches(4, 4), wanted)
        moved = statistics(network)["stem.1.running_mean"][:8]
        assert not torch.equal(moved, statistics(supernet.base)["stem.1.running_mean"])
    assert supernet.training
    assert supernet.widths == widths
    for key, value in supernet.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_everything_but_the_norms_is_as_in_evaluation() -> None:
    """Dropout that zeroes everything would leave nothing to measure behind it; a count of trainings stands still."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Dropout(0.9), tiny.unit(4, 6), nn.Flatten(), nn.Linear(384, 5)
    )
    supernet = netaug.augment(model, tiny.images(), CONFIG)
    one, two = (recalibrate(supernet, batches(4, 4), supernet.plan.widest) for _ in range(2))
    assert all(torch.equal(value, statistics(two)[name]) for name, value in statistics(one).items())
    counting = netaug.augment(tiny.build("counting"), tiny.images(), CONFIG)
    found = recalibrate(counting, batches(4, 4), counting.plan.widest)
    assert found.get_buffer("seen") == counting.base.get_buffer("seen")


def test_whole_batches_until_there_are_enough_images(supernet: Supernet) -> None:
    read: list[int] = []

    def loader() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches(4, 4, 4, 4):
            read.append(len(batch[0]))
            yield batch

    network = recalibrate(supernet, loader(), images=6)
    assert read == [4, 4]
    expected = recalibrate(supernet, batches(4, 4))
    assert torch.equal(statistics(network)["stem.1.running_var"], statistics(expected)["stem.1.running_var"])
    for images in (0, -1):
        with pytest.raises(ConfigError, match="at least 1"):
            recalibrate(supernet, batches(4), images=images)


def test_batches_of_every_kind_are_read(supernet: Supernet) -> None:
    pixels = torch.arange(4 * 3 * 64, dtype=torch.uint8).reshape(4, 3, 8, 8)
    normalizer = Normalizer((0.5,) * 3, (0.25,) * 3, torch.device("cpu"), channels_last=False)
    images = normalizer(pixels)
    typed = ClassificationBatch(pixels, tiny.labels(), torch.arange(4))
    expected = statistics(recalibrate(supernet, [images]))
    kinds: list[tuple[Any, Any]] = [
        ((images, tiny.labels()), None),
        ([images, tiny.labels()], None),
        ({"pixel_values": images, "labels": tiny.labels()}, None),
        ({"mine": images}, lambda batch: batch["mine"]),
        (typed, lambda batch: normalizer(batch.images_NCHW)),
        (images, lambda batch: (batch,)),
    ]
    for batch, inputs in kinds:
        found = statistics(recalibrate(supernet, [batch], inputs=inputs))
        assert torch.equal(found["stem.1.running_mean"], expected["stem.1.running_mean"])
    assert batch_inputs(images) is images


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            ClassificationBatch(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), tiny.labels(), tiny.labels()),
            "a Classif",
        ),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), r"torch\.uint8, not normalized"),
        ({"picture": tiny.images(), "y": tiny.labels()}, "with the keys picture, y"),
        ("text", "a str"),
        ((), "a tuple"),
    ],
)
def test_batches_that_cannot_be_read_are_a_message(supernet: Supernet, batch: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        recalibrate(supernet, [batch])


def test_mistakes_are_messages(supernet: Supernet) -> None:
    with pytest.raises(DataError, match="a loader without batches"):
        recalibrate(supernet, [])
    with pytest.raises(ShapeError, match="no such group"):
        recalibrate(supernet, batches(4), {"stm": 8})
    with pytest.raises(ShapeError, match="8 to 16 channels"):
        recalibrate(supernet, batches(4), {"stem.0": 17})
    with pytest.raises(ModelError, match=r"fails on a batch.*\n.*\[4, 2, 8, 8\]"):
        recalibrate(supernet, [torch.zeros(4, 2, 8, 8)])
    with pytest.raises(ModelError, match="not finite"):
        recalibrate(supernet, [torch.full((4, 3, 8, 8), float("nan"))])


def test_without_norms_it_is_the_extracted_network_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    supernet = netaug.augment(tiny.build("shared"), tiny.images(), CONFIG)
    assert has_statistics(supernet.extract())
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))
    plain = netaug.augment(model, tiny.images(), CONFIG)
    assert not has_statistics(plain.extract())
    with caplog.at_level(logging.WARNING):
        network = recalibrate(plain, [], plain.plan.widest)
    assert "nothing to recalibrate: Sequential keeps no running statistics" in caplog.text
    expected = plain.extract(plain.plan.widest)
    assert torch.equal(network(tiny.images()), expected(tiny.images()))


def test_instance_norms_count_each_image_alike() -> None:
    norm = nn.InstanceNorm2d(4, track_running_stats=True, momentum=0.3)
    model = nn.Sequential(tiny.unit(3, 6), nn.Conv2d(6, 4, 1), norm, nn.Flatten(), nn.Linear(256, 5))
    supernet = netaug.augment(model, tiny.images(), CONFIG)
    loader = [(tiny.images(n, seed=n), tiny.labels(n)) for n in (6, 2)]
    network = recalibrate(supernet, loader)
    seen: list[Tensor] = []
    reference = supernet.extract()
    reference.get_submodule("2").register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    reference.get_submodule("0").train()
    for images, _ in loader:
        reference(images)
    found = network.get_submodule("2")
    torch.testing.assert_close(found.get_buffer("running_mean"), torch.cat(seen).mean((0, 2, 3)))
    torch.testing.assert_close(found.get_buffer("running_var"), torch.cat(seen).var((2, 3)).mean(0))
    assert found.momentum == 0.3
    assert not found._forward_pre_hooks
