"""`netaug data anchors`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netaug.commands.arguments import new_parser, parse
from netaug.commands.data_settings import SETTINGS, named_dataset
from netaug.config.datasets import DATASETS
from netaug.config.loading import default_config, load_config
from netaug.config.settings import add_settings
from netaug.core.errors import ConfigError
from netaug.core.escaping import say

if TYPE_CHECKING:
    from netaug.config import DataConfig

_ABOUT = """\
Finds the nine sizes of boxes that a detector's predictions are relative to: k-means on the training boxes, as they
are once images are fitted into the network's input. Training does the same by itself (`detect.anchors data`); to fix
them, paste the last line. How well they fit is the mean overlap (IoU of sizes) of a box with its nearest anchor."""

_EXAMPLE = """
netaug data anchors --data VOCdevkit --data.image_size 256
netaug data anchors my-recipe.yaml --data DIR"""

_SETTINGS = (*SETTINGS, *(f"data.{key}" for key in ("image_size", "classes", "limit", "subset_seed")))
_STRIDES = (8, 16, 32)


def run(words: list[str]) -> None:
    """Find anchors and print them."""
    parser = new_parser("data anchors", "[DATASET|RECIPE] --data DIR [--data.image_size N]", _ABOUT, _EXAMPLE)
    parser.add_argument(
        "dataset",
        type=str,
        nargs="?",
        default=None,
        help="voc, coco or yolo; or a recipe as for `netaug train`. Without one, what lies in --data is recognized.",
    )
    add_settings(parser, _SETTINGS)
    arguments, given = parse(parser, words, _SETTINGS)

    name, given = named_dataset(arguments.dataset, given)
    named = name in DATASETS
    config = (
        default_config([f"--data.name={name}", *given]) if named else load_config(name, given, builds=False)
    ).data
    boxed = [known for known, dataset in DATASETS.items() if dataset.task == "detect"]
    if config.name not in boxed:
        raise ConfigError(
            "anchors are sizes of boxes, and these images have none.",
            got=f"the dataset '{config.name}'",
            allowed=", ".join(boxed),
        )
    say("\n".join(_lines(config)))


def _lines(config: DataConfig) -> list[str]:
    from netaug.config import DetectConfig
    from netaug.data.detection.build import (
        check_box_settings,
        find_anchors,
        fitted_sizes,
        read_source,
    )
    from netaug.data.detection.problems import Problems
    from netaug.data.subset import select_images
    from netaug.detect.anchors import COCO_ANCHORS, mean_best_iou

    config = replace(config, augment="detection")
    side = check_box_settings(config)
    problems = Problems(skip=config.on_error == "skip")
    train, _, _ = select_images(read_source(config, problems), config)
    problems.say()
    anchors = find_anchors(train.annotations, DetectConfig(), side)
    sizes_M2 = fitted_sizes(train.annotations, side)
    fit, coco = mean_best_iou(sizes_M2, anchors), mean_best_iou(sizes_M2, COCO_ANCHORS)
    lines = [
        f"{config.name} in {config.root}: {len(sizes_M2):,} boxes of {len(train):,} images, at {side} x {side} pixels",
        f"mean overlap of a box with its nearest anchor {fit:.3f}; with those of COCO {coco:.3f}",
    ]
    for stride, start in zip(_STRIDES, range(0, 9, 3), strict=True):
        shown = "  ".join(f"{width:6.1f} x {height:<6.1f}" for width, height in anchors[start : start + 3])
        lines.append(f"  stride {stride:>2}:  {shown}".rstrip())
    numbers = ", ".join(f"{value:g}" for size in anchors for value in size)
    return [*lines, f'--detect.anchor_sizes "[{numbers}]"']
