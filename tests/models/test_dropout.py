"""One setting for the classifier's dropout, whatever the factory calls it."""

from __future__ import annotations

import pytest
from torch import nn

from netaug.config import ModelConfig
from netaug.core.errors import ConfigError, ModelError
from netaug.models import create_model, list_models
from netaug.models.dropout import with_dropout


def user_network(*, num_classes: int, in_chans: int, drop_rate: float = 0.0) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(drop_rate), nn.LazyLinear(num_classes))


def plain_network(*, num_classes: int, in_chans: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


@pytest.mark.parametrize(
    "name", [*list_models(), "tests.models.test_dropout:user_network", "timm:mobilenetv3_small_050"]
)
def test_every_network_takes_it(name: str) -> None:
    if name in ("resnet50", "assembled_resnet50"):
        assert with_dropout(name, {}, 0.3) == {"dropout": 0.3}
        return
    model = create_model(
        name, num_classes=4, **with_dropout(name, {"dropout": 0.1} if name == "micronet" else {}, 0.3)
    )
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.3] or getattr(model, "drop_rate", None) == 0.3


def test_none_leaves_the_options_alone() -> None:
    assert with_dropout("tests.models.test_dropout:plain_network", {"a": 1}, None) == {"a": 1}


def test_a_factory_without_dropout_is_named() -> None:
    with pytest.raises(ModelError, match="no argument for it"):
        with_dropout("tests.models.test_dropout:plain_network", {}, 0.3)
    with pytest.raises(ConfigError, match=r"model\.dropout is out of range"):
        ModelConfig(dropout=1.0)
