"""A detector starts from a classifier: the backbone to the bit, neck and heads as without it; all else is refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from netaug import AugmentConfig, augment
from netaug.config import ModelConfig
from netaug.core.errors import CheckpointError
from netaug.core.seeding import seeded
from netaug.data import DataInfo
from netaug.models import create_model
from netaug.train.build import build_model
from netaug.train.freeze import freeze
from tests.weights.released import NETS, state_dict, widened

CHANNELS = {"channels": [4, 6, 8, 8], "blocks": [1, 1, 1, 1], "strides": [2, 2, 2, 2]}
INFO = DataInfo("fake", tuple("abc"), 3, 64, (0.5,) * 3, (0.25,) * 3, 1.0, 12, 4, "val", task="detect")
MICRO = ModelConfig(name="yolov3:micronet", options={**CHANNELS, "neck": [4, 4, 6]})


def save_classifier(path: Path, name: str = "micronet", **options: object) -> dict[str, Tensor]:
    """Weights of 7 classes, as another program would write them."""
    with seeded(1, "classifier"):
        model = create_model(name, num_classes=7, **options)  # type: ignore[arg-type]
    torch.save({"state_dict": {f"module.{key}": one for key, one in model.state_dict().items()}}, path)
    return model.state_dict()


def assert_starts_from(config: ModelConfig, path: Path, expected: dict[str, Tensor]) -> None:
    found = build_model(replace(config, weights=str(path)), INFO, 4).state_dict()
    fresh = build_model(config, INFO, 4).state_dict()
    for name, tensor in found.items():
        part, _, inner = name.partition(".")
        wanted = expected[inner] if part == "backbone" else fresh[name]
        assert torch.equal(tensor, wanted), name
    assert not torch.equal(found["backbone.stem.conv.weight"], fresh["backbone.stem.conv.weight"])


def test_the_backbone_is_the_files_and_what_is_left_out_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = save_classifier(tmp_path / "x.pt", **CHANNELS)
    with caplog.at_level(logging.WARNING):
        assert_starts_from(MICRO, tmp_path / "x.pt", state)
    assert "into the backbone" in caplog.text
    assert "left as drawn: heads, neck; tensors left out: 2 of classifier" in caplog.text


def test_a_new_head_is_what_it_gets_anyway(tmp_path: Path) -> None:
    save_classifier(tmp_path / "x.pt", **CHANNELS)
    plain = replace(MICRO, weights=str(tmp_path / "x.pt"))
    asked = build_model(replace(plain, new_head=True), INFO, 4).state_dict()
    assert all(
        torch.equal(tensor, asked[name]) for name, tensor in build_model(plain, INFO, 4).state_dict().items()
    )


def test_a_run_folder_stands_for_the_network_in_it(tmp_path: Path) -> None:
    state = save_classifier(tmp_path / "x.pt", **CHANNELS)
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    assert_starts_from(MICRO, tmp_path, state)


@pytest.mark.slow
@pytest.mark.parametrize("trained", [False, True])
def test_checkpoints_of_the_released_code_fit_too(trained: bool, tmp_path: Path) -> None:
    net = widened(NETS["mobilenetv2-0.35"], 2.6, 2.8) if trained else NETS["mobilenetv2-0.35"]
    wide = state_dict(net, 11)
    torch.save({"state_dict": wide}, tmp_path / "x.pt")
    model = build_model(ModelConfig(name="yolov3:mobilenetv2-0.35", weights=str(tmp_path / "x.pt")), INFO, 4)
    found = model.get_parameter("backbone.stages.3.1.project.conv.weight")
    given = wide["backbone.stages.2.op_list.1.conv.point_conv.conv.weight"]
    assert torch.equal(found, given[: len(found), : found.shape[1]])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm:mobilenetv3_small_050", "timm:regnetx_002", "timm:convnext_atto"])
def test_classifiers_of_timm_fit_though_timm_renames_their_stages(name: str, tmp_path: Path) -> None:
    state = {key.replace(".", "_"): one for key, one in save_classifier(tmp_path / "x.pt", name).items()}
    config = ModelConfig(name=f"yolov3:{name}", weights=str(tmp_path / "x.pt"))
    model = build_model(config, INFO, 4)
    for inner, tensor in model.get_submodule("backbone").state_dict().items():
        assert torch.equal(tensor, state[inner.replace(".", "_")]), inner


def test_the_classifier_of_a_run_with_netaug_is_then_widened_as_a_detector(tmp_path: Path) -> None:
    with seeded(1, "classifier"):
        classifier = create_model("micronet", num_classes=7, **CHANNELS)  # type: ignore[arg-type]
    state = augment(classifier, torch.randn(2, 3, 64, 64), AugmentConfig()).extract().state_dict()
    torch.save(state, tmp_path / "x.pt")
    model = build_model(replace(MICRO, weights=str(tmp_path / "x.pt")), INFO, 4)
    supernet = augment(model, torch.randn(2, 3, 64, 64), AugmentConfig())
    assert torch.equal(
        supernet.extract().get_parameter("backbone.stem.conv.weight"), state["stem.conv.weight"]
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({**CHANNELS, "channels": [4, 6, 8, 10]}, r"stages\.3\.0\.project\.conv\.weight: file \(10,"),
        (
            {**CHANNELS, "channels": [4, 6, 8, 8, 8], "blocks": [1] * 5, "strides": [2] * 4 + [1]},
            "unexpected",
        ),
    ],
)
def test_another_network_is_refused(options: dict[str, object], said: str, tmp_path: Path) -> None:
    save_classifier(tmp_path / "x.pt", **options)
    with pytest.raises(CheckpointError, match=r"does not fit micronet(.|\n)*" + said):
        build_model(replace(MICRO, weights=str(tmp_path / "x.pt")), INFO, 4)


def test_a_detector_starts_from_a_detector_and_says_its_number_of_classes(tmp_path: Path) -> None:
    with seeded(1, "detector"):
        model = create_model("yolov3:micronet", num_classes=20, **MICRO.options)
    torch.save(model.state_dict(), tmp_path / "x.pt")
    config = replace(MICRO, weights=str(tmp_path / "x.pt"))
    with pytest.raises(CheckpointError, match="for other classes than yolov3:micronet has here") as caught:
        build_model(config, INFO, 4)
    assert (caught.value.got, caught.value.allowed) == ("20 classes", 3)
    found = build_model(replace(config, new_head=True), INFO, 4).state_dict()
    differing = {name for name, tensor in found.items() if tensor.shape != model.state_dict()[name].shape}
    assert differing == {f"heads.{number}.1.{kind}" for number in range(3) for kind in ("weight", "bias")}
    assert all(
        torch.equal(found[name], one) for name, one in model.state_dict().items() if name not in differing
    )


def test_freezing_the_backbone_leaves_neck_and_heads() -> None:
    model = build_model(MICRO, INFO, 4)
    freeze(model, ["backbone"], ["heads.0.1.weight"])
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != name.startswith("backbone.")
