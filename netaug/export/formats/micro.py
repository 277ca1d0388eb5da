"""A folder of C for microcontrollers, compiled here so that the accuracy is that of the shipped sources."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from torch import Tensor

from netaug.config.detect import SHOWN_SCORE
from netaug.export.conversion import Conversion
from netaug.export.formats.base import SAMPLE, Format, Written
from netaug.export.graph import ExportError
from netaug.export.int8 import Int8Array
from netaug.export.ladder import Int8Form, Memory
from netaug.export.micro.evaluator import CompiledNetwork, find_compiler
from netaug.export.micro.folder import Detection, Interface
from netaug.export.micro.generate import generate
from netaug.export.tflite import write_tflite

_LOAD = """
import ctypes
import subprocess
import tempfile

with tempfile.TemporaryDirectory() as build:
    sources = [HERE / name for name in ("net.c", "kernels.c", "weights.c")]
    library = Path(build) / "net.so"
    subprocess.run(["cc", "-std=c99", "-O2", "-shared", "-fPIC", "-o", library, *sources], check=True)
    network = ctypes.CDLL(str(library))


class Tensor(ctypes.Structure):  # net_tensor of net.h
    _fields_ = [("data", ctypes.c_void_p)]
    _fields_ += [(name, ctypes.c_int32) for name in ("size", "height", "width", "channels")]
    _fields_ += [("scale", ctypes.c_float), ("zero", ctypes.c_int32)]


def count_of_outputs():
    header = (HERE / "net.h").read_text(encoding="utf-8")
    return int(header.split("#define NET_OUTPUTS ", 1)[1].split(None, 1)[0])


def run(image_HWC):
    source, targets = Tensor.in_dll(network, "net_input"), (Tensor * count_of_outputs()).in_dll(network, "net_outputs")
    values = np.clip(np.round(image_HWC / np.float32(source.scale)) + source.zero, -128, 127).astype(np.int8)
    ctypes.memmove(source.data, values.tobytes(), source.size)
    network.net_run()
    outputs = []
    for target in targets:
        integers = np.frombuffer(ctypes.string_at(target.data, target.size), np.int8).astype(np.float32)
        shape = (target.height, target.width, target.channels)
        outputs.append((target.scale * (integers - target.zero)).reshape(shape if target.height > 1 else -1))
    return outputs
"""


def _write(conversion: Conversion, folder: Path) -> Written:
    card, images_NCHW = conversion.card, conversion.sample(SAMPLE)
    generated = generate(
        conversion.int8,
        folder,
        title=f"{card.name} for images of {card.image_size} pixels, {card.num_classes} classes",
        inputs_NHWC=conversion.encode(images_NCHW),
        outputs_NK=conversion.reference(images_NCHW),
        interface=_interface(conversion),
    )
    with suppress(ExportError):  # some poolings cannot be said in TFLite's operators; the README says so
        (folder / "model.tflite").write_bytes(write_tflite(conversion.int8))
    plan = generated.plan
    note = f"and 3 to 8 KB of code; largest at {plan.peak}"
    memory = (Memory("generated C", plan.size, generated.constant_bytes, note),)
    if find_compiler() is None:
        return Written(
            memory=memory, checks=("generated C: not run, there is no C compiler (cc, gcc or clang)",)
        )
    compiled = CompiledNetwork(folder)

    def answer(images_NCHW: Tensor) -> Int8Array:
        return np.asarray(compiled(conversion.encode(images_NCHW)))

    return Written((Int8Form("int8, generated C", answer),), memory)


def _interface(conversion: Conversion) -> Interface:
    card, detect = conversion.card, conversion.detect
    detection = None
    if detect is not None:
        detection = Detection(card.anchors, card.num_classes, SHOWN_SCORE, detect.nms_iou)
    return Interface(card.mean, card.std, card.class_names, detection)


FORMAT = Format(_write, _LOAD, "numpy, Pillow and a C compiler", int8=True)
