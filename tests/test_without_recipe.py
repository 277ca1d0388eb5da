"""A training needs no recipe: settings follow from the images and the network, and are said with their reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netaug
from netaug.api.default_settings import derive_settings
from netaug.cli import main
from netaug.commands.compare import asked
from netaug.compare.run_specs import tune_runs
from netaug.config.loading import load_config
from netaug.core.errors import ConfigError, DataError
from netaug.data.recognize import recognize, recognized_words
from netaug.runs.folder import read_config
from tests.data.detection.making import small_voc

OWN_NETWORK = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))

class TwoClasses(Small):
    def __init__(self):
        super().__init__(2)

class SevenClasses(Small):
    def __init__(self):
        super().__init__(7)
"""


def pictures(folder: Path, count: int, side: int = 16) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(len(str(folder)))
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        pictures(tmp_path / "images" / name, 20)
    return tmp_path / "images"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets.py").write_text(OWN_NETWORK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_flat_folder_and_a_class_in_a_file_are_all_it_takes(
    flat: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--model", "nets.py:Small", "--data", str(flat), "--epochs", "1"]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "2 folders of images, one per class" in said
    assert "20% of the images are held out" in said
    out = here / "runs" / "nets.py-Small-images-netaug-seed0"
    config = read_config(out)
    assert (config.model.name, config.data.holdout, config.train.epochs) == ("nets.py:Small", 0.2, 1)
    assert (config.data.batch_size, config.data.image_size) == (16, 16)
    held = (out / "validation_images.txt").read_text().splitlines()
    assert len(held) == 8
    assert all((flat / name).is_file() for name in held)
    # The same again trains into a folder beside it, and loses nothing.
    assert main([*words, "--seed", "0"]) == 0
    assert (here / "runs" / "nets.py-Small-images-netaug-seed0-2" / "summary.json").is_file()


@pytest.mark.parametrize(("name", "fails"), [("TwoClasses", ""), ("SevenClasses", "one logit per class")])
def test_a_factory_may_know_its_classes_but_not_wrongly(
    name: str, fails: str, flat: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["train", "--model", f"nets.py:{name}", "--data", str(flat), "--epochs", "1"])
    assert code == (2 if fails else 0)
    assert fails in capsys.readouterr().err


def test_python_takes_the_same_words(flat: Path, here: Path) -> None:
    result = netaug.train(model="nets.py:Small", data=flat, epochs=1, out="mine")
    assert result.summary["val_split"] == "holdout"
    assert result.summary["epochs"] == 1


def test_settings_follow_the_data_and_what_is_given_wins(tmp_path: Path) -> None:
    for split, count in (("train", 60), ("val", 4)):
        for name in ("a", "b", "c"):
            pictures(tmp_path / split / name, count, side=80)
    derived = derive_settings([f"--data.root={tmp_path}"])
    assert derived.values["data.name"] == "folder"
    assert "data.holdout" not in derived.values
    assert derived.values["model.name"] == "mobilenetv2-tiny"
    assert derived.values["data.image_size"] == 96
    assert derived.values["data.augment"] == "imagenet"
    assert (derived.values["data.batch_size"], derived.values["train.epochs"]) == (16, 300)
    decided = {line.partition(" ")[0] for line in derived.reasons}
    assert {"batch", "epochs", "warm-up", "rate", "workers"} <= decided
    given = derive_settings([f"--data.root={tmp_path}", "--data.batch_size=64", "--model.name=mcunet"])
    assert given.values["train.lr"] == 0.05
    assert not any(line.startswith("network") for line in given.reasons)


def test_a_comparison_needs_no_recipe_either(
    flat: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = asked(["--data", str(flat), "--model", "micronet", "--epochs=1", "--seeds", "1"])
    assert request.out == Path("runs/compare-micronet-images")
    assert {"--data.holdout=0.2", "--model.name=micronet", "--train.epochs=1"} <= set(request.overrides)
    assert "2 folders of images" in capsys.readouterr().err
    config = load_config(request.recipe, request.overrides)
    assert (config.data.batch_size, config.train.epochs) == (16, 1)


def test_rates_are_not_chosen_on_the_images_that_judge(flat: Path, here: Path) -> None:
    request = asked(["--data", str(flat), "--model", "micronet", "--seeds", "1", "--lr", "0.1", "0.2"])
    assert "--data.holdout=0.2" in request.overrides
    assert {spec.tuned_on for spec in tune_runs(request, ["netaug", "baseline"])} == {"data.tune_holdout"}


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["train/a/1.jpg", "val/a/1.jpg"], "folder"),
        (["a/1.jpg", "b/1.jpg"], "folder"),
        (["BCCD/JPEGImages/1.jpg", "BCCD/Annotations/1.xml"], "voc"),
        (["annotations/instances_train2017.json", "train2017/1.jpg"], "coco"),
        (["train/_annotations.coco.json", "train/1.jpg"], "coco"),
        (["data.yaml", "images/train/1.jpg"], "yolo"),
        (["images/train/1.jpg", "labels/train/1.txt"], "yolo"),
        (["index.npy", "images.bin"], "packed"),
        (["cifar-10-batches-py/data_batch_1"], "cifar10"),
        (["train/0.tar", "val/0.tar"], "webdataset"),
        (["train.csv", "val.csv", "images/1.jpg"], "table"),
        (["list.csv", "images/1.jpg"], "table"),
        (["dataset_dict.json"], "hf"),
    ],
)
def test_a_dataset_is_recognized_by_names_of_files(tmp_path: Path, files: list[str], name: str) -> None:
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert recognize(tmp_path).name == name


def test_images_are_held_out_where_no_others_are_for_evaluation(
    flat: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{path},{path.parent.name}" for path in sorted(flat.glob("*/*.png"))]
    (here / "list.csv").write_text("\n".join(["path,label", *rows]))
    assert derive_settings(["--data.root=list.csv"]).values["data.holdout"] == 0.2
    assert main(["data", "pack", "--data", "list.csv", "--out", "packed"]) == 0
    assert "netaug train --data packed" in capsys.readouterr().out
    derived = derive_settings(["--data.root=packed"])
    assert (derived.values["data.name"], derived.values["data.holdout"]) == ("packed", 0.2)
    words, sentence = recognized_words({"data.root": "packed"})
    assert "--data.holdout=0.2" in words
    assert "20% of the images are held out" in sentence
    assert "data.holdout" not in derive_settings(["--data.root=packed", "--data.holdout=0.3"]).values
    with pytest.raises(DataError, match="no evaluation split"):
        derive_settings(["--data.root=packed", "--data.holdout=0"])


def test_broken_images_are_left_out_where_that_is_asked_for(flat: Path, here: Path) -> None:
    (flat / "cat" / "0.png").write_bytes(b"nothing")
    words = ["train", "--model", "nets.py:Small", "--data", str(flat), "--epochs", "1", "--out", "run"]
    assert main(words) == 2
    assert main([*words, "--data.on_error", "skip"]) == 0
    for path in flat.glob("*/*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="does not decode"):
        derive_settings([f"--data.root={flat}", "--data.on_error=skip"])


def test_a_folder_in_place_of_a_recipe_is_answered_with_the_option(
    flat: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(flat)]) == 2
    assert f"--data {flat}" in capsys.readouterr().err


def test_boxes_without_evaluation_images_are_split_too(tmp_path: Path) -> None:
    small_voc(tmp_path)
    for file in tmp_path.rglob("ImageSets/Main/*.txt"):
        if file.stem in ("val", "test"):
            file.unlink()
    words, _ = recognized_words({"data.root": str(tmp_path)})
    assert "--data.holdout=0.2" in words
    assert derive_settings([f"--data.root={tmp_path}"]).values["data.holdout"] == 0.2


def test_what_is_not_recognized_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="no dataset that is known"):
        recognize(tmp_path)
    with pytest.raises(DataError, match="there is no"):
        recognize(tmp_path / "nowhere")
    (tmp_path / "pets.zip").touch()
    with pytest.raises(DataError) as caught:
        recognize(tmp_path / "pets.zip")
    assert f"unzip '{tmp_path / 'pets.zip'}'" in str(caught.value.fix)
    pictures(tmp_path / "one" / "cat", 1)
    with pytest.raises(DataError) as caught:
        recognize(tmp_path / "one")
    assert "a second class" in str(caught.value.fix)
    with pytest.raises(ConfigError, match="needs a recipe, or images"):
        derive_settings([])


def test_boxes_get_a_detector_and_no_other_network(tmp_path: Path) -> None:
    small_voc(tmp_path)
    derived = derive_settings([f"--data.root={tmp_path}"])
    assert derived.values["data.name"] == "voc"
    assert derived.values["model.name"] == "yolov3:mobilenetv2-0.35"
    assert derived.values["data.image_size"] % 32 == 0
    with pytest.raises(ConfigError, match="names whole images") as error:
        derive_settings([f"--data.root={tmp_path}", "--model.name=mcunet"])
    assert "--model yolov3:mcunet" in str(error.value.report())


def test_tiny_networks_have_a_higher_rate(flat: Path, here: Path) -> None:
    tiny = derive_settings(["--model.name=nets.py:Small", f"--data.root={flat}"])
    larger = derive_settings(["--model.name=mobilenetv2-tiny", f"--data.root={flat}"])
    given = derive_settings(["--model.name=nets.py:Small", f"--data.root={flat}", "--data.batch_size=8"])
    assert tiny.values["train.lr"] == pytest.approx(0.4 * 16 / 128)
    assert larger.values["train.lr"] == pytest.approx(0.1 * 16 / 128)
    assert given.values["train.lr"] == pytest.approx(0.4 * 8 / 128)
    assert any("below 20,000 parameters" in reason for reason in tiny.reasons)


def test_a_network_that_is_built_already_is_a_message(flat: Path, here: Path) -> None:
    with (here / "nets.py").open("a") as file:
        file.write("\nready = Small(2)\n")
    with pytest.raises(netaug.errors.ModelError, match="built already") as caught:
        netaug.train(model="nets.py:ready", data=flat, epochs=1)
    assert caught.value.fix == "name its class: nets.py:Small"


@pytest.mark.parametrize(
    ("name", "fix"), [("nets.py", "nets.py:NAME"), ("nets.py:Nothing", "it has: Small, TwoClasses")]
)
def test_a_file_alone_or_a_wrong_name_in_it_says_what_it_has(
    name: str, fix: str, flat: Path, here: Path
) -> None:
    with pytest.raises(netaug.errors.ModelError) as caught:
        netaug.train(model=name, data=flat, epochs=1)
    assert fix in str(caught.value.fix)


def test_a_network_that_cannot_be_built_is_a_message(flat: Path, here: Path) -> None:
    words = ["train", "--model", "nets.py:Nothing", "--data", str(flat), "--epochs", "1"]
    assert main(words) == 2
