"""Every packaged recipe trains: two steps on generated images, with everything but their number and size its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from netaug.config import RunConfig
from netaug.data import Normalizer, build_data
from netaug.models import create_model
from netaug.recipes import recipe_names
from netaug.recipes.loader import load_config
from netaug.tasks import ClassificationTask
from netaug.train.build import build_model, build_network, factory_options
from netaug.train.finetune import finetune_config
from netaug.train.loop import Trainer

SIDE = 33  # the smallest on which five strides leave something
CLASSES = ("ant", "bee", "cat")
SMALL = (
    "--data.batch_size=2",
    "--data.limit=4",
    "--data.workers=0",
    "--train.epochs=1",
    "--train.warmup_epochs=0",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training and three evaluation images of three classes, larger than the network's input."""
    root = tmp_path_factory.mktemp("pictures")
    drawn = torch.Generator().manual_seed(0)
    for name in CLASSES:
        for split, count in (("train", 2), ("val", 1)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels_HWC = torch.randint(0, 256, (48, 40, 3), generator=drawn, dtype=torch.uint8)
                Image.fromarray(pixels_HWC.numpy()).save(root / split / name / f"{number}.jpg")
    return root


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
    network = build_network(model, config, data.info)
    normalizer = Normalizer(data.info.mean, data.info.std, torch.device("cpu"), channels_last=False)
    task = ClassificationTask.of(config.train.label_smoothing, data.info)
    (record,) = Trainer(network, data, task, normalizer, config.train).fit()
    assert record.steps == 2
    assert record.train_loss == record.train_loss
    assert bool(record.widths) is config.netaug.enabled
    assert record.val_top1 is not None


def on_pictures(name: str, root: Path) -> list[str]:
    config = load_config(name)
    if name == "demo/digits":
        return [*SMALL]
    size = config.data.image_size if name.startswith("demo/") else SIDE
    chans = ["--data.mean=0.5", "--data.std=0.5"] if config.model.in_chans == 1 else []
    return [*SMALL, "--data.name=folder", f"--data.root={root}", f"--data.image_size={size or 28}", *chans]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in recipe_names() if not name.startswith("transfer/")])
def test_a_recipe_trains_for_two_steps(name: str, pictures: Path) -> None:
    two_steps(load_config(name, on_pictures(name, pictures)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("transfer/")])
def test_a_transfer_recipe_fine_tunes_for_two_steps(name: str, pictures: Path, checkpoint) -> None:
    words = on_pictures(name, pictures)
    given, config = finetune_config(str(checkpoint(name.rpartition("/")[2])), name, words)
    own = load_config(name)
    assert given == name
    assert (config.train.lr, config.model.dropout, config.netaug.enabled) == (
        own.train.lr,
        own.model.dropout,
        False,
    )
    assert factory_options(config.model)["dropout"] == own.model.dropout
    two_steps(config)
