"""Every packaged recipe trains: two steps on generated images, with everything but their number and size its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from netaug.cli import main
from netaug.config import RunConfig
from netaug.config.loading import load_config
from netaug.config.recipes import recipe_names
from netaug.data import Normalizer, build_data
from netaug.models import create_model
from netaug.models.dropout import factory_options
from netaug.tasks import ClassificationTask
from netaug.train.build import build_model, build_network
from netaug.train.finetune import finetune_config
from netaug.train.trainer import Trainer
from tests.data.layouts import LAYOUTS, accept_checksums

OTHERS = ("transfer/", "detection/", "demo/bccd")  # below, and in test_detection_runs.py
SIDE = 33  # the smallest on which five strides leave something
SMALL = (
    "--data.batch_size=2",
    "--data.limit=4",
    "--data.workers=0",
    "--train.epochs=1",
    "--train.warmup_epochs=0",
)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory):
    """A function that gives the root of a dataset in its official layout, with a few generated images."""
    roots: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in roots:
            roots[name] = tmp_path_factory.mktemp(name)
            LAYOUTS["imagenet" if name == "folder" else name](roots[name])  # class folders
        return roots[name]

    return of


@pytest.fixture(autouse=True)
def _generated_files_have_no_known_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    accept_checksums(monkeypatch)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory):
    """A function that gives a checkpoint of a network of 1,000 classes."""
    folder = tmp_path_factory.mktemp("weights")

    def of(name: str) -> Path:
        path = folder / f"{name}.pth"
        if not path.exists():
            torch.save({"state_dict": create_model(name).state_dict()}, path)
        return path

    return of


def two_steps(config: RunConfig) -> None:
    data = build_data(config.data, seed=0)
    model = build_model(config.model, data.info, 0)
    network = build_network(model, config.model, config.netaug, data.info, seed=config.train.seed)
    normalizer = Normalizer(data.info.mean, data.info.std, torch.device("cpu"), channels_last=False)
    task = ClassificationTask.of(config.train.label_smoothing, data.info)
    (record,) = Trainer(network, data, task, normalizer, config.train).fit()
    assert record.steps == 2
    assert record.train_loss == record.train_loss
    assert bool(record.widths) is config.netaug.enabled
    assert record.val_top1 is not None


def small(name: str, layout) -> list[str]:
    """What makes a recipe small; its dataset stays its own."""
    if name == "demo/digits":
        return [*SMALL]
    config = load_config(name)
    size = [] if name.startswith("demo/") else [f"--data.image_size={SIDE}"]
    return [*SMALL, f"--data.root={layout(config.data.name)}", *size]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in recipe_names() if not name.startswith(OTHERS)])
def test_a_recipe_trains_for_two_steps(name: str, layout) -> None:
    two_steps(load_config(name, small(name, layout)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("transfer/")])
def test_a_transfer_recipe_fine_tunes_for_two_steps(name: str, layout, checkpoint) -> None:
    given, config = finetune_config(str(checkpoint(name.rpartition("/")[2])), name, small(name, layout))
    own = load_config(name)
    assert given == name
    assert (config.train.lr, config.model.dropout, config.netaug.enabled) == (
        own.train.lr,
        own.model.dropout,
        False,
    )
    assert factory_options(config.model)["dropout"] == own.model.dropout
    two_steps(config)


@pytest.mark.slow
def test_pets_are_measured_class_by_class_too(layout, checkpoint, tmp_path: Path, capsys) -> None:
    words = [f"--data.root={layout('pets')}", "--data.name=pets", f"--data.image_size={SIDE}", *SMALL]
    out = tmp_path / "run"
    start = ["finetune", "--from", str(checkpoint("mobilenetv2-tiny")), "--model.name=mobilenetv2-tiny"]
    assert main([*start, *words, "--out", str(out)]) == 0
    found = capsys.readouterr()
    assert "mean per class" in found.out
    assert "settings of transfer/pets/mobilenetv2-tiny" in found.err
    assert json.loads((out / "summary.json").read_text())["val_mean_per_class"] is not None
    assert main(["eval", str(out)]) == 0
    assert "mean per class" in capsys.readouterr().out
