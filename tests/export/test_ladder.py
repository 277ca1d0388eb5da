"""A trained network keeps its accuracy in int8, and images for its ranges come from the run's training data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netaug.config import RunConfig
from netaug.core.errors import DataError
from netaug.data import Data, Normalizer, build_data
from netaug.export.calibration import calibration_batches
from netaug.export.graph import ExportError, Graph
from netaug.export.int8 import GraphInt8
from netaug.export.ladder import FloatNetwork, Int8Network, check_float_form, measure_ladder
from netaug.export.quantize import quantize
from netaug.export.ranges import measure_ranges
from netaug.export.tracing import float_graph
from netaug.models import create_model
from netaug.tasks.registry import choose_task
from netaug.weights.metadata import ModelCard
from tests.data.detection.making import small_voc
from tests.export.shaken import shaken

CONFIG = RunConfig()
DIGITS = replace(CONFIG.data, name="digits", batch_size=64, augment="none")


def card_of(data: Data) -> ModelCard:
    info = data.info
    return ModelCard(
        name="micronet",
        options={},
        num_classes=info.num_classes,
        class_names=info.class_names,
        in_chans=info.in_chans,
        image_size=info.image_size,
        mean=info.mean,
        std=info.std,
        crop_ratio=info.crop_ratio,
        top1=None,
        val_split=info.val_split,
        netaug_version="0",
    )


def trained(data: Data) -> nn.Module:
    """A micronet after 12 epochs on digits."""
    torch.manual_seed(0)
    model = create_model("micronet", in_chans=1, num_classes=10)
    normalizer = Normalizer(data.info.mean, data.info.std, torch.device("cpu"), False)
    epochs = 12
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=epochs * len(data.train))
    for epoch in range(epochs):
        for batch in data.train.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(model(normalizer(batch.images_NCHW)), batch.targets).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@pytest.fixture(scope="module")
def data() -> Data:
    return build_data(DIGITS, seed=0)


@pytest.fixture(scope="module")
def exported(data: Data) -> tuple[nn.Module, Graph, GraphInt8]:
    model = trained(data)
    side = data.info.image_size
    graph = float_graph(model, torch.zeros(1, 1, side, side))
    ranges = measure_ranges(graph, calibration_batches(DIGITS, card_of(data), count=200, side=side))
    return model, graph, quantize(graph, ranges)


@pytest.mark.slow
def test_int8_keeps_the_accuracy_of_a_trained_network(
    data: Data, exported: tuple[nn.Module, Graph, GraphInt8]
) -> None:
    model, graph, graph8 = exported
    normalizer = Normalizer(data.info.mean, data.info.std, torch.device("cpu"), False)
    forms = {"trained": model, "folded": FloatNetwork(graph), "int8": Int8Network(graph8)}
    trained, folded, int8 = measure_ladder(forms, data.val, normalizer, choose_task(CONFIG, data))
    assert (trained.name, folded.name, int8.name) == ("trained", "folded", "int8")
    assert trained.images == data.info.val_size
    assert trained.metrics["top1"] > 90  # or it would have nothing to lose
    assert folded.metrics["top1"] == trained.metrics["top1"]
    assert trained.agreement == folded.agreement == 100
    assert int8.agreement is not None
    assert int8.agreement >= 97
    assert abs(int8.metrics["top1"] - trained.metrics["top1"]) <= 0.6  # two of 360 images
    assert int8.metrics["loss"] != trained.metrics["loss"]  # it is another network than the first


@pytest.mark.slow
def test_the_float_form_is_checked(exported: tuple[nn.Module, Graph, GraphInt8]) -> None:
    model, graph, _ = exported
    images_NCHW = torch.randn(4, 1, *graph.shapes["images"][:2])
    assert check_float_form(model, graph, images_NCHW) < 1e-4
    graph.nodes[0].bias_O[0] += 1
    with pytest.raises(ExportError, match="differs from the trained one"):
        check_float_form(model, graph, images_NCHW)
    graph.nodes[0].bias_O[0] -= 1


def test_calibration_images_are_training_images_as_they_are_evaluated(data: Data) -> None:
    card, side = card_of(data), data.info.image_size
    images_NCHW = torch.cat(list(calibration_batches(DIGITS, card, count=70, side=side)))
    assert images_NCHW.shape == (70, 1, side, side)
    normalizer = Normalizer(card.mean, card.std, torch.device("cpu"), False)
    training = {
        image.numpy().tobytes() for batch in data.train.epoch(0) for image in normalizer(batch.images_NCHW)
    }
    inside = [image.numpy().tobytes() in training for image in images_NCHW]
    # The epoch leaves out its last incomplete batch, so a few images are missing from the set.
    assert np.mean(inside) > 0.9
    augmented = replace(DIGITS, augment="small")
    again = torch.cat(list(calibration_batches(augmented, card, count=70, side=side)))
    assert torch.equal(images_NCHW, again)


def test_calibration_on_images_of_other_channels_is_refused(data: Data) -> None:
    card = replace(card_of(data), in_chans=3)
    with pytest.raises(DataError, match="other channels"):
        next(calibration_batches(DIGITS, card, count=4, side=32))


@pytest.mark.slow
def test_a_detector_is_measured_by_its_average_precision(tmp_path: Path) -> None:
    settings = replace(CONFIG.data, name="voc", root=str(small_voc(tmp_path)), augment="none", image_size=96)
    settings = replace(settings, batch_size=4, workers=0)
    boxes = build_data(settings, seed=0)
    options = {"neck": [8, 8, 8], "num_classes": boxes.info.num_classes}
    model = shaken(create_model("yolov3:mobilenetv2-0.1", **options))
    card = replace(card_of(boxes), anchors=boxes.info.anchors)
    batches = list(calibration_batches(settings, card, count=8, side=96))
    graph = float_graph(model, batches[0][:1])
    int8 = Int8Network(quantize(graph, measure_ranges(graph, batches)))
    normalizer = Normalizer(card.mean, card.std, torch.device("cpu"), False)
    forms = {"trained": model, "folded": FloatNetwork(graph), "int8": int8}
    task = choose_task(
        replace(CONFIG, data=settings, train=replace(CONFIG.train, label_smoothing=0.0)), boxes
    )
    trained, folded, int8_rung = measure_ladder(forms, boxes.val, normalizer, task)
    assert trained.agreement is folded.agreement is int8_rung.agreement is None
    for name in ("loss", "box_loss", "objectness_loss", "class_loss"):
        assert folded.metrics[name] == pytest.approx(trained.metrics[name], rel=1e-4)
        assert int8_rung.metrics[name] == pytest.approx(trained.metrics[name], rel=0.1)
    # Of an untrained detector the precision is about zero, and no measure of agreement.
    assert folded.metrics["ap50"] == pytest.approx(trained.metrics["ap50"], abs=0.1)
    assert 0 <= int8_rung.metrics["ap50"] <= 100


def test_no_images_cannot_be_measured() -> None:
    normalizer = Normalizer((0.5,), (0.5,), torch.device("cpu"), False)
    with pytest.raises(DataError, match="nothing to measure"):
        measure_ladder(
            {"trained": nn.Identity()}, [], normalizer, choose_task(CONFIG, build_data(DIGITS, seed=0))
        )
