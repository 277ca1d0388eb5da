"""The int8 form becomes C that answers what the kernels' definitions say; what has no kernel is refused by name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from netaug.data.batch import Normalizer
from netaug.export.graph import ExportError, Padding
from netaug.export.int8 import (
    ConvInt8,
    FlattenInt8,
    GraphInt8,
    NodeInt8,
    TensorInt8,
)
from netaug.export.micro.evaluator import find_compiler
from netaug.export.micro.folder import Interface
from netaug.export.micro.generate import generate
from netaug.export.micro.lower import lower
from netaug.export.reference import run_int8

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler on this machine")


def _conv(name: str, source: str, target: str, shape, groups: int, border: int = 0) -> ConvInt8:
    rng = np.random.default_rng(len(name))
    return ConvInt8(
        name,
        (source,),
        target,
        weight_OHWI=rng.integers(-127, 128, shape, np.int8),
        bias_O=rng.integers(-500, 500, shape[0]).astype(np.int32),
        weight_scales_O=np.ones(shape[0], np.float32),
        multipliers_O=np.full(shape[0], 2**30 + 12345, np.int32),
        shifts_O=np.full(shape[0], -7, np.int32),
        padding=Padding(border, border, border, border),
        groups=groups,
        low=-100,
    )


def _graph(channels: int = 3) -> GraphInt8:
    tensors = [
        TensorInt8("image", (4, 5, channels), 0.02, -3),
        TensorInt8("a", (4, 5, channels), 0.03, 7),
        TensorInt8("b", (1, 1, 6), 0.04, -9),
        TensorInt8("logits", (6,), 0.04, -9),
    ]
    nodes = (
        _conv("depthwise", "image", "a", (channels, 3, 3, 1), channels, 1),
        _conv("classifier", "a", "b", (6, 4, 5, channels), 1),
        FlattenInt8("flatten", ("b",), "logits"),
    )
    return GraphInt8(nodes, {tensor.name: tensor for tensor in tensors}, ("image",), ("logits",))


def _answers(graph: GraphInt8, images: np.ndarray) -> np.ndarray:
    return run_int8(graph, images)[0]


@needs_compiler
def test_a_folder_is_compared_with_the_reference_when_it_is_written(tmp_path: Path) -> None:
    graph = _graph()
    images = np.random.default_rng(0).integers(-128, 128, (5, 4, 5, 3), np.int8)
    answers = _answers(graph, images)
    assert len(np.unique(answers)) > 5
    interface = Interface((0.5,) * 3, (0.2,) * 3, [f"class {index}" for index in range(6)])
    done = generate(
        graph, tmp_path, title="a test", inputs_NHWC=images, outputs_NK=answers, interface=interface
    )
    assert done.values == 30
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "all 30 values of 5 inputs" in readme
    assert "`AddConv2D()`, `AddDepthwiseConv2D()`, `AddReshape()`" in readme
    assert {"predict.c", "labels.h", "preprocess.h", "cases.h"} <= {path.name for path in tmp_path.iterdir()}
    answers[2, 3] ^= 1
    with pytest.raises(ExportError, match="1 of 30 values"):
        generate(graph, tmp_path, title="a test", inputs_NHWC=images, outputs_NK=answers)


@needs_compiler
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("channels", "header"), [(3, b"P6 5 4 255\n"), (1, b"P5\n# gray\n5 4\n255\n")])
def test_a_program_prints_the_label_of_an_image(tmp_path: Path, channels: int, header: bytes) -> None:
    graph = _graph(channels)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 5, channels), np.uint8)
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    normalizer = Normalizer(mean, std, torch.device("cpu"), channels_last=True)
    normalized_HWC = normalizer(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    image = torch.clip(torch.round(normalized_HWC / np.float32(0.02)) - 3, -128, 127).numpy().astype(np.int8)
    answers = _answers(graph, image[None])
    labels = [f'Füße {index} \\ "??=" 1' for index in range(6)]
    interface = Interface(mean, std, labels)
    generate(
        graph, tmp_path, title="a test", inputs_NHWC=image[None], outputs_NK=answers, interface=interface
    )
    picture = tmp_path / "picture"
    picture.write_bytes(header + pixels.tobytes())
    subprocess.run(["make", "-s", "-C", str(tmp_path), "predict"], check=True)
    words = [str(tmp_path / "build" / "predict"), str(picture)]
    assert subprocess.check_output(words).decode() == labels[int(answers[0].argmax())] + "\n"
    for wrong in (header.replace(b"5 4", b"4 4"), header.replace(b"P", b"Q")):
        picture.write_bytes(wrong + pixels.tobytes())
        assert subprocess.run(words, capture_output=True, check=False).returncode == 2
    picture.write_bytes(header + pixels.tobytes()[1:])
    assert subprocess.run(words, capture_output=True, check=False).returncode == 2


def test_values_that_are_only_reshaped_share_memory() -> None:
    program = lower(_graph(), "a test")
    assert program.outputs == ("b",)
    assert set(program.activations) == {"image", "a", "b"}


def test_what_has_no_kernel_is_refused_by_its_layer() -> None:
    graph = _graph()
    tensors = graph.tensors | {"c": TensorInt8("c", (4, 5, 6), 1.0, 0)}
    odd = GraphInt8((NodeInt8("stage.3", ("image",), "a"),), tensors, ("image",), ("a",))
    with pytest.raises(ExportError, match=r"'stage\.3'"):
        lower(odd, "a test")
    with pytest.raises(ExportError, match="2 inputs"):
        lower(GraphInt8((), tensors, ("image", "a"), ("a",)), "a test")
