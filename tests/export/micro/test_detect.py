"""Boxes of the generated C are those of netaug.detect."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from netaug.config.detect import DetectConfig
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.codec import decode
from netaug.detect.nms import detections
from netaug.export.micro.calls import Activation, Window, pool
from netaug.export.micro.evaluator import find_compiler
from netaug.export.micro.folder import Detection, Interface, write_folder
from netaug.export.micro.sources import Program

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler on this machine")
SIDE, CLASSES = 64, 3


class Box(ctypes.Structure):
    """`net_detection` of detect.h."""

    _fields_ = (
        *((name, ctypes.c_float) for name in ("left", "top", "right", "bottom", "score")),
        ("label", ctypes.c_int32),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a network whose outputs have the form of a detector's: three pools of its input."""
    channels = 3 * (5 + CLASSES)
    image = Activation("image", (8, 8, channels), 0.05, -20)
    maps, calls = [image], []
    for side in (8, 4, 2):
        target = Activation(f"map{side}", (side, side, channels), 0.05, -20)
        window = Window((8 // side, 8 // side), (8 // side, 8 // side))
        calls.append(pool("pool", image, target, window, (-128, 127), "max"))
        maps.append(target)
    outputs = tuple(activation.name for activation in maps[1:])
    program = Program("maps", {a.name: a for a in maps}, tuple(calls), "image", outputs)
    path = tmp_path_factory.mktemp("detector")
    detection = Detection(COCO_ANCHORS, CLASSES, 0.2, 0.45)
    write_folder(
        program,
        path,
        inputs_NHWC=np.zeros((1, 8, 8, channels), np.int8),
        outputs_NK=np.zeros((1, 84 * channels), np.int8),
        interface=Interface(detection=detection),
    )
    header = (path / "net.h").read_text()
    for name in ("HEIGHT", "WIDTH"):  # the maps are those of a larger image
        header = header.replace(f"NET_INPUT_{name} 8\n", f"NET_INPUT_{name} {SIDE}\n")
    (path / "net.h").write_text(header)
    return path


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_those_of_the_evaluation(folder: Path, seed: int) -> None:
    image = (
        np.random.default_rng(seed).normal(-40, 40, (8, 8, 3 * (5 + CLASSES))).clip(-128, 127).astype(np.int8)
    )
    found, maps = _detect(folder, image)
    config = DetectConfig(score_threshold=0.2, nms_iou=0.45, max_detections=500)
    frame = torch.tensor([[1.0, 1.0, 0.0, 0.0, SIDE, SIDE]], dtype=torch.float64)
    rows = detections(decode(maps, COCO_ANCHORS), frame, torch.tensor([0]), config)
    assert len(rows) > 10
    assert len(found) == len(rows)
    # scores of int8 maps are often equal to the last bit of a float, and then their order is free
    assert np.allclose(_sorted(found), _sorted(rows[:, 1:]), rtol=1e-4, atol=1e-3)


def test_only_the_best_are_kept(folder: Path) -> None:
    image = (
        np.random.default_rng(0).normal(-40, 40, (8, 8, 3 * (5 + CLASSES))).clip(-128, 127).astype(np.int8)
    )
    many, _ = _detect(folder, image)
    few, _ = _detect(folder, image, capacity=5)
    assert 1 <= len(few) <= 5
    assert few[0, 1] == many[0, 1] == many[:, 1].max()


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(np.round(rows, 2).T)]


def _detect(folder: Path, image: np.ndarray, capacity: int = 1000) -> tuple[np.ndarray, list[torch.Tensor]]:
    """Return rows of class, score, left, top, right, bottom, and the maps that they come from."""
    library = _library(folder)
    arena = (ctypes.c_int8 * image.size).from_address(ctypes.c_void_p.in_dll(library, "net_input").value or 0)
    arena[:] = image.ravel().tolist()
    library.net_run()
    boxes = (Box * capacity)()
    count = library.net_detect(boxes, capacity)
    rows = [[box.label, box.score, box.left, box.top, box.right, box.bottom] for box in boxes[:count]]
    maps = []
    for side in (8, 4, 2):
        step = 8 // side
        pooled = image.reshape(side, step, side, step, -1).max((1, 3))
        maps.append(
            torch.from_numpy((pooled.astype(np.float32) + 20) * np.float32(0.05)).permute(2, 0, 1)[None]
        )
    return np.array(rows), maps


def _library(folder: Path) -> ctypes.CDLL:
    path = folder / "detect.so"
    if not path.exists():
        sources = [str(folder / name) for name in ("net.c", "kernels.c", "weights.c", "detect.c")]
        options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
        subprocess.run([str(find_compiler()), *options, "-o", str(path), *sources, "-lm"], check=True)
    return ctypes.CDLL(str(path))
