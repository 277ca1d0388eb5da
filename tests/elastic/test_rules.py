"""Operators without a rule freeze what they touch; users can give them one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from netaug import augment
from netaug.elastic.rules import registry
from tests import tiny

GUIDE = Path(__file__).parents[2] / "docs" / "rules.md"


class Custom(tiny.Plain):
    """The operator of the guide behind the stem."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.ops.mylib.center(self.first(x))
        return self.classifier(self.second(x).relu().mean((2, 3)))


@pytest.fixture
def guide(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))
    return "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL))


def test_the_guide_teaches_an_operator(guide: str) -> None:
    """Before: frozen, with its name; after: the channels widen, and the wide network runs."""
    operator, _, rule = guide.partition("@netaug.elastic_rule")
    assert rule
    names: dict[str, object] = {}
    exec(operator, names)
    groups = augment(Custom(), tiny.images()).groups
    assert groups["first.0"].role == "frozen"
    assert groups["first.0"].reason == "'forward' uses 'center', which has no rule"
    assert groups["second"].role == "width"
    exec(f"@netaug.elastic_rule{rule}", names)
    supernet = augment(Custom(), tiny.images())
    assert supernet.groups["first.0"].role == "width"
    supernet.use_widest()
    assert torch.isfinite(supernet(tiny.images())).all()


def test_a_weight_that_is_computed_widens_with_its_parameter() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return self._conv_forward(x, weight, self.bias)

    network = tiny.build("plain")
    network.second = Standardised(6, 8, 3, stride=2, padding=1)
    supernet = augment(network, tiny.images())
    assert supernet.groups["second"].role == "width"
    wide = supernet.extract(supernet.plan.widest)
    supernet.use_widest()
    images = tiny.images()
    assert torch.equal(supernet.train()(images), wide.train()(images))
