"""COCO's twelve numbers, and results in COCO's format.

K predictions, M objects, N images, C classes. Rows of predictions are (position of the image in the split, class,
score, left, top, right, bottom) in pixels of the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netaug.core.io import write_atomic
from netaug.detect.annotations import Annotations, Flags, Ids
from netaug.detect.overlaps import BOX, CLASS, IMAGE, SCORE, Doubles, Integers

NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""Average precision over overlaps 0.50 to 0.95, at 0.50, at 0.75, of small, medium and large objects (areas up to 32²,
up to 96², above); average recall with 1, 10 and 100 predictions an image, and of small, medium and large objects."""


@dataclass(frozen=True)
class CocoResult:
    """Holds the result of COCO's evaluation; all values in [0, 1], NaN where there are no objects.

    Args:
        numbers: The twelve of :data:`NUMBERS`, by name.
        ap_C: Average precision of each class over overlaps 0.50 to 0.95.
        ap50_C: The same at 0.50.
    """

    numbers: dict[str, float]
    ap_C: Doubles
    ap50_C: Doubles


def coco_numbers(rows_K7: Doubles, truth: Annotations) -> dict[str, float]:
    """Return COCO's twelve numbers by name, see :func:`coco_result`."""
    return coco_result(rows_K7, truth).numbers


def coco_result(rows_K7: Doubles, truth: Annotations) -> CocoResult:
    """Measure how well predictions find objects as COCO does: the 100 highest-scored of each image and class.

    Predictions on a crowd count neither as right nor as wrong, nor do those on Pascal VOC's difficult objects, which
    COCO does not know. Of equal scores in an image the row that comes first counts as the higher one.

    Args:
        rows_K7: Predictions, in any order.
        truth: The objects of all images of the split.

    Source:
        Lin et al. 2014 and pycocotools' ``COCOeval``; computed by faster-coco-eval.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    judged = COCOeval_faster(
        COCO(_truth(truth)), COCO(_found(rows_K7, truth)), "bbox", print_function=_silent
    )
    if not len(truth):
        nothing = np.full(len(truth.category_ids_C), np.nan)
        return CocoResult(dict.fromkeys(NUMBERS, float("nan")), nothing, nothing)
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    numbers = {name: _known(value) for name, value in zip(NUMBERS, judged.stats, strict=True)}
    precision_TRC = judged.eval["precision"][
        :, :, :, 0, -1
    ]  # overlaps, recalls, classes; all areas, 100 predictions
    return CocoResult(numbers, _means(precision_TRC), _means(precision_TRC[:1]))


def coco_entries(rows_K7: Doubles, ids_N: Ids, category_ids_C: Ids) -> list[dict[str, Any]]:
    """Return predictions in COCO's results format: boxes as left, top, width and height."""
    images = ids_N[rows_K7[:, IMAGE].astype(np.int64)].tolist()
    categories = category_ids_C[rows_K7[:, CLASS].astype(np.int64)].tolist()
    boxes = _left_top_size(rows_K7[:, BOX]).tolist()
    return [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for image, category, box, score in zip(
            images, categories, boxes, rows_K7[:, SCORE].tolist(), strict=True
        )
    ]


def write_entries(entries: list[dict[str, Any]], path: Path) -> None:
    """Write results as JSON, an entry per line."""
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    write_atomic(path, f"[\n{lines}\n]\n" if entries else "[]\n")


def _truth(truth: Annotations) -> dict[str, Any]:
    """Return the dataset in COCO's form; images by position, categories by class, so that ids of any kind are fine."""
    boxes = _left_top_size(truth.boxes_M4.astype(np.float64))
    return _dataset(
        truth, truth.owners, truth.labels_M, boxes, truth.areas_M, truth.crowd_M | truth.difficult_M
    )


def _found(rows_K7: Doubles, truth: Annotations) -> dict[str, Any]:
    boxes = _left_top_size(rows_K7[:, BOX])
    owners, labels = rows_K7[:, IMAGE].astype(np.int64), rows_K7[:, CLASS].astype(np.int64)
    content = _dataset(
        truth, owners, labels, boxes, boxes[:, 2:].prod(axis=1), np.zeros(len(rows_K7), np.bool_)
    )
    for entry, score in zip(content["annotations"], rows_K7[:, SCORE].tolist(), strict=True):
        entry["score"] = score
    return content


def _dataset(
    truth: Annotations, owners: Integers, labels: Integers, boxes: Doubles, areas: Any, crowd: Flags
) -> dict[str, Any]:
    columns = (array.tolist() for array in (owners, labels, boxes, areas, crowd.astype(np.int64)))
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    return {
        "images": [
            {"id": image, "width": width, "height": height}
            for image, (width, height) in enumerate(truth.sizes_N2.tolist())
        ],
        "categories": [{"id": label, "name": str(label)} for label in range(len(truth.category_ids_C))],
        # numbers start at 1, since 0 marks what is not matched
        "annotations": [
            dict(zip(keys, (number, *row), strict=True))
            for number, row in enumerate(zip(*columns, strict=True), 1)
        ],
    }


def _left_top_size(boxes_P4: Doubles) -> Doubles:
    return np.concatenate([boxes_P4[:, :2], boxes_P4[:, 2:] - boxes_P4[:, :2]], axis=1)


def _known(value: float) -> float:
    """Return NaN where COCO says -1: there are no objects."""
    return float("nan") if value < 0 else float(value)


def _means(precision_TRC: Doubles) -> Doubles:
    classes = precision_TRC.shape[2]
    by_class = [precision_TRC[:, :, c][precision_TRC[:, :, c] >= 0] for c in range(classes)]
    return np.array([values.mean() if len(values) else np.nan for values in by_class], dtype=np.float64)


def _silent(*_: object) -> None:
    """Ignore what the evaluation prints of its progress."""
