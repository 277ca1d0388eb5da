"""Photographs that EXIF turns: boxes lie where they were drawn, on the upright picture or on the stored one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from netaug.config import DetectConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.decode.image import decode_file, read_size
from netaug.data.prepared import Data
from tests.data.detection.making import config_for, make_coco, make_voc, make_yolo, voc_object, write_image

WIDTH, HEIGHT = 120, 100
LEFT, TOP, RIGHT, BOTTOM = 12, 30, 42, 90
"""A white box on the stored picture."""


def photograph(path: Path, turn: int) -> Path:
    """A black picture with a white box, marked as turned."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[TOP:BOTTOM, LEFT:RIGHT] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def white(path: Path) -> list[int]:
    """Where the box is on the upright picture."""
    with Image.open(path) as image:
        rows, columns = np.nonzero(np.asarray(ImageOps.exif_transpose(image).convert("L")) > 127)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def build(root: Path, name: str, **changes: object) -> Data:
    settings = {"batch_size": 1, "augment": "none", "cache": "none", **changes}
    return build_data(config_for(root, name, **settings), seed=0, detect=DetectConfig(anchors="coco"))


def boxes(data: Data) -> list[float]:
    assert data.truth is not None
    list(data.val)  # reads the image, and compares its size
    (box,) = data.truth.boxes_M4.tolist()
    return box


def line(box: list[int], size: tuple[int, int]) -> str:
    left, top, right, bottom = box
    width, height = size
    middle = f"{(left + right) / 2 / width} {(top + bottom) / 2 / height}"
    return f"0 {middle} {(right - left) / width} {(bottom - top) / height}\n"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_sizes_from_headers_are_those_that_are_decoded(tmp_path: Path, suffix: str, turn: int) -> None:
    path = str(photograph(tmp_path / f"a{suffix}", turn))
    assert read_size(path) == tuple(decode_file(path, 3).shape[1:])


@pytest.mark.parametrize("turn", range(1, 9))
def test_boxes_of_yolo_are_drawn_on_either_picture(tmp_path: Path, turn: int) -> None:
    make_yolo(tmp_path, {"train/t": "0 .5 .5 .5 .5\n", "val/v": ""}, write=False)
    write_image(tmp_path / "images" / "train" / "t.png", (40, 40))
    upright = white(photograph(tmp_path / "images" / "val" / "v.png", turn))
    size = (WIDTH, HEIGHT) if turn < 5 else (HEIGHT, WIDTH)
    label = tmp_path / "labels" / "val" / "v.txt"
    label.write_text(line(upright, size))
    for orientation in ("auto", "upright"):
        assert boxes(build(tmp_path, "yolo", box_orientation=orientation)) == pytest.approx(upright, abs=1e-4)
    label.write_text(line([LEFT, TOP, RIGHT, BOTTOM], (WIDTH, HEIGHT)))
    assert boxes(build(tmp_path, "yolo", box_orientation="stored")) == pytest.approx(upright, abs=1e-4)


def annotated(root: Path, name: str, box: list[int], size: tuple[int, int] | None) -> Path:
    """One turned photograph with one box, in Pascal VOC's or COCO's format."""
    left, top, right, bottom = box
    if name == "coco":
        said = {} if size is None else {"width": size[0], "height": size[1]}
        for split in ("train", "val"):
            entry = {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [left, top, right - left, bottom - top],
            }
            images = [{"id": 1, "file_name": f"{split}.png", **said}]
            make_coco(root, split, images, [entry], [{"id": 1, "name": "cat"}], write=False)
            photograph(root / split / f"{split}.png", 6)
        return root / "val" / "val.png"
    objects = [voc_object("cat", (left + 1, top + 1, right, bottom))]
    make_voc(root, {"train": ["t"], "val": ["v"]}, {"t": objects, "v": objects})
    for one in ("t", "v"):
        xml = root / "Annotations" / f"{one}.xml"
        text = xml.read_text()
        own = text[text.index("<size>") : text.index("</size>") + 7]
        said = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
        xml.write_text(text.replace(own, said))
        photograph(root / "JPEGImages" / f"{one}.png", 6)
    return root / "JPEGImages" / "v.png"


STORED, UPRIGHT = (WIDTH, HEIGHT), (HEIGHT, WIDTH)


@pytest.mark.parametrize("name", ["voc", "coco"])
@pytest.mark.parametrize("size", [None, UPRIGHT, STORED], ids=["no size", "upright size", "stored size"])
def test_annotations_with_and_without_size(
    tmp_path: Path, name: str, size: tuple[int, int] | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = annotated(tmp_path / "u", name, [10, 12, 70, 42], size)
    upright = white(path)
    path = annotated(tmp_path / "u", name, upright, size)
    annotated(tmp_path / "s", name, [LEFT, TOP, RIGHT, BOTTOM], size)
    assert boxes(build(tmp_path / "u", name, box_orientation="upright")) == upright
    assert boxes(build(tmp_path / "s", name, box_orientation="stored")) == upright
    assert "turned by EXIF: boxes are taken as drawn on the upright picture" in caplog.text
    assert "boxes are taken as drawn on the stored picture" in caplog.text
    if size == STORED:  # the annotator's tool may have turned the picture and not its size
        with pytest.raises(DataError, match="does not have the size") as caught:
            boxes(build(tmp_path / "u", name))
        assert "turned upright by its EXIF orientation" in str(caught.value.got)
        assert "--data.box_orientation upright, or stored" in str(caught.value.fix)
    else:
        assert boxes(build(tmp_path / "u", name)) == upright


def test_swapped_sides_of_a_picture_that_is_not_turned_are_called_so(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": 30, "height": 40}]
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    for split in ("train", "val"):
        make_coco(tmp_path, split, images, [entry], [{"id": 1, "name": "cat"}], write=False)
        write_image(tmp_path / split / "a.png", (40, 30))
    with pytest.raises(DataError, match="does not have the size") as caught:
        boxes(build(tmp_path, "coco"))
    assert "EXIF" not in str(caught.value)
    assert "have changed places" in str(caught.value.fix)
