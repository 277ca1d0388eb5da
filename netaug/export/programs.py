"""The `predict.py` beside exported files: NumPy, Pillow and one runtime, without netaug and, but for one, torch."""

from __future__ import annotations

import math

from netaug.config.detect import SHOWN_SCORE
from netaug.data.transforms.letterbox import GRAY
from netaug.detect.codec import MOST_GROWTH
from netaug.export.conversion import Conversion
from netaug.weights.metadata import ModelCard

_HEAD = '''\
"""Prints {prints} of an image: python predict.py IMAGE. Needs {needs}."""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
FACTS = json.loads((HERE / "preprocessing.json").read_text(encoding="utf-8"))


def open_image(file):
    return ImageOps.exif_transpose(Image.open(file)).convert(FACTS["mode"])


def normalized(image):
    side = FACTS["image_size"]
    pixels_HWC = np.asarray(image, np.float32).reshape(side, side, -1) / 255
    return ((pixels_HWC - np.float32(FACTS["mean"])) / np.float32(FACTS["std"])).astype(np.float32)

{load}
'''

_CLASSIFIER = """

def read_image(file):
    image = open_image(file)
    side, shorter = FACTS["image_size"], FACTS["shorter_side"]
    if shorter is None:  # the whole image is scaled to the square
        return normalized(image.resize((side, side), Image.Resampling.BILINEAR))
    # the shorter side is scaled, and the center is kept
    width, height = (shorter * edge // min(image.size) for edge in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return normalized(image.crop((left, top, left + side, top + side)))


def answer(file):
    (logits,) = run(read_image(file))
    exponentials = np.exp(logits - logits.max())
    return [(100 * exponentials[k] / exponentials.sum(), FACTS["labels"][k]) for k in np.argsort(-logits)[:5]]
"""

_DETECTOR = """

def read_image(file):
    image, side = open_image(file), FACTS["image_size"]
    # as large as it fits, in the middle of a gray square
    width, height = (max(1, round(edge * side / max(image.size))) for edge in image.size)
    left, top = (side - width) // 2, (side - height) // 2
    canvas = Image.new("RGB", (side, side), (FACTS["gray"],) * 3)
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return normalized(canvas), (image.size, (width, height), (left, top))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def candidates(maps, place):
    \"\"\"Rows of score, label, left, top, right, bottom in pixels of the file, best first.\"\"\"
    size, scaled, edge = place
    rows = []
    for number, map_HWC in enumerate(maps):
        height, width = map_HWC.shape[:2]
        values = map_HWC.reshape(height, width, 3, -1)
        cells = np.stack(np.indices((height, width))[::-1], -1)[:, :, None]
        centers = (sigmoid(values[..., :2]) + cells) * (FACTS["image_size"] / height)
        anchors = np.array(FACTS["anchors"][3 * number : 3 * number + 3])
        halves = np.exp(np.minimum(values[..., 2:4], FACTS["most_growth"])) * anchors / 2
        scores = sigmoid(values[..., 4:5]) * sigmoid(values[..., 5:])
        for row, column, anchor, label in np.argwhere(scores >= FACTS["score"]):
            center, half = centers[row, column, anchor], halves[row, column, anchor]
            corners = [
                np.clip((corner - edge) * size / np.array(scaled), 0, size)
                for corner in (center - half, center + half)
            ]
            if (corners[1] > corners[0]).all():
                rows.append([scores[row, column, anchor, label], label, *corners[0], *corners[1]])
    return sorted(rows, key=lambda row: -row[0])


def overlap(a, b):
    across, down = min(a[4], b[4]) - max(a[2], b[2]), min(a[5], b[5]) - max(a[3], b[3])
    if across <= 0 or down <= 0:
        return 0.0
    areas = [(box[4] - box[2]) * (box[5] - box[3]) for box in (a, b)]
    return across * down / (sum(areas) - across * down)


def answer(file):
    image_HWC, place = read_image(file)
    kept = []
    for row in candidates(run(image_HWC), place):
        if all(row[1] != other[1] or overlap(row, other) <= FACTS["nms_iou"] for other in kept):
            kept.append(row)
    return [(100 * score, FACTS["labels"][int(label)], *box) for score, label, *box in kept]
"""

_TAIL = """

if __name__ == "__main__":
    for percent, label, *box in answer(sys.argv[1]):
        print(f"{percent:5.1f} %  {label}" + "".join(f"  {edge:.1f}" for edge in box))
"""


def program(conversion: Conversion, load: str, needs: str) -> str:
    """Return the text of predict.py.

    Args:
        conversion: Whose network it is.
        load: Python source that defines ``run(image_HWC)``: a list of outputs, ``[classes]`` or maps ``[H, W, C]``.
        needs: What it needs beside Python.
    """
    detects = conversion.detect is not None
    prints = (
        "the objects, with left, top, right and bottom in pixels," if detects else "the likeliest classes"
    )
    head = _HEAD.format(prints=prints, needs=needs, load=load)
    return head + (_DETECTOR if detects else _CLASSIFIER) + _TAIL


def preprocessing(conversion: Conversion) -> dict[str, object]:
    """Return how image files become the network's input and what its outputs mean, as values of JSON."""
    card, detect = conversion.card, conversion.detect
    facts: dict[str, object] = {
        "image_size": card.image_size,
        "mode": "L" if card.in_chans == 1 else "RGB",
        "mean": card.mean,
        "std": card.std,
        "labels": card.class_names,
    }
    if detect is None:
        return facts | {"shorter_side": _shorter_side(card)}
    boxes = {"anchors": card.anchors, "most_growth": MOST_GROWTH, "nms_iou": detect.nms_iou}
    return facts | {"gray": GRAY, "score": SHOWN_SCORE, **boxes}


def _shorter_side(card: ModelCard) -> int | None:
    return math.ceil(card.image_size / card.crop_ratio) if card.crop_ratio < 1 else None
