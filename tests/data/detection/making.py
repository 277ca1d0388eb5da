"""Small datasets with boxes, in the layouts that the readers know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from netaug.config import DataConfig
from netaug.core.seeding import generator

Box = tuple[float, float, float, float]
Row = tuple[str, Box]

SIZES = ((64, 48), (48, 64), (40, 40), (96, 64), (64, 96), (56, 48))


def write_image(path: Path, size: tuple[int, int], number: int = 0) -> None:
    """A PNG of noise, (width, height) pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels_HWC = torch.randint(
        0, 256, (size[1], size[0], 3), generator=generator(0, "noise", number), dtype=torch.uint8
    )
    Image.fromarray(pixels_HWC.numpy()).save(path)


def voc_object(name: str, box: Sequence[object], difficult: int = 0) -> str:
    """An <object> element; the box is xmin, ymin, xmax, ymax as they stand in the file."""
    corners = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


def voc_xml(size: tuple[int, int], objects: Sequence[str]) -> str:
    """A whole annotation."""
    width, height = size
    said = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{said}{''.join(objects)}</annotation>"


def two_boxes(size: tuple[int, int], number: int) -> list[str]:
    """Two objects that fit into an image, another place for each number."""
    width, height = size
    x, y = 2 + number, 3 + number
    return [
        voc_object("cat", (x, y, x + width // 2, y + height // 2)),
        voc_object("dog", (x + 4, y + 2, x + 4 + width // 3, y + height // 3), difficult=number % 2),
    ]


def make_voc(
    root: Path, lists: Mapping[str, Sequence[str]], objects: Mapping[str, Sequence[str]] | None = None
) -> Path:
    """A folder in Pascal VOC's layout.

    Args:
        root: Where it is made.
        lists: Ids of each list.
        objects: <object> elements of some ids; the others get two each.
    """
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, ids in lists.items():
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{one}\n" for one in ids))
    for number, one in enumerate(dict.fromkeys(one for ids in lists.values() for one in ids)):
        size = SIZES[number % len(SIZES)]
        write_image(root / "JPEGImages" / f"{one}.png", size, number)
        own = (objects or {}).get(one, two_boxes(size, number))
        (root / "Annotations" / f"{one}.xml").write_text(voc_xml(size, own))
    return root


def small_voc(root: Path) -> Path:
    """Eight images to train on, five to judge on."""
    return make_voc(root, {"train": [f"a{n}" for n in range(8)], "val": [f"b{n}" for n in range(5)]})


def config_for(root: Path, name: str = "voc", **changes: object) -> DataConfig:
    """Settings for a small dataset with boxes."""
    settings: dict[str, object] = {
        "name": name,
        "root": str(root),
        "image_size": 96,
        "augment": "detection",
        "batch_size": 4,
        "eval_batch_size": 2,
    }
    return DataConfig(**(settings | changes))


def coco_entries(
    files: Sequence[str], ids: Sequence[int] | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Images and two objects for each, of categories 90 and 1."""
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for place, file in enumerate(files):
        width, height = SIZES[place % len(SIZES)]
        number = place if ids is None else ids[place]
        images.append({"id": number, "file_name": file, "width": width, "height": height})
        for category, box in ((90, [2 + place, 3, 20, 10.5]), (1, [10, 5 + place, 12, 30])):
            objects.append(
                {
                    "id": 1 + len(objects),
                    "image_id": number,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    return images, objects


CATEGORIES = ({"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"})


def make_coco(
    root: Path,
    split: str,
    images: Sequence[dict[str, Any]],
    objects: Sequence[dict[str, Any]],
    categories: Sequence[dict[str, Any]] = CATEGORIES,
    *,
    place: str | None = None,
    write: bool = True,
) -> Path:
    """A JSON file of instances, and its images in a folder called after the split unless ``write`` is off."""
    path = root / (place or f"instances_{split}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": list(images), "annotations": list(objects), "categories": list(categories)}
    path.write_text(json.dumps(content))
    for number, image in enumerate(images if write else ()):
        write_image(root / split / image["file_name"], (image["width"], image["height"]), number)
    return path


def make_yolo(root: Path, labels: Mapping[str, str | None], *, write: bool = True) -> Path:
    """A dataset in Ultralytics' layout; ``labels`` has the text of each label file, such as "train/0"."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n")
    for number, (name, text) in enumerate(labels.items()):
        path = root / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)
        if write:
            write_image(root / "images" / f"{name}.png", SIZES[number % len(SIZES)], number)
    return root
