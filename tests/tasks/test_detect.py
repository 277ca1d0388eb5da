"""A detector has one loss whole and in parts, and the score of its boxes; what does not go with it says so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from netaug.config import DistillConfig, NetAugConfig, RegularizeConfig, RunConfig, TrainConfig
from netaug.config.detect import DetectConfig
from netaug.core.errors import ConfigError
from netaug.data.batch import DataInfo, DetectionBatch
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.annotations import Annotations
from netaug.detect.codec import encode
from netaug.detect.targets import BoxTargets
from netaug.tasks.detect import DetectionTask
from netaug.tasks.registry import choose_task

SIDE, CLASSES = 96, 3
SHAPES = [(SIDE // stride, SIDE // stride) for stride in (8, 16, 32)]
TARGETS = BoxTargets(
    torch.tensor([[4.0, 6.0, 40.0, 50.0], [50.0, 10.0, 90.0, 80.0], [10.0, 12.0, 30.0, 30.0]]),
    torch.tensor([0, 2, 1]),
    torch.tensor([False, False, False]),
    torch.tensor([2, 0, 1]),
)
TRUTH = Annotations(
    sizes_N2=np.full((3, 2), 2 * SIDE),
    boxes_M4=2 * TARGETS.boxes_M4.numpy(),
    labels_M=TARGETS.labels_M.numpy(),
    difficult_M=np.zeros(3, bool),
    crowd_M=np.zeros(3, bool),
    areas_M=np.ones(3, np.float32),
    starts_N1=np.array([0, 2, 2, 3]),
    ids_N=np.arange(3),
    category_ids_C=np.arange(CLASSES),
)


def maps(seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(3, 3 * (5 + CLASSES), height, width) for height, width in SHAPES]


def perfect() -> list[torch.Tensor]:
    """Maps that say the objects of ``TARGETS`` exactly, each by one prediction, and nothing else."""
    flat = torch.full((3, sum(3 * h * w for h, w in SHAPES), 5 + CLASSES), -12.0)
    first = 3 * SHAPES[0][0] * SHAPES[0][1]
    for box, label, image in zip(TARGETS.boxes_M4, TARGETS.labels_M, TARGETS.owners, strict=True):
        column, row = ((box[:2] + box[2:]) / 2 / 16).long().tolist()
        slot = torch.tensor([first + row * SHAPES[1][1] + column])
        flat[image, slot, :4] = encode(box[None], slot, COCO_ANCHORS, SHAPES)
        flat[image, slot, 4] = flat[image, slot, 5 + label] = 12.0
    found, start = [], 0
    for height, width in SHAPES:
        count = 3 * height * width
        one = flat[:, start : start + count].reshape(3, 3, height * width, -1).transpose(2, 3)
        found.append(one.reshape(3, -1, height, width))
        start += count
    return found


def batch() -> DetectionBatch:
    frames = torch.tensor([[0.5, 0.5, 0.0, 0.0, 2 * SIDE, 2 * SIDE]] * 3, dtype=torch.float64)
    return DetectionBatch(torch.zeros(3, 3, SIDE, SIDE, dtype=torch.uint8), TARGETS, frames, torch.arange(3))


def task(**settings: object) -> DetectionTask:
    return DetectionTask(COCO_ANCHORS, DetectConfig(**settings), TRUTH)  # type: ignore[arg-type]


def test_parts_of_a_batch_add_up_to_the_loss_of_the_whole() -> None:
    """So neither accumulation, nor processes, nor a share of the batch change what an image counts."""
    subject, outputs = task(), maps()
    whole = subject.losses(outputs, TARGETS).total
    parts = [slice(0, 1), slice(1, 3)]
    shares = [
        subject.losses([one[p] for one in outputs], TARGETS[p]).total * len(TARGETS[p]) / 3 for p in parts
    ]
    torch.testing.assert_close(sum(shares), whole)


def test_sums_of_parts_give_the_metrics_of_the_whole() -> None:
    subject, outputs = task(), maps()
    whole = subject.losses(outputs, TARGETS)
    parts = [slice(0, 2), slice(2, 3)]
    sums = [
        subject.sums(out, TARGETS[p], subject.losses(out, TARGETS[p]))
        for p in parts
        for out in [[one[p] for one in outputs]]
    ]
    metrics = subject.metrics(sums[0] + sums[1])
    assert metrics["loss"] == pytest.approx(float(whole.total), rel=1e-5)
    named = {name: float(value) for name, value in whole.parts.items()}
    assert {name: metrics[name] for name in named} == pytest.approx(named, rel=1e-5)
    assert metrics["loss"] == pytest.approx(sum(named.values()), rel=1e-5)


def test_boxes_that_are_said_exactly_score_100() -> None:
    subject, outputs = task(), perfect()
    rows = subject.rows(outputs, batch())
    assert rows.shape == (3, 7)
    np.testing.assert_allclose(rows[:, 3:].numpy(), TRUTH.boxes_M4[[*_order(rows)]], atol=1e-2)
    losses = subject.losses(outputs, TARGETS)
    found = subject.judged(subject.sums(outputs, TARGETS, losses), rows)
    assert found["ap50"] == pytest.approx(100)
    assert subject.score == "ap50"


def _order(rows: torch.Tensor) -> list[int]:
    """The object each row should be: they differ in image and class."""
    keys = list(zip(TRUTH.owners.tolist(), TRUTH.labels_M.tolist(), strict=True))
    return [keys.index((int(image), int(label))) for image, label in rows[:, :2].tolist()]


def test_rows_come_in_any_order_of_images() -> None:
    """Each process finds those of its own batches."""
    subject = task()
    rows = subject.rows(maps(), batch())
    parts = [rows[rows[:, 0] == image] for image in (2, 0, 1)]
    assert subject.precision(torch.cat(parts)) == subject.precision(rows)


def test_coco_numbers_come_as_percent_by_name() -> None:
    subject = DetectionTask(COCO_ANCHORS, DetectConfig(), TRUTH, "coco")
    found = subject.precision(subject.rows(perfect(), batch()))
    assert subject.score == "ap"
    assert found["ap"] == pytest.approx(100)
    assert {"ap50", "ap75", "ap_small", "ar100"} <= set(found)
    assert all(value == value for value in found.values()), "a number that is none cannot go into JSON"


INFO = DataInfo(
    "voc", ("a", "b", "c"), 3, SIDE, (0.5,) * 3, (0.2,) * 3, 1.0, 3, 3, "test", "voc", "detect", COCO_ANCHORS
)
FITS = RunConfig(train=TrainConfig(label_smoothing=0.0))


def test_the_data_chooses_the_task() -> None:
    data = SimpleNamespace(info=INFO, truth=TRUTH)
    assert choose_task(FITS, data).score == "ap50"  # type: ignore[arg-type]
    coco = SimpleNamespace(info=replace(INFO, metric="coco"), truth=TRUTH)
    assert choose_task(FITS, coco).score == "ap"  # type: ignore[arg-type]
    asked = replace(FITS, detect=DetectConfig(metric="voc07"))
    assert choose_task(asked, coco).score == "ap50"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (replace(FITS, train=TrainConfig(label_smoothing=0.1)), r"train\.label_smoothing"),
        (replace(FITS, distill=DistillConfig(in_place=1.0)), "distill"),
        (replace(FITS, netaug=NetAugConfig(resolution=0.5)), r"netaug\.resolution"),
        (replace(FITS, regularize=RegularizeConfig(mixup=0.2)), r"regularize\.mixup"),
        (replace(FITS, regularize=RegularizeConfig(auto_augment="randaugment")), r"regularize\.randaugment"),
    ],
)
def test_what_is_for_images_with_one_label_is_refused(config: RunConfig, named: str) -> None:
    with pytest.raises(ConfigError, match=rf"{named} is for images with one label"):
        choose_task(config, SimpleNamespace(info=INFO, truth=TRUTH))  # type: ignore[arg-type]


def test_layers_may_drop_in_a_detector_too() -> None:
    config = replace(FITS, regularize=RegularizeConfig(dropblock=0.1))
    assert choose_task(config, SimpleNamespace(info=INFO, truth=TRUTH)).score == "ap50"  # type: ignore[arg-type]
