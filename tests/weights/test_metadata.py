"""Weights come back to the bit; a damaged or foreign file is a message and never code that runs."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from netaug.core.errors import CheckpointError, ModelError, RunFolderError
from netaug.core.io import append_line, write_atomic
from netaug.models import create_model
from netaug.weights.metadata import ModelCard, load_weights, save_weights

OPTIONS = {"stem": 3, "channels": [3, 4], "blocks": [1, 1], "strides": [1, 2]}
CARD = ModelCard(
    name="micronet",
    options=OPTIONS,
    num_classes=3,
    in_chans=1,
    class_names=("cat", "dog", "eel"),
    image_size=8,
    mean=(0.5,),
    std=(0.25,),
    crop_ratio=0.875,
    top1=51.5,
    val_split="val",
    netaug_version="0.1.0",
)


def factory(*, num_classes: int, in_chans: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_chans, hidden), nn.Linear(hidden, num_classes))


@pytest.fixture
def model() -> nn.Module:
    network = create_model("micronet", num_classes=3, in_chans=1, **OPTIONS)
    network.train()(torch.randn(4, 1, 8, 8))  # statistics that are not the initial ones
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@pytest.fixture
def weights(model: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_weights(path, model, CARD)
    return path


def test_weights_and_card_come_back_to_the_bit(model: nn.Module, weights: Path) -> None:
    state = torch.get_rng_state()
    loaded, card = load_weights(weights)
    assert torch.equal(torch.get_rng_state(), state)
    assert card == CARD
    assert not loaded.training
    assert list(loaded.state_dict()) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    images = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(loaded(images), model.eval()(images))


def test_the_same_network_makes_the_same_file(model: nn.Module, weights: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    save_weights(again, model, CARD)
    assert again.read_bytes() == weights.read_bytes()


def test_a_users_factory_is_imported_again(tmp_path: Path) -> None:
    options = {"hidden": 6}
    card = replace(CARD, name=f"{__name__}:factory", options=options)
    path = tmp_path / "mine.safetensors"
    built = factory(num_classes=3, in_chans=1, hidden=6)
    save_weights(path, built, card)
    loaded, _ = load_weights(path, trusted={card.name})
    assert torch.equal(loaded.get_parameter("2.weight"), built.get_parameter("2.weight"))
    missing = replace(card, name="no.such.module:factory")
    save_weights(path, built, missing)
    with pytest.raises(ModelError, match=r"there is no module 'no"):
        load_weights(path, trusted={missing.name})


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_truncated_weights_are_refused(weights: Path, share: float) -> None:
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match="truncated, damaged, or another kind of file"):
        load_weights(weights)


@pytest.mark.parametrize("content", [b"not weights at all", b"\xff" * 100, b"\x80\x04K\x01."])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(tmp_path / "none")


def test_weights_of_another_program_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"not written by netaug(?s:.*)1 tensors"):
        load_weights(path)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"name": "micronet"}', "fields that differ: class_names"),
    ],
)
def test_a_damaged_card_is_refused(tmp_path: Path, card: str, message: str) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata={"netaug": card})
    with pytest.raises(CheckpointError, match=message):
        load_weights(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 5},
        {"options": [1]},
        {"num_classes": "3"},
        {"class_names": ["cat"]},
        {"image_size": -1},
        {"image_size": "8"},
        {"mean": ["a"]},
        {"std": [0.0]},
        {"std": [1.0, 1.0]},
        {"crop_ratio": 0},
    ],
)
def test_a_card_with_values_that_cannot_be_is_refused(
    model: nn.Module, tmp_path: Path, wrong: dict[str, object]
) -> None:
    path = tmp_path / "x.safetensors"
    card = json.dumps({**asdict(CARD), **wrong})
    safetensors.torch.save_file(model.state_dict(), path, metadata={"netaug": card})
    with pytest.raises(CheckpointError, match=f"values that cannot be: {next(iter(wrong))}"):
        load_weights(path)


def test_weights_that_do_not_fit_name_the_first_tensors(model: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_weights(path, model, replace(CARD, options={**OPTIONS, "stem": 5}))
    with pytest.raises(
        CheckpointError, match=r"does not fit(?s:.*)stem\.conv\.weight: file \(3, 1, 3, 3\), network \(5,"
    ):
        load_weights(path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunFolderError, match="disk full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_lines_are_appended(tmp_path: Path) -> None:
    for number in range(2):
        append_line(tmp_path / "x", json.dumps({"n": number}))
    assert (tmp_path / "x").read_text() == '{"n": 0}\n{"n": 1}\n'
