"""A network with more channels is trained and saved as any other, and can be the teacher of its own base."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import netaug
from netaug.config import ModelConfig
from netaug.config.loading import load_config
from netaug.core.beside import teacher_folder
from netaug.core.errors import ConfigError
from netaug.profile import profile
from netaug.train import run as run_module
from netaug.train.own_teacher import teacher_settings
from netaug.train.run import train
from netaug.train.widened import widened

SHORT = (
    *("--data.limit=64", "--train.epochs=2", "--train.warmup_epochs=0", "--train.threads=1"),
    *("--train.checkpoint_every=1", "--data.eval_batch_size=64"),
)
TAUGHT = load_config("demo/digits", (*SHORT, "--distill.teacher=wider:3", "--netaug.enabled=false"))


@pytest.mark.parametrize("name", ["micronet", "resnet8"])
def test_a_widened_network_is_of_the_same_class_and_has_more_channels(name: str) -> None:
    model = netaug.create_model(name, num_classes=7)
    images = torch.randn(2, 3, 64, 64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wider = widened(model, images, 2.0, name)
    assert type(wider) is type(model)
    assert wider(images).shape == (2, 7)
    assert 3 < profile(wider, images).params / profile(model, images).params < 4.5
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_widened_network_is_saved_with_what_builds_it_again(tmp_path: Path) -> None:
    config = load_config("demo/digits", (*SHORT, "--model.widen=2.5", "--netaug.enabled=false"))
    result = train(config, tmp_path / "run")
    loaded = netaug.load(tmp_path / "run")
    image = torch.randn(2, 1, 8, 8)
    assert profile(loaded, image).params == result.summary["params"] > 3 * 331
    assert netaug.evaluate(tmp_path / "run").metrics["top1"] == pytest.approx(result.summary["val_top1"])


def test_a_training_makes_its_teacher_first_and_counts_its_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(TAUGHT, tmp_path / "run")
    assert "micronet with 3 times the channels, is trained first" in capsys.readouterr().err
    teacher = json.loads((tmp_path / "run-teacher" / "summary.json").read_text())
    alone = train(replace(TAUGHT, distill=replace(TAUGHT.distill, teacher=())), tmp_path / "alone").summary
    assert result.summary["teacher_top1"] == pytest.approx(teacher["val_top1"])
    assert result.summary["train_macs"] > teacher["train_macs"] + alone["train_macs"]
    assert result.summary["params"] == alone["params"] == 331
    given = replace(TAUGHT, distill=replace(TAUGHT.distill, teacher=(str(tmp_path / "run-teacher"),)))
    same = train(given, tmp_path / "given")
    assert same.folder.weights.read_bytes() == result.folder.weights.read_bytes()


def test_a_teacher_that_is_there_is_not_trained_again_and_one_that_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = train(TAUGHT, tmp_path / "a")
    begun = run_module.TrainingConsole.epoch

    def stop(self: object, record: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module.TrainingConsole, "epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        train(TAUGHT, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    monkeypatch.setattr(run_module.TrainingConsole, "epoch", begun)
    resumed = train(TAUGHT, tmp_path / "b")
    assert resumed.folder.weights.read_bytes() == undisturbed.folder.weights.read_bytes()
    written = (tmp_path / "b-teacher" / "summary.json").stat().st_mtime_ns
    train(replace(TAUGHT, train=replace(TAUGHT.train, epochs=3)), tmp_path / "b", resume=True)
    assert (tmp_path / "b-teacher" / "summary.json").stat().st_mtime_ns == written


def test_the_teacher_has_the_students_settings_and_no_more(tmp_path: Path) -> None:
    config = load_config("demo/digits", (*SHORT, "--distill.teacher=wider:3", "--deepen.ratio=2"))
    settings = teacher_settings(config, 3.0)
    assert (settings.model.widen, settings.netaug.enabled, settings.deepen.ratio) == (3.0, False, 0.0)
    assert settings.distill.teacher == ()
    assert settings.data == config.data
    assert teacher_folder(tmp_path / "x") == tmp_path / "x-teacher"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model.widen=0.5",), "model.widen is out of range"),
        (("--model.widen=17",), "model.widen is out of range"),
        (("--model.widen=2", "--model.weights=x.pth"), "no weights to start from"),
    ],
)
def test_factors_that_cannot_be_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("demo/digits", words)


def test_a_teacher_of_its_own_is_the_only_one(tmp_path: Path) -> None:
    twice = replace(TAUGHT, distill=replace(TAUGHT.distill, teacher=("wider:2", "runs/x")))
    with pytest.raises(ConfigError, match="is the only one"):
        train(twice, tmp_path / "run")
    both = replace(TAUGHT, model=ModelConfig(name="micronet", widen=2))
    with pytest.raises(ConfigError, match="is the only one"):
        train(both, tmp_path / "run")
    assert not list(tmp_path.iterdir())
