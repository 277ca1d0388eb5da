"""Trainings with branches and depth: exact resuming, averages, NetAug, and a run folder with the plain network."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.config.loading import load_config
from netaug.core.errors import RunFolderError
from netaug.data import Normalizer
from netaug.elastic.plain_network import BaseOnly, Network
from netaug.models import create_model
from netaug.reparameterize.settings import BranchSettings, DepthSettings
from netaug.reparameterize.training_layers import training_layers
from netaug.tasks import ClassificationTask
from netaug.tasks.evaluate import evaluate
from netaug.train.metrics import Tally
from netaug.train.reopen import open_supernet
from netaug.train.run import train
from netaug.train.trainer import Trainer
from netaug.weights.metadata import load_weights
from tests.reparameterize.test_branches import same_form
from tests.tiny import build, images
from tests.train.fakes import INFO, fake_data

CONFIG = TrainConfig(epochs=4, lr=0.05, momentum=0.9, label_smoothing=0.0, warmup_epochs=1.0)
BRANCHES, DEPTH = BranchSettings(branches=2), DepthSettings(ratio=2.0, start=0.25, until=0.5)
METHODS = {
    "branches": (BRANCHES, DepthSettings()),
    "depth": (BranchSettings(), DEPTH),
    "both": (BRANCHES, DEPTH),
    "one norm": (BranchSettings(branches=2, norms="one"), DEPTH),
}


def trainer(method: str, *, augmented: bool = False, **settings: Any) -> Trainer:
    layers = training_layers(*METHODS[method], seed=3)
    model = layers.wrap(build("inverted"), (images(),))
    network: Network = BaseOnly(model, 1)
    if augmented:
        network = augment(model, images(), AugmentConfig(width=(1.0, 2.0), expand=(1.0, 2.0)))
    config = dataclasses.replace(CONFIG, **settings)
    normalizer = Normalizer(INFO.mean, INFO.std, torch.device("cpu"), channels_last=False)
    task = ClassificationTask(0.0)
    return Trainer(network, fake_data(3), task, normalizer, config, sort=True, layers=layers)


class _EnoughError(Exception):
    pass


@pytest.mark.parametrize(
    ("method", "augmented", "stop_after"),
    [("branches", False, 4), ("depth", False, 5), ("both", True, 8)],
)
def test_a_stopped_training_resumes_to_the_same_bits(method: str, augmented: bool, stop_after: int) -> None:
    settings = {"augmented": augmented, "ema_decay": 0.8, "accumulate": 2 if augmented else 1}
    first = trainer(method, **settings)
    whole, stopped, resumed = (copy.deepcopy(first) for _ in range(3))
    records, state = list(whole.fit()), dict[str, Any]()

    def stop(epoch: int, done: int, tally: Tally) -> None:
        if stopped.steps_done == stop_after:
            state.update(stopped.state_dict())
            raise _EnoughError

    with pytest.raises(_EnoughError):
        list(stopped.fit(stop))
    resumed.load_state_dict(state)
    assert [record.val_loss for record in resumed.fit()][-1] == records[-1].val_loss
    for part in ("network", "average"):
        last, wanted = resumed.state_dict()[part], whole.state_dict()[part]
        assert all(torch.equal(last[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("optimizer", ["sgd", "lamb"])
def test_every_optimizer_trains_what_is_added(optimizer: str) -> None:
    subject = trainer("both", optimizer=optimizer, lr=0.01)
    before = {name: p.detach().clone() for name, p in subject.network.named_parameters()}
    list(subject.fit())
    weights = [(name, p) for name, p in subject.network.named_parameters() if p.ndim > 1]
    assert not [name for name, p in weights if torch.equal(p, before[name])]


def test_what_is_evaluated_is_the_plain_network_once_there_is_one() -> None:
    subject = trainer("both", ema_decay=0.8)
    plain = []
    for record in subject.fit():
        result = subject.result
        measured = evaluate(result, subject.data.val, subject.normalizer, subject.task)
        assert record.val_loss == measured["loss"]
        plain.append(same_form(result, build("inverted")))
        assert plain[-1] == subject.result_is_plain
    assert plain == [False, True, True, True]


@pytest.mark.parametrize("method", ["both", "one norm"])
def test_branches_are_parts_of_wider_networks_too(method: str) -> None:
    """Depth and branches come first, NetAug widens what they make; at base widths all is as without it."""
    layers = training_layers(*METHODS[method], seed=3)
    model = layers.wrap(build("inverted"), (images(),))
    supernet = augment(model, images(), AugmentConfig(width=(1.0, 2.0), expand=(1.0, 2.0)))
    assert isinstance(supernet, Supernet)
    widened = [group for group in supernet.groups.values() if group.most > group.base]
    plain = augment(build("inverted"), images(), AugmentConfig(width=(1.0, 2.0), expand=(1.0, 2.0)))
    assert len(widened) >= sum(group.most > group.base for group in plain.groups.values())
    layers.on_step(supernet.base, 1.0)
    merged = layers.finish(supernet.extract())
    assert same_form(merged, build("inverted"))
    torch.testing.assert_close(merged.eval()(images()), supernet.eval()(images()), rtol=1e-4, atol=1e-4)


WORDS = (
    *("--data.limit=192", "--data.batch_size=64", "--train.epochs=4", "--train.warmup_epochs=0"),
    *("--train.threads=1", "--model.options.channels=[4, 6]", "--reparameterize.branches=2"),
    *("--deepen.ratio=2", "--deepen.start=0.3", "--deepen.until=0.6"),
)


@pytest.mark.slow
def test_the_run_folder_has_the_plain_network(tmp_path: Path) -> None:
    config = load_config("demo/digits", WORDS)
    result = train(config, tmp_path / "run")
    network, card = load_weights(result.folder.weights)
    model = create_model(config.model.name, num_classes=10, in_chans=1, **config.model.options)
    assert network.state_dict().keys() == model.state_dict().keys()
    assert card.top1 == result.summary["val_top1"]
    assert result.summary["macs"] < result.summary["train_macs"] / (4 * 192) / 1.5
    with pytest.raises(RunFolderError, match="was trained with branches or deeper layers"):
        open_supernet(result.folder.path)
