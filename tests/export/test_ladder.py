"""Every form of a network is judged on the same images, and one that answers something else is an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.api.evaluation import TrainedNetwork
from netaug.api.export import conversion_of
from netaug.api.export_options import ExportOptions
from netaug.config import RunConfig
from netaug.data import Data, Normalizer, build_data, load_image
from netaug.export.conversion import Conversion
from netaug.export.float_reference import run_float
from netaug.export.graph import ExportError
from netaug.export.ladder import FloatForm, Int8Form, measure_ladder
from netaug.models import create_model
from netaug.tasks.classify import ClassificationTask
from tests.export.conversions import CARD, conversion_of_images, digits_network

CPU = torch.device("cpu")
CONFIG = RunConfig()
DIGITS = replace(CONFIG.data, name="digits", batch_size=64, augment="none")


def trained(data: Data) -> nn.Module:
    """A micronet after 12 epochs on digits."""
    torch.manual_seed(0)
    model = create_model("micronet", in_chans=1, num_classes=10)
    normalizer = Normalizer(data.info.mean, data.info.std, CPU, False)
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


@pytest.mark.slow
def test_int8_keeps_the_accuracy_of_a_trained_network() -> None:
    data = build_data(DIGITS, seed=0)
    card = replace(CARD, class_names=data.info.class_names, mean=data.info.mean, std=data.info.std)
    conversion = Conversion(
        trained(data),
        card,
        data.labeled.unaugmented(data.val, 200),
        data.val,
        ClassificationTask(),
        "test",
        "",
    )
    forms = [
        FloatForm("trained", conversion.trained),
        FloatForm("folded", lambda images_NCHW: run_float(conversion.floats, images_NCHW)),
        Int8Form("int8", conversion.reference),
        Int8Form("again", conversion.reference),
    ]
    images, (first, folded, int8, again) = measure_ladder(conversion, forms)
    assert images == data.info.val_size
    assert first.metrics["top1"] > 90  # or it would have nothing to lose
    assert folded.metrics["top1"] == first.metrics["top1"]
    assert first.same == folded.same == 100
    assert int8.same is not None
    assert int8.same >= 97
    assert abs(int8.metrics["top1"] - first.metrics["top1"]) <= 0.6  # two of 360 images
    assert int8.metrics["loss"] != first.metrics["loss"]  # it is another network than the first
    assert again == replace(int8, name="again", values=10 * images)


def _fails(form: FloatForm | Int8Form) -> str:
    conversion = conversion_of_images(digits_network())
    forms = [FloatForm("trained", conversion.trained), Int8Form("reference", conversion.reference), form]
    with pytest.raises(ExportError) as caught:
        measure_ladder(conversion, forms)
    return str(caught.value)


def test_an_answer_that_differs_is_an_error_by_the_name_of_its_form() -> None:
    network = digits_network()

    def off_by(difference: float) -> FloatForm:
        def answer(images_NCHW: Tensor) -> list[Tensor]:
            with torch.no_grad():
                return [network(images_NCHW) + difference]

        return FloatForm("another", answer)

    assert "another: its answers differ from those of the trained network" in _fails(off_by(0.1))
    assert "another: its answers differ" in _fails(off_by(float("nan")))
    conversion = conversion_of_images(network)
    _, rungs = measure_ladder(conversion, [FloatForm("trained", conversion.trained), off_by(1e-6)])
    assert 0 < rungs[1].max_difference < 1e-5
    wrong = Int8Form("other kernels", lambda images_NCHW: np.zeros((len(images_NCHW), 10), np.int8))
    assert "other kernels differs from the int8 reference" in _fails(wrong)
    few = Int8Form("other kernels", lambda images_NCHW: np.zeros((len(images_NCHW), 9), np.int8))
    assert "36 of 40 values" in _fails(few)


def test_no_images_cannot_be_measured() -> None:
    conversion = conversion_of_images(digits_network(), evaluation=0)
    with pytest.raises(ExportError, match="no images to check"):
        measure_ladder(conversion, [FloatForm("trained", conversion.trained)])


@pytest.mark.parametrize("crop_ratio", [1.0, 0.875, 0.5])
def test_calibration_images_are_training_images_as_they_are_evaluated(
    tmp_path: Path, crop_ratio: float
) -> None:
    rng, files = np.random.default_rng(0), []
    for split, count in (("train", 4), ("val", 1)):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(count):
                file = tmp_path / split / label / f"{number}.png"
                Image.fromarray(rng.integers(0, 256, (90, 70, 3), np.uint8)).save(file)
                files += [file] if split == "train" else []
    stats = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.2)}
    card = replace(
        CARD,
        image_size=32,
        num_classes=2,
        class_names=("cat", "dog"),
        in_chans=3,
        crop_ratio=crop_ratio,
        **stats,
    )
    settings = replace(CONFIG.data, name="folder", root=str(tmp_path), augment="imagenet", workers=0)
    network = TrainedNetwork(
        create_model("micronet", num_classes=2), card, replace(CONFIG, data=settings), CPU
    )
    conversion = conversion_of(network, ExportOptions(calibrate=5))
    images_NCHW = torch.cat([batch.images_NCHW for batch in conversion.calibration])
    expected = torch.cat([load_image(file, card) for file in (files[k] for k in (0, 1, 3, 5, 7))])
    assert torch.equal(images_NCHW, expected)
    (batch,) = conversion.evaluation
    files = [tmp_path / "val" / label / "0.png" for label in ("cat", "dog")]
    assert torch.equal(batch.images_NCHW, torch.cat([load_image(file, card) for file in files]))
    assert network.measure().info.crop_ratio == crop_ratio
