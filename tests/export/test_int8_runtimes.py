"""The int8 form has the same bits in NumPy, tflite-micro and LiteRT's reference kernels."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from netaug.export.flatbuffer_file import OPERATORS, OPTIONS
from netaug.export.graph import Graph
from netaug.export.int8 import GraphInt8, TableInt8, TensorInt8
from netaug.export.reference import decode, encode, run_int8
from netaug.export.tables import gelu_table, hard_swish_table, logistic_table, rsqrt_table
from netaug.export.tflite import operators, write_tflite
from netaug.export.tracing import float_graph
from netaug.models import create_model
from tests.export import runtimes
from tests.export.random_graphs import int8_case, random_graph
from tests.export.shaken import shaken

pytest.importorskip("tflite_micro", reason="tflite-micro is not installed: pip install 'netaug[micro]'")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'netaug[micro]'")

NETWORKS = {
    "timm:test_efficientnet": {},
    "timm:repvit_m0_9": {"embed_dim": (8, 16, 24, 32), "depth": (1, 1, 1, 1)},
    "timm:densenet121": {"growth_rate": 4, "block_config": (2, 12)},
}
"""Small ones with SiLU, GELU, and more joined tensors than tflite-micro takes; others: `micro/test_exported.py`."""


def int8_of(graph: Graph, images_NCHW: Tensor) -> GraphInt8:
    return int8_case(graph, images_NCHW)[0]


def assert_same_bits(graph: GraphInt8, images_NCHW: Tensor) -> list[np.ndarray]:
    """Compare the runtimes on the images, and return the outputs."""
    images_NHWC = encode(graph.tensors["images"], images_NCHW.permute(0, 2, 3, 1).numpy())
    outputs = run_int8(graph, images_NHWC)
    file = write_tflite(graph)
    same = [0] * len(outputs)
    for runtime in (runtimes.litert, runtimes.tflite_micro):
        if runtime is runtimes.tflite_micro and "GELU" in operators(graph):
            continue  # it has no such kernel
        results = runtime(file, images_NHWC, len(outputs))
        assert [int((a != b).sum()) for a, b in zip(outputs, results, strict=True)] == same
    return outputs


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_the_same_bits_everywhere(name: str) -> None:
    model = shaken(create_model(name, num_classes=10, **NETWORKS[name]))
    images_NCHW = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    graph = int8_of(float_graph(model, images_NCHW[:1]), images_NCHW)
    outputs = assert_same_bits(graph, images_NCHW[:3])
    assert all(len(np.unique(output)) > 5 for output in outputs)  # not all values are saturated or zero


@settings(
    max_examples=int(os.environ.get("NETAUG_EXAMPLES", "25")), deadline=None, derandomize=True, database=None
)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_have_the_same_bits_everywhere(seed: int) -> None:
    graph, images_NCHW = random_graph(seed)
    assert_same_bits(int8_of(graph, images_NCHW), images_NCHW)


def test_int8_outputs_are_close_to_the_network() -> None:
    model = shaken(create_model("micronet", num_classes=10))
    images_NCHW = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    graph = int8_of(float_graph(model, images_NCHW[:1]), images_NCHW)
    (integers,) = run_int8(graph, encode(graph.tensors["images"], images_NCHW.permute(0, 2, 3, 1).numpy()))
    logits = decode(graph.tensors[graph.outputs[0]], integers)
    with torch.no_grad():
        expected = model(images_NCHW).numpy()
    assert np.abs(logits - expected).std() < 0.03 * expected.std()


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-3, 0.3), st.integers(-128, 127), st.floats(1e-3, 0.1), st.integers(-128, 127))
def test_tables_are_close_to_the_functions(
    scale: float, zero_point: int, fine: float, target_zero: int
) -> None:
    source = TensorInt8("x", (1,), float(np.float32(scale)), zero_point)
    target = TensorInt8("y", (1,), float(np.float32(max(fine, scale))), target_zero)
    inputs = decode(source, np.arange(-128, 128).astype(np.int8))
    logistic = TensorInt8("y", (1,), 1 / 256, -128)
    expected = encode(logistic, 1 / (1 + np.exp(-inputs))).astype(int)
    assert np.abs(logistic_table(source) - expected).max() <= 1
    expected = encode(target, inputs * np.clip(inputs + 3, 0, 6) / 6).astype(int)
    assert np.abs(hard_swish_table(source, target) - expected).max() <= 1


def test_sigmoids_have_the_bits_of_tflite_micro_and_nearly_all_of_litert() -> None:
    rng, differing = np.random.default_rng(0), 0
    inputs = np.arange(-128, 128).astype(np.int8).reshape(1, 1, 1, 256)
    for _ in range(50):
        scale, zero_point = float(np.float32(rng.uniform(0.001, 0.3))), int(rng.integers(-128, 128))
        source = TensorInt8("x", (1, 1, 256), scale, zero_point)
        table = logistic_table(source)
        node = TableInt8("gate", ("x",), "y", "logistic", table)
        tensors = {"x": source, "y": TensorInt8("y", (1, 1, 256), 1 / 256, -128)}
        file = write_tflite(GraphInt8((node,), tensors, ("x",), ("y",)))
        assert (runtimes.tflite_micro(file, inputs)[0].ravel() == table).all()
        difference = np.abs(runtimes.litert(file, inputs)[0].ravel().astype(int) - table)
        assert difference.max() <= 1
        differing += int(difference.sum())
    assert differing <= 2


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_has_the_bits_of_litert(approximate: bool) -> None:
    rng = np.random.default_rng(0)
    inputs = np.arange(-128, 128).astype(np.int8).reshape(1, 1, 1, 256)
    for _ in range(100):
        scale, zero_point = float(np.float32(rng.uniform(0.001, 0.3))), int(rng.integers(-128, 128))
        source = TensorInt8("x", (1, 1, 256), scale, zero_point)
        target = TensorInt8("y", (1, 1, 256), float(np.float32(rng.uniform(0.001, 0.3))), -100)
        table = gelu_table(source, target, approximate=approximate)
        node = TableInt8("layer", ("x",), "y", "gelu_tanh" if approximate else "gelu", table)
        file = write_tflite(GraphInt8((node,), {"x": source, "y": target}, ("x",), ("y",)))
        assert (runtimes.litert(file, inputs)[0].ravel() == table).all()


def test_inverse_roots_have_the_bits_of_both_runtimes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        scale, zero_point = float(np.float32(10 ** rng.uniform(-5, 1))), int(rng.choice([-128, -100, 0]))
        inputs = np.arange(zero_point, 128).astype(np.int8).reshape(1, 1, 1, -1)  # the kernels take no others
        shape = (1, 1, 128 - zero_point)
        source = TensorInt8("x", shape, scale, zero_point)
        largest = 1 / np.sqrt(scale * rng.uniform(0.5, 20))
        target = TensorInt8("y", shape, float(np.float32(largest / 255)), int(rng.choice([-128, -90])))
        table = rsqrt_table(source, target)
        real = np.sqrt(1 / decode(source, inputs.ravel()[1:]))
        assert (
            np.abs(encode(target, real).astype(int) - table[inputs.ravel()[1:].astype(int) + 128]).max() <= 1
        )
        node = TableInt8("norm", ("x",), "y", "rsqrt", table)
        file = write_tflite(GraphInt8((node,), {"x": source, "y": target}, ("x",), ("y",)))
        for runtime in (runtimes.tflite_micro, runtimes.litert):
            assert (runtime(file, inputs)[0].ravel() == table[inputs.ravel().astype(int) + 128]).all()


def test_numbers_of_operators_and_options_are_those_of_the_schema() -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    for name, number in OPERATORS.items():
        assert getattr(schema.BuiltinOperator, name) == number
    for name, (number, _) in OPTIONS.items():
        assert getattr(schema.BuiltinOptions, name) == number


def test_the_file_holds_names_of_activations_only_and_equal_vectors_once() -> None:
    class Twins(nn.Module):
        """Two equal convolutions, whose weights are stored once."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
            self.second.load_state_dict(self.first.state_dict())

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    images_NCHW = torch.randn(2, 16, 8, 8)
    graph = int8_of(float_graph(Twins().eval(), images_NCHW[:1]), images_NCHW)
    file = write_tflite(graph)
    assert file[4:8] == b"TFL3"
    assert b"first" not in file
    assert file.count(graph.nodes[0].weight_OHWI.tobytes()) == 1
    assert operators(graph) == ["CONV_2D"]


def test_constants_lie_at_multiples_of_sixteen_bytes() -> None:
    graph, images_NCHW = random_graph(3, kinds=("conv", "depthwise"))
    graph8 = int8_of(graph, images_NCHW)
    file = write_tflite(graph8)
    for node in graph8.nodes:
        if hasattr(node, "bias_O") and len(node.bias_O) > 1:
            assert file.index(node.bias_O.tobytes()) % 16 == 0


def test_a_hard_swish_of_what_is_nearly_always_zero_runs_in_tflite_micro() -> None:
    class Network(nn.Module):
        """Its inputs lie where the function is almost zero."""

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.hardswish(x.mean((2, 3)) - 40.0)

    graph = float_graph(Network().eval(), torch.zeros(1, 3, 4, 4))
    images_NCHW = 2 * torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    int8 = int8_of(graph, images_NCHW)
    swish = next(node for node in int8.nodes if isinstance(node, TableInt8))
    assert int8.tensors[swish.output].scale > int8.tensors[swish.inputs[0]].scale / 128
    assert_same_bits(int8, images_NCHW)
