"""`netaug import-weights`: a file from elsewhere becomes one that the other commands take, or a message."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from netaug.api.evaluation import check_classes
from netaug.cli import main
from netaug.data import DataInfo
from netaug.data.readers import wordnet
from netaug.models import create_model
from netaug.weights.metadata import load_weights
from tests.weights.released import NETS, forward, state_dict


def build(*, num_classes: int, in_chans: int) -> nn.Module:
    """A user's own network."""
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.Flatten(), nn.Linear(4 * 36, num_classes))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["import-weights", *words]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    assert not Path("model.safetensors").exists()
    return output.err


def released(classes: int = 3) -> dict[str, torch.Tensor]:
    state = state_dict(NETS["mcunet"], classes)
    torch.save({"state_dict": state}, "mcunet.pth")
    return state


def test_a_released_checkpoint_predicts_as_the_released_network(capsys: pytest.CaptureFixture[str]) -> None:
    state = released()
    Path("names.txt").write_text("cat\ndog\neel\n")
    assert main(["import-weights", "mcunet.pth", "--model", "mcunet", "--classes", "names.txt"]) == 0
    text = capsys.readouterr().out
    parameters = sum(p.numel() for p in create_model("mcunet", num_classes=3).parameters())
    assert f"{len(state)} tensors with {parameters:,} parameters, names as in the NetAug paper's" in text
    assert "from its 'state_dict'" in text
    assert "mcunet, 3 classes (named by --classes), images of 3x176x176" in text

    Image.linear_gradient("L").resize((176, 176)).convert("RGB").save("x.png")
    assert main(["predict", "model.safetensors", "x.png", "--json", "--device", "cpu"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    model, card = load_weights(Path("model.safetensors"))
    assert card.crop_ratio == 0.875
    images = torch.randn(1, 3, 64, 64)
    expected = forward(NETS["mcunet"], state, images)
    torch.testing.assert_close(model.double()(images.double()), expected)
    assert {entry["name"] for entry in found["classes"]} == {"cat", "dog", "eel"}
    assert sum(entry["probability"] for entry in found["classes"]) == pytest.approx(1)


@pytest.mark.parametrize(
    "words", [["--model", "micronet"], ["--model=micronet"], ["--model.name", "micronet"]]
)
def test_the_networks_own_names_and_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    model = create_model("micronet", num_classes=7, in_chans=1, stem=5)
    safetensors.torch.save_file(model.state_dict(), "theirs.safetensors")
    feed = ["--model.in_chans", "1", "--mean", "0.5", "--std", "0.25", "--image-size", "16"]
    options = ["--model.options.stem", "5", "--out", "ours.safetensors"]
    assert main(["import-weights", "theirs.safetensors", *words, *feed, *options]) == 0
    assert "named by their numbers" in capsys.readouterr().out
    loaded, card = load_weights(Path("ours.safetensors"))
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert (card.options, card.in_chans, card.image_size) == ({"stem": 5}, 1, 16)
    assert (card.mean, card.std) == ((0.5,), (0.25,))
    assert card.class_names == tuple("0123456")


def test_a_thousand_classes_are_imagenets_in_the_order_of_its_folders() -> None:
    torch.save(create_model("mobilenetv2-tiny").state_dict(), "x.pt")
    assert main(["import-weights", "x.pt", "--model", "mobilenetv2-tiny"]) == 0
    _, card = load_weights(Path("model.safetensors"))
    ids = wordnet.official_ids(wordnet.IMAGENET_1K)
    assert card.class_names[:2] == ("tench", "goldfish")
    assert card.class_names[134] == "crane (n02012849)"  # there are two cranes
    assert len(set(card.class_names)) == 1000
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert (card.mean, card.std, card.image_size) == (mean, std, 144)
    for names in (card.class_names, ids):  # of the dataset `imagenet`, and of folders named by their ids
        check_classes(card, DataInfo("x", names, 3, 144, mean, std, 0.875, 1, 1, "val"))


def test_a_network_of_timm_is_fed_as_timm_says() -> None:
    model = create_model("timm:test_vit", num_classes=4)
    torch.save({"model": model.state_dict()}, "x.pt")
    assert main(["import-weights", "x.pt", "--model", "timm:test_vit"]) == 0
    loaded, card = load_weights(Path("model.safetensors"))
    assert (card.num_classes, card.mean, card.image_size) == (4, (0.5, 0.5, 0.5), 160)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_users_own_network_is_imported() -> None:
    torch.save(build(num_classes=5, in_chans=3).state_dict(), "x.pt")
    assert main(["import-weights", "x.pt", "--model", f"{__name__}:build", "--image-size", "8"]) == 0
    trusted = {f"{__name__}:build"}
    assert load_weights(Path("model.safetensors"), trusted)[1].num_classes == 5


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mcunet.pth"], r"ConfigError: a weights file of another program does not say(?s:.*)--model NAME"),
        (["none.pth", "--model", "mcunet"], "CheckpointError: there is no weights file 'none.pth'"),
        ([".", "--model", "mcunet"], "CheckpointError: '.' is a folder"),
        (["mcunet.pth", "--model", "mcunett"], r"ModelError(?s:.*)mcunet"),
        (["mcunet.pth", "--model", "mobilenetv2-tiny"], r"CheckpointError(?s:.*)missing(?s:.*)Tried"),
        (["mcunet.pth", "--model", "mcunet", "--model.num_classes", "4"], r"num_classes 4, the file has 3"),
        (["mcunet.pth", "--model", "mcunet", "--model.lr", "4"], r"'model\.lr' is not a setting"),
        (["mcunet.pth", "--model", "mcunet", "--train.lr", "4"], "has no effect on `netaug import-weights`"),
        (["mcunet.pth", "--model", "mcunet", "--part", "ema"], "no part 'ema'"),
        (["mcunet.pth", "--model", "mcunet", "--out", "no/x.safetensors"], "folder that does not exist"),
        (["mcunet.pth", "--model", "mcunet", "--out", "mcunet.pth"], "exists already"),
        (["mcunet.pth", "--model", "mcunet", "--classes", "none.txt"], "'none.txt' cannot be read"),
        (["mcunet.pth", "--model", "mcunet", "--classes", "two.txt"], r"got: +2 names\n +allowed: 3"),
        (["mcunet.pth", "--model", "mcunet", "--classes", "twice.txt"], "line 3 .* is there twice"),
        (["mcunet.pth", "--model", "mcunet", "--classes", "gap.txt"], "line 2 .* is empty"),
        (["mcunet.pth", "--model", "mcunet", "--image-size", "0"], r"image_size 0"),
        (["mcunet.pth", "--model", "mcunet", "--image-size", "9"], "9x9 pixels are too small"),
        (["mcunet.pth", "--model", "mcunet", "--mean", "0.5"], r"mean \(0\.5,\)"),
        (["evil.pth", "--model", "mcunet"], "would run code"),
        (["empty.pth", "--model", "mcunet"], "is empty"),
        (["two.txt", "--model", "mcunet"], "not a file of weights"),
        (["nan.pth", "--model", "mcunet"], "1 of 3 are NaN or infinite in classifier.bias"),
        (["mcunet.pth", "--model", "mcunet", "--model.options.pretrained", "true"], "would be replaced"),
    ],
)
def test_mistakes_are_messages_with_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = released()
    Path("two.txt").write_text("a\nb\n")
    Path("twice.txt").write_text("a\nb\na\n")
    Path("gap.txt").write_text("a\n\nb\n")
    Path("empty.pth").touch()
    torch.save({"state_dict": state, "x": _Evil()}, "evil.pth")
    state["head.op_list.2.linear.bias"][1] = float("nan")
    torch.save(state, "nan.pth")
    before = Path("mcunet.pth").read_bytes()
    assert re.search(message, fails(capsys, *words))
    assert Path("mcunet.pth").read_bytes() == before
    assert not Path("owned").exists()


def test_finite_weights_that_give_no_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    state = released()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.fill_(-1)
    torch.save(state, "mcunet.pth")
    message = fails(capsys, "mcunet.pth", "--model", "mcunet")
    assert "answers with values that are not numbers" in message


def test_an_imported_file_needs_no_second_import(capsys: pytest.CaptureFixture[str]) -> None:
    released()
    assert main(["import-weights", "mcunet.pth", "--model", "mcunet", "--out", "a.safetensors"]) == 0
    capsys.readouterr()
    assert "needs no import" in fails(capsys, "a.safetensors", "--model", "mcunet")


def test_a_detector_is_refused_with_what_to_do_instead(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(create_model("micronet", num_classes=2).state_dict(), "x.pt")
    message = fails(capsys, "x.pt", "--model.name", "yolov3:micronet", "--out", "model.safetensors")
    assert "--model.weights x.pt" in message
