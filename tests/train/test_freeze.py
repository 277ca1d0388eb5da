"""What is frozen does not move: weights, statistics, and nothing is widened there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from netaug.config import DataConfig, ModelConfig, NetAugConfig, RunConfig, TrainConfig
from netaug.core.errors import ConfigError
from netaug.data import DataInfo, build_data
from netaug.elastic.plain_network import Network
from netaug.train.build import build_model, build_network
from netaug.train.freeze import freeze, keep_statistics
from netaug.train.run import train
from netaug.weights.metadata import load_weights
from tests.tiny import build

OPTIONS = {"stem": 3, "channels": [4, 6], "blocks": [1, 1], "strides": [1, 2], "expand": 2}
HEAD = {"classifier.weight", "classifier.bias"}
INFO = DataInfo("fake", tuple("abcde"), 1, 8, (0.5,), (0.25,), 1.0, 12, 4, "val")


def config(*freeze: str, netaug: bool = False, **train: object) -> RunConfig:
    return RunConfig(
        model=ModelConfig(name="micronet", options=OPTIONS),
        data=DataConfig(name="digits", limit=64, batch_size=32),
        netaug=NetAugConfig(enabled=netaug),
        train=TrainConfig(epochs=2, warmup_epochs=0, threads=1, freeze=freeze, **train),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("patterns", "netaug"), [(("backbone",), False), (("stem", "stages.0.*"), False), (("stem",), True)]
)
def test_frozen_weights_and_statistics_end_as_they_began(
    tmp_path: Path, patterns: tuple[str, ...], netaug: bool
) -> None:
    run = config(*patterns, netaug=netaug, ema_decay=0.9)
    info = build_data(run.data, seed=0).info
    before = build_model(run.model, info, 0).state_dict()
    after = load_weights(train(run, tmp_path / "run").folder.weights)[0].state_dict()
    tops = {"stem"} if "stem" in patterns else {"stem", "stages", "last"}
    frozen = {name for name in before if name.split(".")[0] in tops or name.startswith("stages.0") > netaug}
    assert {name for name in before if torch.equal(before[name], after[name])} == frozen


def test_backbone_is_all_but_what_follows_the_classes() -> None:
    model = build("plain")
    freeze(model, ("backbone",), HEAD)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == HEAD


def network_of(run: RunConfig) -> Network:
    model = build_model(run.model, INFO, 0)
    return build_network(model, run.model, run.netaug, INFO, seed=run.train.seed, frozen=run.train.freeze)


def test_netaug_widens_only_where_something_is_trained() -> None:
    run = config("stem", "stages.0.*", netaug=True)
    supernet = network_of(run)
    assert list(supernet.added.keys())
    assert all(key.startswith(("stages/1", "classifier")) for key in supernet.added)
    frozen = {name for name, p in supernet.named_parameters() if not p.requires_grad}
    assert frozen == {
        f"base.{name}"
        for name, _ in supernet.base.named_parameters()
        if name.startswith(("stem", "stages.0"))
    }


def test_netaug_with_a_frozen_backbone_is_refused() -> None:
    run = config("backbone", netaug=True)
    with pytest.raises(ConfigError, match=r"frozen(?s:.)*netaug\.enabled false"):
        network_of(run)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("*",), "nothing to train"),
        (("backbone", "classifier"), "nothing to train"),
        (("stages.0.0.expnd",), "did you mean"),
    ],
)
def test_patterns_that_leave_or_match_nothing_are_refused(patterns: tuple[str, ...], message: str) -> None:
    model = build_model(config().model, INFO, 0)
    with pytest.raises(ConfigError, match=message):
        freeze(model, patterns, HEAD)


def test_a_norm_without_parameters_follows_what_is_around_it() -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)), nn.BatchNorm2d(4), nn.Linear(4, 2)
    ).train()
    keep_statistics(model)
    assert all(module.training for module in model.modules())
    freeze(model, ("0",), ())
    keep_statistics(model)
    assert (model[0][1].training, model[1].training) == (False, True)


def test_a_frozen_run_goes_on_only_with_the_same_parts_frozen(tmp_path: Path) -> None:
    from netaug.core.errors import NetaugError

    run = config("stem")
    train(run, tmp_path / "run")
    more = replace(run, train=replace(run.train, epochs=3, freeze=()))
    with pytest.raises(NetaugError, match=r"train\.freeze"):
        train(more, tmp_path / "run", resume=True)
