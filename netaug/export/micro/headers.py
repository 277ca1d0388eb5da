"""Headers beside the network: how bytes of an image become its input, names of classes, what it must answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from netaug.core.errors import ShapeError
from netaug.data.batch import Normalizer
from netaug.detect.anchors import Anchors
from netaug.detect.codec import MOST_GROWTH
from netaug.export.micro.calls import Activation
from netaug.export.micro.sources import c_array

_PREPROCESS = """\
/* image: height x width x {channels} bytes of the network's size, as a camera or a decoder gives them */
#ifndef NET_PREPROCESS_H
#define NET_PREPROCESS_H

#include <stdint.h>
#include "net.h"

/* value = round((byte / 255 - mean) / std / scale) + zero, with mean {mean} and std {std} */
static const int8_t net_preprocess_table[{channels}][256] = {{
{rows}
}};

static inline void net_preprocess(const uint8_t *image, int8_t *input) {{
  for (int32_t k = 0; k < NET_INPUT_SIZE; k += {channels})
    for (int32_t c = 0; c < {channels}; c++) input[k + c] = net_preprocess_table[c][image[k + c]];
}}

#endif
"""


def preprocess_tables(
    mean: Sequence[float], std: Sequence[float], scale: float, zero_point: int
) -> npt.NDArray[np.int8]:
    """Return the int8 input for each byte of each channel, shape ``[channels, 256]``.

    The loader's own normalization makes them, so that a device feeds the very values that the network was measured on.
    """
    bytes_256 = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256).expand(1, len(mean), 1, 256)
    normalizer = Normalizer(tuple(mean), tuple(std), torch.device("cpu"), channels_last=False)
    pixels_C256 = normalizer(bytes_256)[0, :, 0].numpy()
    steps = np.rint(pixels_C256 / np.float32(scale)) + zero_point
    tables: npt.NDArray[np.int8] = np.clip(steps, -128, 127).astype(np.int8)
    return tables


def preprocess_header(mean: Sequence[float], std: Sequence[float], source: Activation) -> str:
    """Return preprocess.h, for an input with one mean and one standard deviation per channel.

    Raises:
        ShapeError: The input has another number of channels.
    """
    channels = source.shape_HWC[2]
    if not len(mean) == len(std) == channels:
        raise ShapeError(
            "The normalization does not fit the network's input.",
            got=f"{len(mean)} means and {len(std)} standard deviations",
            allowed=f"one of each for {channels} channels",
        )
    tables = preprocess_tables(mean, std, source.scale, source.zero_point)
    return _PREPROCESS.format(
        channels=channels,
        mean=tuple(mean),
        std=tuple(std),
        rows=",\n".join(c_array(row) for row in tables),
    )


def anchors_header(anchors: Anchors, num_classes: int, score_threshold: float, nms_iou: float) -> str:
    """Return anchors.h of a detector: what detect.c has to know.

    Args:
        anchors: Nine widths and heights in pixels of the input, smallest first: three for each map.
        num_classes: Number of classes.
        score_threshold: Least score of a detection, in [0, 1).
        nms_iou: Overlap from which the lower-scored of two detections of a class is dropped, in (0, 1].
    """
    rows = ", ".join(f"{{{width:.9g}, {height:.9g}}}" for width, height in anchors)
    lines = [
        "#ifndef NET_ANCHORS_H",
        "#define NET_ANCHORS_H",
        "",
        f"#define NET_CLASSES {num_classes}",
        f"#define NET_SCORE_THRESHOLD ((float){score_threshold:.9g})",
        f"#define NET_NMS_IOU ((float){nms_iou:.9g})",
        f"#define NET_MOST_GROWTH ((float){MOST_GROWTH:.9g}) /* of the logarithm of a side over its anchor's */",
        "",
        f"static const float net_anchors[{len(anchors)}][2] = {{{rows}}};",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def labels_header(labels: Sequence[str]) -> str:
    """Return labels.h: the name of each class as UTF-8."""
    rows = ",\n".join(f'  "{_escaped(label)}"' for label in labels)
    return (
        "#ifndef NET_LABELS_H\n#define NET_LABELS_H\n\n"
        f"static const char *const net_labels[{len(labels)}] = {{\n{rows}\n}};\n\n#endif\n"
    )


def _escaped(text: str) -> str:
    # octal escapes end after three digits, hexadecimal ones would swallow what follows; \\? keeps trigraphs away
    plain = {ord(" ") + offset for offset in range(95)} - set(b'"\\?')
    return "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode())


def cases_header(inputs_NHWC: npt.NDArray[np.int8], outputs_NK: npt.NDArray[np.int8]) -> str:
    """Return cases.h: inputs, and all output values of the reference, the outputs of a network one after another."""
    inputs, outputs = (np.asarray(values).reshape(len(values), -1) for values in (inputs_NHWC, outputs_NK))
    parts = [
        f"static const int8_t net_case_{name}[NET_CASES][{values.shape[1]}] = {{\n"
        + ",\n".join(c_array(row) for row in values)
        + "\n};\n"
        for name, values in (("inputs", inputs), ("outputs", outputs))
    ]
    head = f"#ifndef NET_CASES_H\n#define NET_CASES_H\n#include <stdint.h>\n\n#define NET_CASES {len(inputs)}"
    return "\n".join([head, *parts, "#endif", ""])
