"""Which kernels tflite-micro has, and how a program asks for them."""

from __future__ import annotations

from netaug.export.graph import ExportError
from netaug.export.int8 import GraphInt8
from netaug.export.tflite import operators

_RESOLVER = {
    "ADD": "AddAdd",
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "CONCATENATION": "AddConcatenation",
    "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "GATHER": "AddGather",
    "HARD_SWISH": "AddHardSwish",
    "LOGISTIC": "AddLogistic",
    "MAX_POOL_2D": "AddMaxPool2D",
    "MEAN": "AddMean",
    "MUL": "AddMul",
    "PAD": "AddPad",
    "PADV2": "AddPadV2",
    "QUANTIZE": "AddQuantize",
    "RELU": "AddRelu",
    "RELU6": "AddRelu6",
    "RESHAPE": "AddReshape",
    "RSQRT": "AddRsqrt",
    "RESIZE_NEAREST_NEIGHBOR": "AddResizeNearestNeighbor",
}
"""Methods of tflite-micro's ``MicroMutableOpResolver`` by operator."""


def missing_in_tflite_micro(graph: GraphInt8) -> list[str]:
    """Return the operators of a network that tflite-micro has no kernel for."""
    return [operator for operator in operators(graph) if operator not in _RESOLVER]


def resolver_lines(graph: GraphInt8) -> list[str]:
    """Return the calls of tflite-micro's ``MicroMutableOpResolver`` for this network, such as ``AddConv2D()``.

    Raises:
        ExportError: A node cannot be said in TFLite's operators, or tflite-micro has no kernel for one of them.
    """
    missing = missing_in_tflite_micro(graph)
    if missing:
        raise ExportError(f"tflite-micro has no kernel for {', '.join(missing)}.", fix="use the generated C")
    return [f"{_RESOLVER[operator]}()" for operator in operators(graph)]
