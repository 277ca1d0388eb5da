"""The folder that a firmware project takes over: C sources, tables, test cases, a Makefile and a README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.detect.anchors import Anchors
from netaug.export.micro.arena import ArenaPlan
from netaug.export.micro.headers import anchors_header, cases_header, labels_header, preprocess_header
from netaug.export.micro.sources import Program, network_sources

_FIXED = ("kernels.c", "kernels.h", "cmsis_nn.c", "main.c", "Makefile", "qemu/start.c", "qemu/memory.ld")

_README = """\
# {title}

C99 without an interpreter and without malloc: `net.c` calls the kernels of `kernels.c` in order, the constants of
`weights.c` stay in flash, and all activations lie in one static array.

| | bytes |
|---|---|
| SRAM: the arena, the largest need is at `{peak}` | {arena:,} |
| ... that no arrangement can go below | {bound:,} |
| flash: weights, biases, multipliers | {constants:,} |

Code takes 3 to 8 KB of flash more on a Cortex-M7, and no call needs 200 bytes of stack (gcc 12, -O2).

## Use
```c
#include "net.h"
#include "preprocess.h"

net_preprocess(image, net_input.data); /* {height} x {width} x {channels} bytes, row by row */
net_run();
/* net_outputs[0].data[k] is the int8 output k; real value = scale * (data - zero) */
```
Of a detector, `net_detect` of `detect.h` turns the outputs into boxes, best first (link with `-lm`).

`-DNET_ARENA_PLACE='__attribute__((section(".dtcm")))'` puts the arena into a section of your linker script.

## Check
```
make check      # {cases} test cases on this machine, then on a Cortex-M4, M7 and M33 in QEMU if it is installed
make sanitize   # the same with the sanitizers for undefined behavior and addresses
make predict    # build/predict IMAGE.{suffix} prints what an image of {width} x {height} pixels is, or the boxes in it
```
Every value must equal the reference that these files were made with; the hash is the same on every machine.
{ran}
## Overlap
{overlap}

## Vendor kernels
`-DNET_CMSIS_NN` takes the convolutions of CMSIS-NN by way of `cmsis_nn.c`, in a folder that was exported without
overlap; `make qemu CMSIS_NN=DIR CMSIS_CORE=DIR` compares them with the same values. CMSIS-NN 4.0.0 gave the same bits
as `kernels.c` on emulated Cortex-M4, M7 and M33, for random networks, MobileNetV2-tiny, MobileNetV3 and MCUNet; no
board was tried, and no speed measured.
"""

_SLIDES = """\
An output may lie over an input that nobody reads later: the kernels read each byte before they write over it. So their
loops must keep their order, and other kernels cannot replace them; export without overlap for that."""
_APART = "No activation shares memory with another one that is alive, so kernels can be replaced."


@dataclass(frozen=True)
class Detection:
    """What turns the maps of a detector into boxes.

    Attributes:
        anchors: Nine widths and heights in pixels of the input, smallest first.
        num_classes: Number of classes.
        score_threshold: Least score of a detection, in [0, 1).
        nms_iou: Overlap from which the lower-scored of two detections of a class is dropped, in (0, 1].
    """

    anchors: Anchors
    num_classes: int
    score_threshold: float
    nms_iou: float


@dataclass(frozen=True)
class Interface:
    """What surrounds the network.

    Attributes:
        mean: Per channel, subtracted from bytes / 255; empty: no preprocess.h is written.
        std: Per channel, divides after that.
        labels: Name of each class; empty: no labels.h is written.
        detection: Of a detector: what turns its maps into boxes.
    """

    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    labels: Sequence[str] = ()
    detection: Detection | None = None


def write_folder(
    program: Program,
    folder: Path,
    *,
    inputs_NHWC: npt.NDArray[np.int8],
    outputs_NK: npt.NDArray[np.int8],
    interface: Interface | None = None,
    overlap: bool = True,
) -> ArenaPlan:
    """Write the C of a network into a folder, and return how its memory is laid out.

    Args:
        program: The network.
        folder: Is made if it is absent; files of the same names are replaced.
        inputs_NHWC: Inputs of the test cases.
        outputs_NK: What the reference answers: per case all output values, one output after another.
        interface: Normalization and labels.
        overlap: Whether outputs may slide over dying inputs.
    """
    interface = interface or Interface()
    plan = program.plan(overlap=overlap)
    texts = network_sources(program, plan, overlap=overlap)
    texts["cases.h"] = cases_header(inputs_NHWC, outputs_NK)
    texts |= _around(program, interface)
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    write_readme(program, plan, folder, len(inputs_NHWC), overlap=overlap)
    return plan


def _around(program: Program, interface: Interface) -> dict[str, str]:
    """Return the files that surround the network: fixed sources, and headers of what is known of it."""
    texts, fixed = {}, list(_FIXED)
    if interface.mean:
        source = program.activations[program.input]
        texts["preprocess.h"] = preprocess_header(interface.mean, interface.std, source)
    if interface.labels:
        texts["labels.h"] = labels_header(interface.labels)
    if interface.detection:
        detection = interface.detection
        texts["anchors.h"] = anchors_header(
            detection.anchors, detection.num_classes, detection.score_threshold, detection.nms_iou
        )
        fixed += ["detect.c", "detect.h"]
    if interface.labels and interface.mean:
        fixed.append("predict.c")
    folder = files(__package__) / "c"
    return texts | {name: (folder / name).read_text(encoding="utf-8") for name in fixed}


def write_readme(
    program: Program, plan: ArenaPlan, folder: Path, cases: int, ran: str = "", *, overlap: bool
) -> None:
    """Write the folder's README.md.

    Args:
        program: The network.
        plan: How its memory is laid out.
        folder: Of the C sources.
        cases: How many test cases it has.
        ran: What was run on these files, as Markdown.
        overlap: Whether outputs slide over dying inputs.
    """
    height, width, channels = program.activations[program.input].shape_HWC
    text = _README.format(
        title=program.title,
        peak=plan.peak,
        arena=plan.size,
        bound=plan.lower_bound,
        constants=program.constant_bytes(),
        height=height,
        width=width,
        channels=channels,
        suffix="pgm" if channels == 1 else "ppm",
        cases=cases,
        ran=f"\n## What was run\n{ran}\n" if ran else "",
        overlap=_SLIDES if overlap else _APART,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
