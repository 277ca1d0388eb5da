"""A run that starts from weights: exactly those of the file, in both arms; a new classifier only when asked."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import netaug
from netaug.cli import main
from netaug.config import ModelConfig, NetAugConfig
from netaug.config.loading import load_config, to_yaml
from netaug.core.errors import CheckpointError, ConfigError
from netaug.data import DataInfo
from netaug.models import create_model
from netaug.train.build import build_model, build_network
from tests.weights.released import NETS, shapes, state_dict, widened

INFO = DataInfo("fake", tuple("abcde"), 1, 8, (0.5,), (0.25,), 1.0, 12, 4, "val")
OPTIONS = {"stem": 3, "channels": [3], "blocks": [1], "strides": [1]}
MICRO = ModelConfig(name="micronet", options=OPTIONS)
HEAD = {"classifier.weight", "classifier.bias"}


def write(path: Path, classes: int, in_chans: int = 1) -> dict[str, Tensor]:
    model = create_model("micronet", num_classes=classes, in_chans=in_chans, **OPTIONS)
    model.train()(torch.randn(4, in_chans, 8, 8))  # statistics that are not the initial ones
    torch.save({"state_dict": model.state_dict()}, path)
    return model.state_dict()


@pytest.mark.parametrize("init", ["model", "uniform"])
def test_both_arms_start_from_the_weights_of_the_file(init: str, tmp_path: Path) -> None:
    state = write(tmp_path / "x.pt", 5)
    model = replace(MICRO, weights=str(tmp_path / "x.pt"), init=init)  # type: ignore[arg-type]
    for enabled in (False, True):
        netaug = NetAugConfig(enabled=enabled)
        network = build_network(build_model(model, INFO, 4), model, netaug, INFO, seed=0)
        assert set(network.base.state_dict()) == set(state)
        for name, tensor in network.base.state_dict().items():
            assert torch.equal(tensor, state[name])


@pytest.mark.parametrize("classes", [5, 9])
def test_a_new_head_is_drawn_as_without_weights_and_the_rest_is_the_files(
    classes: int, tmp_path: Path
) -> None:
    state = write(tmp_path / "x.pt", classes)
    config = replace(MICRO, weights=str(tmp_path / "x.pt"), new_head=True, init="uniform")
    found = build_model(config, INFO, 4).state_dict()
    fresh = build_model(replace(MICRO, init="uniform"), INFO, 4).state_dict()
    for name, tensor in found.items():
        assert torch.equal(tensor, fresh[name] if name in HEAD else state[name])


def test_other_classes_are_refused_with_the_way_out(tmp_path: Path) -> None:
    write(tmp_path / "x.pt", 9)
    with pytest.raises(CheckpointError, match="for other classes than micronet has here") as caught:
        build_model(replace(MICRO, weights=str(tmp_path / "x.pt")), INFO, 4)
    assert (caught.value.got, caught.value.allowed) == ("9 classes", 5)
    assert "--model.new_head true" in str(caught.value.fix)
    info = replace(INFO, in_chans=3, image_size=64, mean=(0.5,) * 3, std=(0.5,) * 3)
    torch.save(state_dict(widened(NETS["mcunet"], 2.2, 2.8), 9), tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match="for other classes than mcunet has here"):
        build_model(ModelConfig(name="mcunet", weights=str(tmp_path / "best.pt")), info, 4)


def test_a_new_head_does_not_excuse_other_differences(tmp_path: Path) -> None:
    write(tmp_path / "x.pt", 9, in_chans=3)
    with pytest.raises(
        CheckpointError, match=r"stem\.conv\.weight: file \(3, 3, 3, 3\), network \(3, 1, 3, 3\)"
    ):
        build_model(replace(MICRO, weights=str(tmp_path / "x.pt"), new_head=True), INFO, 4)


def deaf(*, num_classes: int, in_chans: int) -> nn.Module:
    """Has five classes, whatever it is asked for."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))


def test_a_new_head_that_cannot_be_is_refused(tmp_path: Path) -> None:
    torch.save(deaf(num_classes=5, in_chans=1).state_dict(), tmp_path / "x.pt")
    config = ModelConfig(name=f"{__name__}:deaf", weights=str(tmp_path / "x.pt"))
    build_model(config, INFO, 4)
    with pytest.raises(ConfigError, match=r"model\.new_head has no effect: no tensor"):
        build_model(replace(config, new_head=True), INFO, 4)


def test_building_from_weights_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    write(tmp_path / "x.pt", 5)
    state = torch.get_rng_state()
    build_model(replace(MICRO, weights=str(tmp_path / "x.pt"), new_head=True), INFO, 4)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_choice_made_for_the_user_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = write(tmp_path / "x.pt", 5)
    torch.save({"model": state, "model_ema": state}, tmp_path / "two.pt")
    with caplog.at_level(logging.WARNING):
        build_model(replace(MICRO, weights=str(tmp_path / "x.pt")), INFO, 4)
        assert not caplog.records
        build_model(replace(MICRO, weights=str(tmp_path / "two.pt")), INFO, 4)
    assert "from its 'model_ema' (it also has model)" in caplog.text


def test_a_training_checkpoint_of_the_released_code_fine_tunes_on_other_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    info = replace(INFO, in_chans=3, image_size=64, mean=(0.5,) * 3, std=(0.5,) * 3)
    wide = state_dict(widened(NETS["mcunet"], 2.2, 2.8), 11)
    torch.save({"state_dict": wide}, tmp_path / "best.pt")
    config = ModelConfig(name="mcunet", weights=str(tmp_path / "best.pt"), new_head=True)
    model = build_model(config, info, 4)
    name = "backbone.stages.2.op_list.1.conv.point_conv.conv.weight"
    out, inputs, *_ = shapes(NETS["mcunet"], 11)[name]
    assert torch.equal(model.get_parameter("stages.3.1.project.conv.weight"), wide[name][:out, :inputs])
    assert model.get_parameter("classifier.weight").shape == (5, 160)
    assert "the first channels of a wider network" in caplog.text


def test_augment_follows_loading(tmp_path: Path) -> None:
    write(tmp_path / "x.pt", 5)
    model = netaug.create_model("micronet", num_classes=5, in_chans=1, **OPTIONS)
    netaug.load_weights(model, tmp_path / "x.pt")
    images = torch.randn(2, 1, 8, 8)
    expected = model.eval()(images)
    supernet = netaug.augment(model, images).eval()
    supernet.use_base()
    assert torch.equal(supernet(images), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"new_head": True}, r"model\.new_head has no effect without weights"),
        ({"options": {"pretrained": True}, "init": "uniform"}, "pretrained weights would be replaced"),
        ({"options": {"pretrained": True}, "weights": "x.pt"}, "pretrained weights would be replaced"),
    ],
)
def test_settings_that_undo_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**settings)  # type: ignore[arg-type]


def test_the_settings_come_back_from_a_recipe_and_a_saved_configuration(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: {weights: some/x.pt, new_head: true}\n")
    config = load_config(str(recipe))
    assert (config.model.weights, config.model.new_head) == ("some/x.pt", True)
    saved = tmp_path / "saved.yaml"
    saved.write_text(to_yaml(config))
    assert load_config(str(saved)) == config
    assert load_config(str(saved), ["--model.weights=null", "--model.new_head=false"]).model == ModelConfig()


@pytest.mark.slow
def test_a_run_from_an_earlier_runs_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "demo/digits", "--data.limit", "64", "--train.epochs", "1", "--train.threads", "1"]
    words += ["--train.warmup_epochs", "0"]
    assert main([*words, "--out", "first", "--netaug.enabled", "false"]) == 0
    start = ["--model.weights", "first/model.safetensors", "--train.lr", "1e-9"]
    assert main([*words, *start, "--out", "second"]) == 0
    assert "starts from the weights of first/model.safetensors" in capsys.readouterr().err
    stems = [
        safetensors.torch.load_file(f"{run}/model.safetensors")["stem.conv.weight"]
        for run in ("first", "second")
    ]
    torch.testing.assert_close(*stems, rtol=0, atol=1e-6)  # hardly trained
    environment = json.loads(Path("second", "environment.json").read_text())
    content = Path("first/model.safetensors").read_bytes()
    assert environment["weights_sha256"] == hashlib.sha256(content).hexdigest()
    assert main(["eval", "second"]) == 0
    Path("empty").mkdir()
    assert main([*words, "--model.weights", "empty", "--out", "third"]) == 2
    assert "'empty' is a folder" in capsys.readouterr().err
    assert not Path("third").exists()
    assert main([*words, "--model.weights", "first", "--train.lr", "1e-9", "--out", "third"]) == 0
    assert (
        json.loads(Path("third", "environment.json").read_text())["weights_sha256"]
        == environment["weights_sha256"]
    )
