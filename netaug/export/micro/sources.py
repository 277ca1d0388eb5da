"""The C of one network: net.c calls the kernels, weights.c holds the constants, net.h is what a program includes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from netaug.export.micro.arena import ArenaPlan, plan_arena
from netaug.export.micro.calls import Activation, Array, Call

_TYPES = {
    "weights": "int8_t",
    "bias": "int32_t",
    "multipliers": "int32_t",
    "shifts": "net_shift",
    "table": "int8_t",
    "order": "int16_t",
}
_BYTES = {"int8_t": 1, "net_shift": 1, "int16_t": 2, "int32_t": 4}
_PER_LINE = 24

_NET_H = """\
/* {title} */
#ifndef NET_H
#define NET_H

#include <stdint.h>

#define NET_ARENA_SIZE {arena}
#define NET_INPUT_HEIGHT {height}
#define NET_INPUT_WIDTH {width}
#define NET_INPUT_CHANNELS {channels}
#define NET_INPUT_SIZE {input_size}
#define NET_OUTPUTS {outputs}
#define NET_OUTPUT_SIZE {output_size} /* all outputs together */

/* real value = scale * (data - zero), layout is height, width, channels */
typedef struct {{
  int8_t *data;
  int32_t size, height, width, channels;
  float scale;
  int32_t zero;
}} net_tensor;

extern const net_tensor net_input; /* to be filled before every run: its memory is used again */
extern const net_tensor net_outputs[NET_OUTPUTS];

void net_run(void);

#ifdef NET_CMSIS_NN
#define NET_CMSIS_NN_SCRATCH {scratch} /* bytes that its convolutions need beside the arena */
extern int net_cmsis_nn_failures;      /* calls that it refused */
#endif

#endif
"""

_NET_C = """\
/* {title} */
#include "net.h"
#include "kernels.h"
#include "weights.h"
{guard}
#ifndef NET_ARENA_PLACE /* for example __attribute__((section(".dtcm"))) */
#define NET_ARENA_PLACE
#endif
#if defined(__GNUC__)
#define NET_ALIGNED __attribute__((aligned(16)))
#else
#define NET_ALIGNED
#endif

static int8_t arena[NET_ARENA_SIZE] NET_ALIGNED NET_ARENA_PLACE;

const net_tensor net_input = {input};
const net_tensor net_outputs[NET_OUTPUTS] = {{{outputs}}};

{parameters}

void net_run(void) {{
{body}
}}
"""

_OVERLAP_GUARD = """\
#ifdef NET_CMSIS_NN
#error "outputs overlap inputs here, which vendor kernels do not allow: export again with --no-overlap"
#endif
"""


@dataclass(frozen=True)
class Program:
    """An int8 network as calls of C kernels.

    Attributes:
        title: One line about it, for comments.
        activations: By name.
        calls: In the order in which they run.
        input: Name of the activation that is filled before.
        outputs: Names of those that are read after.
    """

    title: str
    activations: Mapping[str, Activation]
    calls: tuple[Call, ...]
    input: str
    outputs: tuple[str, ...]

    def plan(self, *, overlap: bool = True) -> ArenaPlan:
        """Return where the activations lie.

        Args:
            overlap: Whether an output may slide over an input that dies there; our kernels allow it, a vendor's do not.
        """
        operations = [call.operation for call in self.calls]
        sizes = {name: activation.size for name, activation in self.activations.items()}
        return plan_arena(operations, sizes, [self.input], self.outputs, overlap=overlap)

    def cmsis_nn_scratch(self) -> int:
        """Return bytes that are enough beside the arena for CMSIS-NN's convolutions, on cores with and without DSP.

        Source:
            arm_convolve_s8_get_buffer_size, two columns of int16 rounded up, and
            arm_depthwise_conv_s8_opt_get_buffer_size, four blocks of at least 124 channels on cores with vectors.
        """
        needs = [0]
        for call in self.calls:
            if call.structure == "net_conv":
                shape = call.arrays["weights"].shape
                depthwise, window = len(shape) == 3, shape[-3] * shape[-2]
                needs.append(4 * window * max(shape[-1], 124) if depthwise else 4 * (window * shape[-1] + 16))
        return max(needs)

    def constant_bytes(self) -> int:
        """Return the bytes of flash that weights, biases, multipliers and tables take."""
        return sum(
            values.size * _BYTES[_TYPES[role]] for call in self.calls for role, values in call.arrays.items()
        )


def network_sources(program: Program, plan: ArenaPlan, *, overlap: bool) -> dict[str, str]:
    """Return the text of net.c, net.h, weights.c and weights.h."""
    arrays = {
        f"{role}_{index}": (_TYPES[role], values)
        for index, call in enumerate(program.calls)
        for role, values in call.arrays.items()
    }
    declared = [f"extern const {kind} {name}[{values.size}];" for name, (kind, values) in arrays.items()]
    defined = [
        f"const {kind} {name}[{values.size}] = {{\n{_values(values)}\n}};"
        for name, (kind, values) in arrays.items()
    ]
    title = program.title.replace("*/", "* /")  # a name from outside must not end the comment
    return {
        "net.h": _header(program, plan, title),
        "net.c": _NET_C.format(
            title=title,
            guard=_OVERLAP_GUARD if overlap else "",
            input=_tensor(program.activations[program.input], plan),
            outputs=", ".join(_tensor(program.activations[name], plan) for name in program.outputs),
            parameters="\n".join(_parameters(program)),
            body="\n".join(f"  {line}" for line in _statements(program, plan)),
        ),
        "weights.h": "\n".join(
            [
                "#ifndef NET_WEIGHTS_H",
                "#define NET_WEIGHTS_H",
                '#include "kernels.h"',
                "",
                *declared,
                "",
                "#endif",
                "",
            ]
        ),
        "weights.c": "\n".join(['#include "weights.h"', "", *defined, ""]),
    }


def c_array(values: Array) -> str:
    """Return an array of integers as C values in braces, row by row."""
    return f"{{\n{_values(values)}\n}}"


def _values(values: Array) -> str:
    numbers = [str(value) for value in np.asarray(values).ravel().tolist()]
    rows = [numbers[start : start + _PER_LINE] for start in range(0, len(numbers), _PER_LINE)]
    return ",\n".join("  " + ", ".join(row) for row in rows)


def _header(program: Program, plan: ArenaPlan, title: str) -> str:
    height, width, channels = program.activations[program.input].shape_HWC
    return _NET_H.format(
        title=title,
        arena=plan.size,
        height=height,
        width=width,
        channels=channels,
        input_size=program.activations[program.input].size,
        outputs=len(program.outputs),
        scratch=program.cmsis_nn_scratch(),
        output_size=sum(program.activations[name].size for name in program.outputs),
    )


def _tensor(activation: Activation, plan: ArenaPlan) -> str:
    height, width, channels = activation.shape_HWC
    address = f"arena + {plan.offsets[activation.name]}"
    scale = f"{np.float32(activation.scale):.9g}"  # nine digits bring any float32 back
    scale = f"{scale}f" if "." in scale or "e" in scale else f"{scale}.0f"
    return (
        f"{{{address}, {activation.size}, {height}, {width}, {channels}, {scale}, {activation.zero_point}}}"
    )


def _names(call: Call, index: int) -> dict[str, str]:
    return {role: f"{role}_{index}" for role in call.arrays}


def _parameters(program: Program) -> Iterator[str]:
    for index, call in enumerate(program.calls):
        if call.structure:
            fields = ", ".join(f".{name} = {value}" for name, value in call.fields.items())
            values = fields.format(**_names(call, index))
            yield f"static const {call.structure} parameters_{index} = {{{values}}};"


def _statements(program: Program, plan: ArenaPlan) -> Iterator[str]:
    for index, call in enumerate(program.calls):
        addresses = {
            f"in{number}": f"arena + {plan.offsets[name]}"
            for number, name in enumerate(call.operation.inputs)
        }
        addresses["out"] = f"arena + {plan.offsets[call.operation.output]}"
        layer = call.operation.name.replace("*/", "* /")
        for line in call.statements:
            text = line.format(p=f"parameters_{index}", **addresses, **_names(call, index))
            yield f"{text} /* {layer} */"
