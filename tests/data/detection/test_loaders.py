from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from netaug.config import DataConfig, DetectConfig
from netaug.data import build_data
from netaug.data.batch import DetectionBatch
from netaug.data.prepared import Data
from netaug.data.sampler import WHOLE, Share
from tests.data.detection.making import config_for, small_voc

MUCH = DetectConfig(mosaic=0.5, sizes=(96, 128, 160))


def build(config: DataConfig, detect: DetectConfig = MUCH, share: Share = WHOLE) -> Data:
    return build_data(config, seed=1, detect=detect, share=share)


def batches(data: Data, epochs: tuple[int, ...] = (0, 1)) -> list[DetectionBatch]:
    found = [batch for epoch in epochs for batch in data.train.epoch(epoch)] + list(data.val)
    assert all(isinstance(batch, DetectionBatch) for batch in found)
    return found


def equal(a: DetectionBatch, b: DetectionBatch) -> bool:
    pairs = [(getattr(a.targets, one.name), getattr(b.targets, one.name)) for one in fields(a.targets)]
    pairs += [(getattr(a, name), getattr(b, name)) for name in ("images_NCHW", "frames_N6", "indices_N")]
    return all(torch.equal(x, y) for x, y in pairs)


def same(a: list[DetectionBatch], b: list[DetectionBatch]) -> bool:
    return len(a) == len(b) > 0 and all(equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("cache", ["none", "auto"])
def test_batches_are_the_same_to_the_bit_for_any_number_of_workers(tmp_path: Path, cache: str):
    small_voc(tmp_path)
    reference = batches(build(config_for(tmp_path, cache=cache)))
    assert not same(reference[:2], reference[2:4])
    assert len({batch.images_NCHW.shape[-1] for batch in reference[:4]}) > 1  # else sides would not be tested
    for workers in (1, 2):
        assert same(batches(build(config_for(tmp_path, cache=cache, workers=workers))), reference)


def test_an_epoch_goes_on_where_it_was_left(tmp_path: Path):
    data = build(config_for(small_voc(tmp_path), batch_size=2))
    whole = list(data.train.epoch(3))
    assert same(list(data.train.epoch(3, skip=2)), whole[2:])


def test_processes_share_the_batches_of_one(tmp_path: Path):
    config = config_for(small_voc(tmp_path))
    whole = batches(build(config))
    shares = [batches(build(config, share=Share(rank, 2))) for rank in range(2)]
    for step in range(4):
        parts = [share[step] for share in shares]
        assert torch.equal(torch.cat([part.images_NCHW for part in parts]), whole[step].images_NCHW)
        joined = torch.cat([part.targets.boxes_M4 for part in parts])
        assert torch.equal(joined, whole[step].targets.boxes_M4)
    judged = [index for share in shares for batch in share[4:] for index in batch.indices_N.tolist()]
    assert sorted(judged) == list(range(5))


def test_the_batch_an_image_is_in_does_not_change_it(tmp_path: Path):
    small_voc(tmp_path)
    detect = DetectConfig(mosaic=0.5)

    def by_index(batch_size: int) -> dict[int, bytes]:
        data = build(config_for(tmp_path, batch_size=batch_size), detect)
        return {
            int(index): image.numpy().tobytes()
            for batch in data.train.epoch(2)
            for image, index in zip(batch.images_NCHW, batch.indices_N, strict=True)
        }

    assert by_index(1) == by_index(8)


def test_boxes_of_an_evaluation_batch_go_back_to_the_file(tmp_path: Path):
    data = build(config_for(small_voc(tmp_path)))
    assert data.truth is not None
    assert len(data.truth) == 5
    seen = 0
    for batch in data.val:
        assert isinstance(batch, DetectionBatch)
        for row, index in enumerate(batch.indices_N.tolist()):
            frame = batch.frames_N6[row].numpy()
            assert frame[4:].tolist() == data.truth.sizes_N2[index].tolist()
            boxes = batch.targets[row : row + 1].boxes_M4.numpy().astype(np.float64)
            back = (boxes - np.tile(frame[2:4], 2)) / np.tile(frame[:2], 2)
            assert np.abs(back - data.truth.boxes_M4[data.truth.of(index)]).max() < 1e-4
            seen += len(boxes)
    assert seen == len(data.truth.boxes_M4) == 10


def test_held_images_are_judged_by_the_same_pixels(tmp_path: Path):
    small_voc(tmp_path)
    held, read = (list(build(config_for(tmp_path, cache=cache)).val) for cache in ("ram", "none"))
    assert same(held, read)


def test_a_bright_square_stays_in_its_box_whatever_is_done(tmp_path: Path):
    """Boxes and pixels go the same way: through scale, cut, mirror and mosaic."""
    from PIL import Image

    root = small_voc(tmp_path)
    for path in (root / "Annotations").glob("a*.xml"):
        text = path.read_text()
        width = int(text.split("<width>")[1].split("<")[0])
        height = int(text.split("<height>")[1].split("<")[0])
        corners = "<xmin>11</xmin><ymin>9</ymin><xmax>30</xmax><ymax>24</ymax>"
        head = text.split("<object>")[0]
        obj = f"<object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>"
        path.write_text(head + obj)
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[8:24, 10:30] = 255
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{path.stem}.png")
    detect = DetectConfig(mosaic=0.5, brightness=0, saturation=0, hue=0)
    checked = 0
    for batch in batches(build(config_for(root, cache="none"), detect), epochs=tuple(range(6)))[:-3]:
        for row in range(len(batch)):
            inside = np.zeros(batch.images_NCHW.shape[-2:], bool)
            near = inside.copy()
            for box in batch.targets[row : row + 1].boxes_M4.tolist():
                x0, y0, x1, y1 = box
                inside[round(y0 + 2) : round(y1 - 2), round(x0 + 2) : round(x1 - 2)] = True
                near[max(0, round(y0 - 2)) : round(y1 + 2), max(0, round(x0 - 2)) : round(x1 + 2)] = True
                checked += 1
            image = batch.images_NCHW[row, 0].numpy()
            assert (image[inside] > 200).all()
            assert (image[~near] <= 114 + 20).all()
    assert checked > 40
