"""The generated C has the bits of the NumPy reference: on random networks of the form, and on the project's own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netaug.export.micro.evaluator import find_compiler
from netaug.export.micro.generate import generate
from netaug.export.quantize import quantize
from netaug.export.ranges import measure_ranges
from netaug.export.reference import encode, run_int8
from netaug.export.tracing import float_graph
from netaug.models import create_model
from tests.export.random_graphs import random_graph
from tests.export.shaken import shaken

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler on this machine")


def compared_values(graph, images_NCHW: torch.Tensor, folder: Path) -> int:
    """How many values of the compiled C were compared with the reference; a different one raises."""
    graph8 = quantize(graph, measure_ranges(graph, [images_NCHW]))
    images_NHWC = encode(graph8.tensors["images"], images_NCHW.permute(0, 2, 3, 1).numpy())
    outputs = run_int8(graph8, images_NHWC)
    outputs_NK = np.concatenate([output.reshape(len(output), -1) for output in outputs], axis=1)
    written = generate(
        graph8, folder, title="a network", inputs_NHWC=images_NHWC, outputs_NK=outputs_NK, cases=1
    )
    return written.values


@settings(
    max_examples=int(os.environ.get("NETAUG_EXAMPLES", "8")), deadline=None, derandomize=True, database=None
)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_in_c(seed: int) -> None:
    graph, images_NCHW = random_graph(seed, grouped=False)  # C has no kernel for two groups, and says so
    with tempfile.TemporaryDirectory() as folder:
        assert compared_values(graph, images_NCHW, Path(folder) / "c") > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side"),
    [("micronet", 32), ("mobilenetv2-tiny", 64), ("mobilenetv3-0.35", 64), ("yolov3:mcunet", 64)],
)
def test_networks_in_c(name: str, side: int, tmp_path: Path) -> None:
    images_NCHW = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(1))
    graph = float_graph(shaken(create_model(name)), images_NCHW[:1])
    assert compared_values(graph, images_NCHW, tmp_path / "c") >= 4000
