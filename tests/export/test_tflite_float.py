"""The float `.tflite` answers in LiteRT what the float form and the network answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from netaug.export.delivery import deliver
from netaug.export.float_reference import run_float
from netaug.export.graph import Graph
from netaug.export.tflite import write_tflite
from netaug.export.tracing import float_graph
from netaug.models import create_model
from tests.export import runtimes
from tests.export.conversions import conversion_of_images, digits_network
from tests.export.random_graphs import random_graph
from tests.export.shaken import shaken

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'netaug[micro]'")


def assert_close(graph: Graph, images_NCHW: Tensor, expected: list[Tensor]) -> None:
    """Compare LiteRT's answers with those expected of it."""
    images_NHWC = images_NCHW.permute(0, 2, 3, 1).contiguous().numpy()
    results = [torch.from_numpy(a) for a in runtimes.litert(write_tflite(graph), images_NHWC, len(expected))]
    for ours, theirs in zip(results, expected, strict=True):
        ours = ours.permute(0, 3, 1, 2) if ours.ndim == 4 else ours
        assert (ours - theirs).abs().max() <= 1e-4 * max(1.0, float(theirs.abs().max()))


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_in_float(seed: int) -> None:
    graph, images_NCHW = random_graph(seed)
    assert_close(graph, images_NCHW, run_float(graph, images_NCHW))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mcunet", "mobilenetv3-0.35"])
def test_networks_in_float(name: str) -> None:
    images_NCHW = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    model = shaken(create_model(name, num_classes=10))
    with torch.no_grad():
        assert_close(float_graph(model, images_NCHW[:1]), images_NCHW, [model(images_NCHW)])


def test_the_format_is_checked_in_litert(tmp_path: Path) -> None:
    ladder = deliver(conversion_of_images(digits_network()), ["tflite"], tmp_path, "")
    trained, litert = ladder.rungs
    assert litert.name == "LiteRT, float32"
    assert 0 < litert.max_difference < 1e-4
    assert litert.same == 100
    assert not ladder.memory  # nothing is int8
    assert trained.metrics["top1"] == litert.metrics["top1"]
