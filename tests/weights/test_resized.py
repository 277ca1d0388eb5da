"""A wider network comes back from its weights file to the bit; files that do not add up are messages."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

import netaug
from netaug import AugmentConfig, Supernet
from netaug.core.errors import CheckpointError, ModelError
from netaug.weights.metadata import ModelCard, load_weights, save_weights
from netaug.weights.resized import resize, size_changes
from tests import tiny

CONFIG = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0))
NAMES = ("inverted", "residual", "concat", "shared", "grouped", "counting", "pyramid")


def factory(*, num_classes: int, in_chans: int, network: str) -> nn.Module:
    return tiny.build(network)


OWN = {f"{__name__}:factory"}  # named by the user


def supernet_of(name: str) -> Supernet:
    return netaug.augment(tiny.build(name), tiny.images(), CONFIG)


def wide(name: str) -> tuple[nn.Module, ModelCard]:
    supernet = supernet_of(name)
    network = netaug.recalibrate(supernet, [tiny.images(16)], supernet.plan.widest)
    card = ModelCard(
        name=f"{__name__}:factory",
        options={"network": name},
        num_classes=5,
        in_chans=3,
        class_names=tuple("abcde"),
        image_size=8,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        crop_ratio=1.0,
        top1=None,
        val_split="val",
        netaug_version="0.1.0",
        widths=supernet.plan.widest,
        sizes=size_changes(supernet.base, network),
    )
    return network, card


@pytest.mark.parametrize("name", NAMES)
def test_a_wider_network_comes_back_to_the_bit(tmp_path: Path, name: str) -> None:
    network, card = wide(name)
    save_weights(tmp_path / "x.safetensors", network, card)
    loaded, read = load_weights(tmp_path / "x.safetensors", OWN)
    assert read == card
    images = tiny.images(3)
    assert torch.equal(loaded(images), network(images))
    assert not torch.equal(loaded(images), tiny.build(name).eval()(images))
    assert str(loaded) == str(network)  # the sizes that modules print
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor)
    loaded.train()(images).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())


def test_a_tensor_held_twice_stays_one() -> None:
    model, donor = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), nn.Linear(6, 6)
    model[1].weight = model[0].weight
    resize(model, {f"{i}.{name}": tensor for i in "01" for name, tensor in donor.state_dict().items()}, {})
    assert model[0].weight.shape == (6, 6)
    assert model[1].weight is model[0].weight


def test_lists_and_tuples_of_sizes_keep_their_kind() -> None:
    base, network = nn.Identity(), nn.Identity()
    base.parts, network.parts = (2, 4), (3, 4)  # type: ignore[assignment]
    sizes = json.loads(json.dumps(size_changes(base, network)))
    assert sizes == {"": {"parts": [3, 4]}}
    resize(base, {}, sizes)
    assert base.parts == (3, 4)  # type: ignore[comparison-overlap]


def test_what_sizes_do_not_describe_is_not_saved() -> None:
    for before, after in ((True, False), (0.1, 0.2), ((2, 4), (2, 4, 4)), (3, "x")):
        base, network = nn.Identity(), nn.Identity()
        base.setting, network.setting = before, after  # type: ignore[assignment]
        with pytest.raises(ModelError, match=r"'\.setting' of the network cannot be described"):
            size_changes(base, network)


def save_raw(path: Path, tensors: dict[str, Any], card: ModelCard, **changed: object) -> None:
    metadata = {"netaug": json.dumps({**asdict(card), **changed})}
    safetensors.torch.save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"nowhere": {"groups": 8}}, r"'nowhere\.groups' is None"),
        ({"stem.0": {"forward": 8}}, r"'stem\.0\.forward' is None"),
        ({"stem.0": {"padding_mode": 8}}, r"'stem\.0\.padding_mode' is 'zeros'"),
        ({"depthwise.0": {"groups": 7}}, "cannot be put together"),
        ({}, "cannot be put together"),
    ],
)
def test_sizes_that_do_not_fit_are_a_message(tmp_path: Path, sizes: object, message: str) -> None:
    network, card = wide("inverted")
    path = tmp_path / "x.safetensors"
    save_raw(path, network.state_dict(), card, sizes=sizes)
    with pytest.raises(CheckpointError, match=message):
        load_weights(path, OWN)


@pytest.mark.parametrize(
    "changed", [{"sizes": {"stem.0": {"groups": 1.5}}}, {"sizes": [1]}, {"widths": {"a": "b"}}]
)
def test_a_card_with_sizes_that_cannot_be_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    network, card = wide("inverted")
    save_raw(tmp_path / "x.safetensors", network.state_dict(), card, **changed)
    with pytest.raises(CheckpointError, match=f"values that cannot be: {next(iter(changed))}"):
        load_weights(tmp_path / "x.safetensors", OWN)


def test_wrong_tensors_are_a_message(tmp_path: Path) -> None:
    network, card = wide("inverted")
    path, tensors = tmp_path / "x.safetensors", network.state_dict()
    missing = {name: tensor for name, tensor in tensors.items() if name != "stem.0.weight"}
    for wrong, message in (
        (missing, "does not fit"),
        ({**tensors, "extra": torch.zeros(1)}, "does not fit"),
        ({**tensors, "stem.0.weight": torch.zeros(3)}, "does not fit"),
        ({**tensors, "stem.0.weight": torch.zeros(5, 3, 3, 3)}, "cannot be put together"),
    ):
        save_raw(path, wrong, card)
        with pytest.raises(CheckpointError, match=message):
            load_weights(path, OWN)


def test_the_card_of_a_base_network_says_nothing_of_widths(tmp_path: Path) -> None:
    """Versions that do not know wider networks read the file too."""
    _, card = wide("inverted")
    save_weights(tmp_path / "x.safetensors", tiny.build("inverted"), replace(card, widths={}, sizes={}))
    with safetensors.safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        described = json.loads(file.metadata()["netaug"])
    assert not {"widths", "sizes"} & set(described)
    assert load_weights(tmp_path / "x.safetensors", OWN)[1].widths == {}
