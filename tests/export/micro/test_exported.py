"""Networks of this project in C and other runtimes: every value of the reference, and the memory that was foretold."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netaug
from netaug.export.budget import MemoryNeed
from netaug.export.int8 import GraphInt8
from netaug.export.micro.evaluator import find_compiler
from netaug.export.micro.generate import generate
from netaug.export.micro.lower import lower
from netaug.export.micro.need import memory_need
from netaug.export.quantize import quantize
from netaug.export.ranges import measure_ranges
from netaug.export.reference import encode, run_int8
from netaug.export.tflite import write_tflite
from netaug.export.tracing import float_graph
from tests.export import runtimes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_compiler() is None, reason="no C compiler on this machine"),
]
Runtime = Callable[[bytes, np.ndarray, int], list[np.ndarray]]
NETWORKS = [
    ("micronet", 32),
    ("mobilenetv2-tiny", 48),
    ("mcunet", 64),
    ("mobilenetv3-0.35", 64),
    ("proxylessnas-0.35", 64),
    ("timm:test_resnet", 32),
    ("yolov3:mobilenetv2-0.35", 96),
]


@dataclass
class Exported:
    """A network with fresh weights and moved statistics, as int8."""

    graph: GraphInt8
    images_NHWC: np.ndarray
    outputs_NK: np.ndarray
    need: MemoryNeed


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda pair: pair[0])
def exported(request: pytest.FixtureRequest) -> Exported:
    """A network in int8, with four inputs and what the NumPy reference answers."""
    name, side = request.param
    torch.manual_seed(0)
    network = netaug.create_model(name, num_classes=10).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    images_NCHW = torch.randn(8, 3, side, side)
    floats = float_graph(network, images_NCHW[:2])
    graph = quantize(floats, measure_ranges(floats, [images_NCHW]))
    images_NHWC = encode(graph.tensors[graph.inputs[0]], images_NCHW[:4].permute(0, 2, 3, 1).numpy())
    outputs = [values.reshape(4, -1) for values in run_int8(graph, images_NHWC)]
    need = memory_need(network, torch.zeros(1, 3, side, side))
    return Exported(graph, images_NHWC, np.concatenate(outputs, 1), need)


def test_all_values_are_those_of_the_reference(exported: Exported, tmp_path: Path) -> None:
    done = generate(
        exported.graph,
        tmp_path,
        title="a test",
        inputs_NHWC=exported.images_NHWC,
        outputs_NK=exported.outputs_NK,
        cases=2,
    )
    assert done.values == exported.outputs_NK.size
    assert len(np.unique(exported.outputs_NK)) > 5  # else the network answers the same to everything
    assert done.plan.size <= 1.05 * done.plan.lower_bound


@pytest.mark.parametrize(
    "runtime", [runtimes.tflite_micro, runtimes.litert], ids=lambda runtime: runtime.__name__
)
def test_other_runtimes_have_the_same_bits(exported: Exported, runtime: Runtime) -> None:
    pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    pytest.importorskip("ai_edge_litert.interpreter")
    images_NHWC = exported.images_NHWC[:2]
    outputs = runtime(write_tflite(exported.graph), images_NHWC, len(exported.graph.outputs))
    values_NK = np.concatenate([values.reshape(2, -1) for values in outputs], 1)
    assert np.count_nonzero(values_NK != exported.outputs_NK[:2]) == 0


def test_memory_is_known_from_the_shapes(exported: Exported) -> None:
    need, program = exported.need, lower(exported.graph, "a test")
    assert need.sram == program.plan().size
    assert need.sram_apart == program.plan(overlap=False).size
    assert need.flash == program.constant_bytes()


def test_the_head_of_tflite_micro_is_foretold_to_the_byte(exported: Exported) -> None:
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    interpreter = runtime.Interpreter.from_bytes(write_tflite(exported.graph), arena_size=16 << 20)
    assert exported.need.tflite_micro == _head(interpreter)


def _head(interpreter: object) -> int:
    """The bytes that tflite-micro's recorder prints on stderr as the arena's head."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            interpreter.print_allocations()  # type: ignore[attr-defined]
        finally:
            os.dup2(before, 2)
            os.close(before)
        file.seek(0)
        printed = file.read().decode()
    return int(re.search(r"Arena allocation head\D*(\d+)", printed)[1])
