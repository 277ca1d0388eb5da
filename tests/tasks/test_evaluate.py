"""An evaluation sees every image once, in evaluation mode, and leaves the network as it was."""

from __future__ import annotations

import pytest
import torch

from netaug.core.errors import DataError
from netaug.data import ClassificationBatch, Normalizer
from netaug.tasks import ClassificationTask
from netaug.tasks.evaluate import evaluate
from tests import tiny

NORMALIZER = Normalizer((0.5,) * 3, (0.25,) * 3, torch.device("cpu"), channels_last=False)


def batches(sizes: list[int]) -> list[ClassificationBatch]:
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (sum(sizes), 3, 8, 8), dtype=torch.uint8, generator=drawn)
    labels = tiny.labels(sum(sizes))
    parts = zip(images.split(sizes), labels.split(sizes), torch.arange(sum(sizes)).split(sizes), strict=True)
    return [ClassificationBatch(*part) for part in parts]


def test_the_size_of_batches_does_not_matter() -> None:
    model, task = tiny.build("inverted"), ClassificationTask(0.1)
    whole = evaluate(model, batches([11]), NORMALIZER, task)
    parts = evaluate(model, batches([4, 4, 3]), NORMALIZER, task)
    assert parts["top1"] == whole["top1"]
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    (batch,) = batches([11])
    outputs = model.eval()(NORMALIZER(batch.images_NCHW))
    assert whole["top1"] == 100 * float((outputs.argmax(1) == batch.labels_N).sum()) / 11


def test_modes_and_statistics_are_as_before() -> None:
    model = tiny.build("inverted").train()
    model.get_submodule("stem").eval()
    modes = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, batches([4]), NORMALIZER, ClassificationTask())
    assert [module.training for module in model.modules()] == modes
    assert len(set(modes)) == 2
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_no_images_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(tiny.build("plain"), [], NORMALIZER, ClassificationTask())
