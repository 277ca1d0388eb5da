"""The commands as functions: a short training, and what its network says, as a user would call them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import netaug
from netaug.api.settings import words_of
from netaug.cli import main

SHORT = {"data": {"limit": 128}, "train": {"epochs": 2, "warmup_epochs": 0, "threads": 1}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder made by the function."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    result = netaug.train("demo/digits", out=out, **SHORT)
    assert result.folder.path == out
    assert result.summary["epochs"] == 2
    return out


@pytest.mark.slow
def test_the_command_and_the_function_train_the_same_bits(run: Path, tmp_path: Path) -> None:
    words = ["--data.limit=128", "--train.epochs=2", "--train.warmup_epochs=0", "--train.threads=1"]
    assert main(["train", "demo/digits", *words, "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_network_is_loaded_from_a_run_and_from_its_file(run: Path) -> None:
    images_NCHW = torch.randn(2, 1, 8, 8)
    network = netaug.load(run)
    assert isinstance(network, nn.Module)
    assert not network.training
    assert network(images_NCHW).shape == (2, 10)
    assert torch.equal(netaug.load(run / "model.safetensors")(images_NCHW), network(images_NCHW))


@pytest.mark.slow
def test_evaluation_agrees_with_what_the_run_recorded(run: Path) -> None:
    found = netaug.evaluate(run)
    same = netaug.evaluate(run / "model.safetensors", data={"name": "digits"})
    recorded = netaug.train("demo/digits", out=run, resume=True, **SHORT).summary["val_top1"]
    assert found.metrics["top1"] == same.metrics["top1"] == pytest.approx(recorded, abs=0.01)


@pytest.mark.slow
def test_images_are_classified(run: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8), 200).save(tmp_path / "a.png")
    (found,) = netaug.predict(run, tmp_path / "a.png", top=3)
    assert len(found.classes) == 3
    probabilities = [probability for _, probability in found.classes]
    assert probabilities == sorted(probabilities, reverse=True)
    with pytest.raises(netaug.errors.ConfigError, match="--top is out of range"):
        netaug.predict(run, tmp_path / "a.png", top=0)


def test_a_network_is_inspected_by_name_and_as_a_module() -> None:
    by_name = netaug.inspect("micronet", num_classes=5)
    network = netaug.create_model("micronet", num_classes=5)
    assert by_name.groups == netaug.inspect(network, torch.randn(2, 3, 32, 32)).groups
    assert by_name.widest.macs > by_name.base.macs
    with pytest.raises(TypeError, match="example input"):
        netaug.inspect(network)


def test_settings_become_words() -> None:
    words = words_of(
        {"train": {"epochs": 3}, "netaug.width": (1, 2.5), "data.root": "DIR", "netaug.sort": False}
    )
    expected = ["--train.epochs=3", "--netaug.width=[1, 2.5]", "--data.root=DIR", "--netaug.sort=false"]
    assert words == expected
    with pytest.raises(netaug.errors.ConfigError, match="'depths' is not a setting"):
        words_of({"depths": 3})
    with pytest.raises(netaug.errors.ConfigError, match=r"train\.epoch\b"):
        netaug.train("demo/digits", train={"epoch": 3})


def test_nothing_that_a_file_names_is_imported(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: {name: 'evil_module:build'}\ndata: {name: digits}\n")
    with pytest.raises(netaug.errors.UntrustedNetworkError):
        netaug.train(recipe, out=tmp_path / "run")
