"""A network that keeps what it computed, wherever it keeps it, can be augmented, copied and taken out."""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from netaug import augment, recalibrate
from netaug.core.modules import copied
from netaug.elastic.plain_network import BaseOnly
from netaug.train.ema import Average
from tests import tiny


@dataclass
class Kept:
    """An object of one's own."""

    features: Tensor


class Pair(NamedTuple):
    """A tuple of one's own."""

    features: Tensor
    loss: Tensor


HOLDERS = {
    "attribute": lambda features: features,
    "list": lambda features: [features],
    "dict": lambda features: {"last": {"features": features}},
    "tuple": lambda features: (1, features),
    "named tuple": lambda features: Pair(features, features.mean()),
    "dataclass": lambda features: Kept(features),
    "deque": lambda features: deque([features], maxlen=2),
}


class Keeping(tiny.Plain):
    """Keeps the outputs of its second layer, in what ``holder`` makes."""

    def __init__(self, holder: str) -> None:
        super().__init__()
        self.holder = holder
        self.kept: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.kept = HOLDERS[self.holder](x * self.classifier.weight.sum())
        return super().forward(x)


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_network_that_keeps_what_it_computed_can_be_augmented_and_taken_out(holder: str) -> None:
    network, images = Keeping(holder).train(), tiny.images()
    network(images).sum().backward()
    supernet = augment(network, images)
    for pass_ in supernet.passes(0, progress=0.0):
        (pass_.weight * supernet(images).sum()).backward()
    plain, twin = supernet.extract().eval(), copy.deepcopy(supernet).eval()
    supernet.eval()
    assert torch.equal(plain(images), supernet(images))
    assert torch.equal(twin(images), supernet(images))
    wide = supernet.plan.widest
    with supernet.train().at(wide):
        supernet(images)
        assert torch.equal(supernet.extract(wide).train()(images), supernet(images))
    assert recalibrate(supernet, [images], wide)(images).shape == (4, 5)


@pytest.mark.parametrize("holder", ["attribute", "deque"])
def test_an_average_of_a_network_that_ran_can_be_kept(holder: str) -> None:
    network, images = Keeping(holder).eval(), tiny.images()
    network(images)
    average = Average(BaseOnly(network, 1), 0.9)
    assert torch.equal(average.network(images), network(images))


def test_a_copy_has_the_values_and_one_tensor_where_there_was_one() -> None:
    source = torch.ones(3, requires_grad=True)
    computed = source * 2
    first, second = copied([computed, {"again": computed}])
    assert torch.equal(first, computed)
    assert first is second["again"]
    assert first.grad_fn is None
    assert first.data_ptr() != computed.data_ptr()
    assert copied(nn.Linear(2, 2)).weight.requires_grad
