"""`netaug finetune`: other classes on pre-trained weights, from every kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from netaug.cli import main
from netaug.config import DataConfig, ModelConfig, NetAugConfig, RunConfig, TrainConfig
from netaug.core.errors import ConfigError
from netaug.train.finetune import finetune_config
from netaug.train.run import train
from netaug.weights.metadata import load_weights, read_card
from tests.commands.test_predict import write_classifier

OPTIONS = {"stem": 3, "channels": [4], "blocks": [1], "strides": [1], "dropout": 0.1}
PICK = ["--data.name", "digits", "--data.classes", "5,6,7,8,9"]
SHORT = ["--data.shots", "20", "--data.batch_size", "50", "--train.epochs", "1", "--train.threads", "1"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = DataConfig(name="digits", classes=("0", "1", "2", "3", "4"), limit=100, batch_size=50, mean=(0.2,))
    run = RunConfig(
        ModelConfig(name="micronet", options=OPTIONS),
        data,
        NetAugConfig(),
        TrainConfig(epochs=1, warmup_epochs=0, threads=1),
    )
    return train(run, tmp_path_factory.mktemp("pre") / "run").folder.path


@pytest.mark.parametrize("arm", ["false", "true"])
def test_a_run_is_fine_tuned_to_other_classes(pretrained: Path, tmp_path: Path, arm: str, capsys) -> None:
    out = tmp_path / "tuned"
    words = [*PICK, *SHORT, "--model.dropout", "0.4", "--netaug.enabled", arm, "--out", str(out)]
    assert main(["finetune", "--from", str(pretrained), *words]) == 0
    assert "top-1" in capsys.readouterr().out
    _, card = load_weights(out / "model.safetensors")
    assert (card.class_names, card.mean, card.image_size) == (("5", "6", "7", "8", "9"), (0.2,), 8)
    assert card.options == {**OPTIONS, "dropout": 0.4}
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["netaug"]["enabled"] is (arm == "true")
    assert config["model"]["new_head"] is True
    assert json.loads((out / "environment.json").read_text())["weights_sha256"]


def test_with_everything_but_the_classifier_frozen_the_backbone_is_the_pretrained_one(
    pretrained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    words = [*PICK, *SHORT, "--train.freeze", "backbone", "--out", str(out)]
    assert main(["finetune", "--from", str(pretrained), *words]) == 0
    before, after = (load_weights(p / "model.safetensors")[0].state_dict() for p in (pretrained, out))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"classifier.weight", "classifier.bias"}


def test_few_images_make_smaller_batches_and_a_lower_rate(
    pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, config = finetune_config(str(pretrained), None, [*PICK, "--data.shots", "20"])
    assert (config.data.batch_size, config.train.lr) == (16, pytest.approx(0.2 * 16 / 256))
    assert (
        "batches have 16 images instead of 256: there are only 100 training images" in capsys.readouterr().err
    )
    _, config = finetune_config(str(pretrained), None, [*PICK, "--data.shots", "2", "--train.lr", "0.3"])
    assert (config.data.batch_size, config.train.lr) == (10, 0.3)  # a rate that is given stays
    assert "rate" not in capsys.readouterr().err
    _, config = finetune_config(
        str(pretrained), None, [*PICK, "--data.shots", "20", "--data.batch_size", "50"]
    )
    assert (config.data.batch_size, config.train.lr) == (50, 0.2)
    assert capsys.readouterr().err == ""


def test_a_folder_of_images_is_recognized_in_fine_tuning_and_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classifier(tmp_path / "w.safetensors", ("a", "b", "c"))
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.full((8, 8), 10 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    folder, out = str(tmp_path / "pets"), tmp_path / "tuned"
    more = ["--train.epochs", "1", "--train.threads", "1", "--data.flip", "false"]
    source = ["--from", str(tmp_path / "w.safetensors")]
    assert main(["finetune", *source, "--data", folder, *more, "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "is read as folder, recognized by 2 folders of images, one per class; 20% of the images" in said
    assert load_weights(out / "model.safetensors")[1].class_names == ("cat", "dog")
    assert main(["eval", str(out)]) == 0
    own = capsys.readouterr().out
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((out / "model.safetensors").read_bytes())
    assert main(["eval", str(alone), "--data", folder]) == 0
    assert capsys.readouterr().out == own  # the same images are held out


def test_data_with_boxes_asks_for_a_detector(pretrained: Path, tmp_path: Path) -> None:
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match="the data has boxes") as caught:
        finetune_config(str(pretrained), None, [f"--data.root={tmp_path}"])
    assert f"netaug train --model yolov3:micronet --model.weights {pretrained}" in str(caught.value.fix)


def test_a_detector_is_not_fine_tuned_but_trained_from_these_weights(pretrained: Path) -> None:
    with pytest.raises(ConfigError, match="a detector is trained") as caught:
        finetune_config(str(pretrained), None, [*PICK, "--model.name", "yolov3:micronet"])
    assert f"--model.name yolov3:micronet --model.weights {pretrained}" in str(caught.value.fix)


def test_without_a_recipe_the_settings_are_the_papers_fed_as_in_pretraining(pretrained: Path) -> None:
    name, config = finetune_config(str(pretrained), None, PICK)
    assert name == "finetune-digits-micronet"
    t, d = config.train, config.data
    assert (t.epochs, t.warmup_epochs, t.weight_decay, t.label_smoothing, t.momentum) == (
        55,
        5,
        4e-5,
        0.1,
        0.9,
    )
    assert (d.batch_size, d.image_size, d.mean, d.augment) == (256, 8, (0.2,), "small")
    assert not config.netaug.enabled
    assert config.model.weights == str(pretrained / "model.safetensors")
    assert d.std == read_card(pretrained / "model.safetensors").std  # type: ignore[union-attr]
    shorter = finetune_config(str(pretrained), None, [*PICK, "--train.epochs", "11"])[1]
    assert shorter.train.warmup_epochs == 1


def test_a_checkpoint_of_another_program_needs_the_name_and_takes_imagenets_normalization(
    pretrained: Path, tmp_path: Path, capsys
) -> None:
    file = tmp_path / "x.pth"
    torch.save({"state_dict": load_weights(pretrained / "model.safetensors")[0].state_dict()}, file)
    assert main(["finetune", "--from", str(file), *PICK]) == 2
    assert "--model.name" in capsys.readouterr().err
    config = finetune_config(str(file), None, [*PICK, "--model.name", "micronet"])[1]
    assert (config.data.image_size, config.data.augment, len(config.data.mean)) == (32, "imagenet", 3)
    own = ["--model.name", "micronet", "--model.options", json.dumps(OPTIONS), "--data.image_size", "8"]
    fed = ["--data.mean", "0.3", "--data.std", "0.3", "--data.augment", "none", "--data.workers", "0"]
    out = ["--out", str(tmp_path / "tuned")]
    assert main(["finetune", "--from", str(file), *PICK, *SHORT, *own, *fed, *out]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.name", "digits", "--model.name", "mcunet"], "of another network"),
        ([], "fine-tuning needs images"),
        ([*PICK, "--data.batch_size", "20", "--model.num_classes", "10"], "model.num_classes differs"),
        (["--data.name", "digits", "--data.classes", "5,x"], "does not have"),
        (
            ["--data.name=digits", "--data.batch_size=20", "--model.new_head=false", "--data.classes=1,2"],
            "for other classes",
        ),
    ],
)
def test_what_cannot_be_fine_tuned_is_explained(
    pretrained: Path, tmp_path: Path, words: list[str], message: str, capsys
) -> None:
    shots = ["--data.shots", "10"] if "--data.name" in words else []
    code = main(["finetune", "--from", str(pretrained), *words, *shots, "--out", str(tmp_path / "no")])
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_missing_file_and_a_missing_from_are_explained(tmp_path: Path, capsys) -> None:
    assert main(["finetune", "--from", str(tmp_path / "none"), *PICK]) == 2
    assert "there is no run folder or weights file" in capsys.readouterr().err
    assert main(["finetune", *PICK]) == 2
    assert "from" in capsys.readouterr().err
