"""Both Lightning modules train as our own loop does, to the bit; Lightning's checkpoints bring a training back."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import netaug
from tests import tiny
from tests.examples.watching import assert_like_our_loop, load, watched

pytestmark = [
    pytest.mark.slow,
    # It says what Lightning calls of torch's pytree, in a version of torch newer than itself.
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated"),
    # Advice on workers, which data in memory has no use for.
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return load("lightning_module")


@pytest.mark.parametrize("name", ["NetAug", "NetAugByHand"])
def test_lightning_module(
    name: str, example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with watched() as watch:
        network = example.main(epochs=4, images=100, module=getattr(example, name))
    assert_like_our_loop(watch, F.cross_entropy, steps=8)
    assert len(watch.orders) == 1, "sorted at the start of the second of four epochs"
    assert network.state_dict().keys() == netaug.create_model("micronet").state_dict().keys()
    assert not list(tmp_path.iterdir()), "the example leaves files behind"


def fit(task: Any, folder: Path, ckpt_path: Path | None = None) -> None:
    """Three epochs of two steps, or what is left of them; without a checkpoint one is written per epoch."""
    import lightning

    class Save(lightning.Callback):
        def on_train_epoch_end(self, trainer: Any, task: Any) -> None:
            trainer.save_checkpoint(folder / f"{trainer.current_epoch}.ckpt")

    loader = DataLoader(TensorDataset(tiny.images(8), tiny.labels(8)), batch_size=4)
    callbacks = [] if ckpt_path else [Save()]
    trainer = lightning.Trainer(
        max_epochs=3, callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(task, loader, ckpt_path=ckpt_path)


@pytest.mark.parametrize("name", ["NetAug", "NetAugByHand"])
def test_a_training_goes_on_from_a_checkpoint(name: str, example: ModuleType, tmp_path: Path) -> None:
    """To the bit: weights, momentum and the count of steps are in it."""
    module = getattr(example, name)
    whole, resumed = (module(tiny.build("inverted", seed), tiny.images()) for seed in (0, 1))
    fit(whole, tmp_path)
    fit(resumed, tmp_path, ckpt_path=tmp_path / "0.ckpt")
    assert resumed.global_step == 6
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key


def test_a_checkpoint_is_loaded_by_lightning(example: ModuleType, tmp_path: Path) -> None:
    """The base network and the wider ones compute what they did."""
    task = example.NetAug(tiny.build("inverted"), tiny.images())
    fit(task, tmp_path)
    other = {"model": tiny.build("inverted", seed=1), "example": tiny.images()}
    loaded = example.NetAug.load_from_checkpoint(tmp_path / "2.ckpt", **other)
    one, two = task.supernet.eval(), loaded.supernet.eval()
    assert torch.equal(one.extract()(tiny.images()), two.extract()(tiny.images()))
    one.use_widest(), two.use_widest()
    assert torch.equal(one(tiny.images()), two(tiny.images()))
