"""What a detector says of image files: boxes in pixels of the file, drawn, as text, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from netaug.api.image_files import image_files
from netaug.cli import main
from netaug.config.detect import DetectConfig
from netaug.core.errors import ConfigError, DataError
from netaug.detect.drawing import class_color, draw_boxes, text_color
from netaug.tasks.detect_images import find_objects, fitted
from netaug.tasks.detect_printing import picture_paths
from tests.detect.detectors import Says, card_of, write_detector

CPU = torch.device("cpu")


def picture(path: Path, width: int = 64, height: int = 48) -> str:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def test_boxes_are_in_pixels_of_the_file(tmp_path):
    """A file of 200x100 lies in an input of 96 at half of 0.96, 24 pixels below the upper edge."""
    image = picture(tmp_path / "x.png", 200, 100)
    said = [(1, 3.0, (20.0, 30.0, 40.0, 60.0)), (0, 1.0, (70.0, 40.0, 95.0, 80.0))]
    (found,) = find_objects(Says(said, 96, 2), card_of("ab", 96), [image], DetectConfig(), CPU)
    factor = 96 / 200
    expected = [
        [0, 1, torch.sigmoid(torch.tensor(3.0)), 20 / factor, 6 / factor, 40 / factor, 36 / factor],
        [
            0,
            0,
            torch.sigmoid(torch.tensor(1.0)),
            70 / factor,
            16 / factor,
            95 / factor,
            100.0,
        ],  # cut at the edge
    ]
    np.testing.assert_allclose(found.rows_K7, expected, rtol=1e-5)
    assert found.pixels_CHW.shape == (3, 100, 200)


def test_an_image_is_fitted_whole_onto_grey():
    image_CHW, frame_6 = fitted(torch.full((3, 48, 96), 7, dtype=torch.uint8), 96)
    assert (image_CHW[:, 24:72] == 7).all()
    assert (image_CHW[:, :24] == 114).all()
    assert (image_CHW[:, 72:] == 114).all()
    assert frame_6.tolist() == [1, 1, 0, 24, 96, 48]


def test_boxes_are_drawn_where_they_are_with_their_names():
    grey = torch.full((1, 100, 200), 90, dtype=torch.uint8)
    drawn = np.asarray(draw_boxes(grey, np.array([[50.0, 40, 120, 90]]), [2], ["cat 0.90"]))
    color = np.array(class_color(2))
    assert (drawn[40, 50:120] == color).all()
    assert (drawn[89, 50:120] == color).all()
    assert (drawn[60, 60] == 90).all()  # the inside stays
    plate = drawn[24:40, 50:110]
    assert (plate == color).all(-1).any()
    assert text_color(class_color(2)) == (0, 0, 0)
    assert plate.sum(-1).min() < color.sum() / 2  # letters
    assert (grey == 90).all()


@pytest.mark.parametrize("box", [(0, 0, 4, 4), (195, 95, 200, 100), (10, 10, 10, 10), (0, 0, 200, 100)])
def test_boxes_at_edges_and_without_an_area_are_drawn_too(box):
    grey = torch.zeros(3, 100, 200, dtype=torch.uint8)
    drawn = np.asarray(draw_boxes(grey, np.array([box], dtype=float), [0], ["a long name of a class 0.90"]))
    assert drawn.shape == (100, 200, 3)
    assert drawn.any()


def test_classes_next_to_each_other_differ_in_color():
    colors = np.array([class_color(label) for label in range(20)], dtype=float)
    apart = np.abs(colors[:, None] - colors[None]).sum(-1)
    assert apart[~np.eye(20, dtype=bool)].min() > 30


@pytest.mark.slow
def test_predict_prints_draws_and_writes_cocos_json(tmp_path, capsys):
    card = write_detector(tmp_path / "model.safetensors", ["cell", "blood plate"])
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.jpg")
    picture(tmp_path / "in" / "b.tif", 30, 60)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    words = [
        "predict",
        str(tmp_path / "model.safetensors"),
        str(tmp_path / "in"),
        "--score",
        "0",
        "--device",
        "cpu",
    ]
    out = tmp_path / "deep" / "out"
    assert main([*words, "--save", str(out)]) == 0
    said = capsys.readouterr().out
    assert "a.jpg  64x48  " in said
    assert f"2 pictures and detections.json in {out}" in said
    assert sorted(file.name for file in out.iterdir()) == ["a.jpg", "b.png", "detections.json"]
    with Image.open(out / "b.png") as drawn:
        assert drawn.size == (30, 60)
    loaded = COCO(str(out / "detections.json"))
    assert [loaded.imgs[k]["file_name"] for k in (1, 2)] == ["a.jpg", "b.png"]
    assert [loaded.cats[k]["name"] for k in (1, 2)] == list(card.class_names)
    capsys.readouterr()

    assert main([*words, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [(entry["width"], entry["height"]) for entry in entries] == [(64, 48), (30, 60)]
    first = entries[0]["objects"][0]
    assert first["score"] == max(one["score"] for one in entries[0]["objects"]) == loaded.anns[1]["score"]
    left, top, right, bottom = first["box"]
    assert loaded.anns[1]["bbox"] == pytest.approx([left, top, right - left, bottom - top])
    assert 0 <= left < right <= 64

    assert main([*words[:3], "--score", "0.9", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("nothing found") == 2


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--top", "3"], "--top has no effect: the network finds objects"),
        (["--score", "1"], "--score is out of range"),
        (["--save", "{in}"], "--save would write over an image"),
        (["{empty}"], "there is no image in"),
        (["{in}/gone.jpg"], "there is no image file"),
        (["{in}/broken.jpg"], "does not decode"),
        (["--save", "{in}/a.jpg"], "cannot be written"),
    ],
)
def test_bad_input_is_one_message(tmp_path, capsys, extra, said):
    write_detector(tmp_path / "model.safetensors", ["cell"])
    for name in ("in", "empty"):
        (tmp_path / name).mkdir()
    image = picture(tmp_path / "in" / "a.jpg")
    words = [word.format(**{"in": tmp_path / "in", "empty": tmp_path / "empty"}) for word in extra]
    if "broken" in extra[0]:
        Path(words[0]).write_bytes(b"\xff\xd8 no picture")
    assert main(["predict", str(tmp_path / "model.safetensors"), image, *words, "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


def test_names_of_pictures_do_not_meet(tmp_path):
    found = picture_paths(["a/x.jpg", "b/X.jpg", "c/x.jpg", "c/x.gif"], tmp_path)
    assert [path.name for path in found] == ["x.jpg", "X-2.jpg", "x-3.jpg", "x.png"]
    with pytest.raises(ConfigError, match="write over"):
        picture_paths([str(tmp_path / "x.jpg")], tmp_path)


def test_a_folder_stands_for_its_images_in_order(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.txt"):
        (tmp_path / name).touch()
    assert image_files(["z.png", str(tmp_path)]) == [
        "z.png",
        str(tmp_path / "a.jpg"),
        str(tmp_path / "b.PNG"),
    ]
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="no image in"):
        image_files([str(tmp_path / "sub")])
