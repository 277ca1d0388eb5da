"""The paper's networks as its released code names them: tables, state dicts and a forward written out.

Nothing here uses netaug: names, shapes and wiring are written down from the facts of the released code
(mit-han-lab/tinyml, netaug/models/base), so that they check the mapping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


@dataclass(frozen=True)
class Block:
    """One block: hidden channels (0: depthwise-separable), kernel, stride, channels out, gate's hidden channels."""

    place: str
    hidden: int
    kernel: int
    stride: int
    out: int
    shortcut: bool = False
    act: str = "relu6"
    gate: int = 0


@dataclass(frozen=True)
class Net:
    """Stem channels, blocks, channels of the last conv (0: none), of the neck (0: none), and activation."""

    stem: int
    blocks: tuple[Block, ...]
    last: int
    neck: int = 0
    act: str = "relu6"


def _stages(
    stages: list[tuple[int, list[int], list[int], int]],
    acts: str = "66666",
    gates: dict[int, list[int]] | None = None,
) -> Iterator[Block]:
    """From (channels, hidden channels, kernels, stride of the first block) for each stage."""
    names = {"6": "relu6", "r": "relu", "h": "hswish"}
    for i, (out, hiddens, kernels, stride) in enumerate(stages):
        for j, (hidden, kernel) in enumerate(zip(hiddens, kernels, strict=True)):
            gate = (gates or {}).get(i, [0] * len(hiddens))[j]
            place = f"backbone.stages.{i}.op_list.{j}.conv"
            yield Block(place, hidden, kernel, stride if j == 0 else 1, out, j > 0, names[acts[i]], gate)


def _first(out: int, shortcut: bool = False, act: str = "relu6") -> Block:
    return Block("backbone.input_stem.op_list.1.conv", 0, 3, 1, out, shortcut, act)


def _mobilenetv2(last: int) -> Net:
    stages = [
        (8, [48, 48], [3, 3], 2),
        (16, [48, 96, 96], [3] * 3, 2),
        (24, [96, 144, 144, 144], [3] * 4, 2),
        (32, [144, 192, 192], [3] * 3, 1),
        (56, [192, 336, 336], [3] * 3, 2),
    ]
    return Net(16, (_first(8), *_stages(stages), Block("head.op_list.0.conv", 336, 3, 1, 112)), last)


NETS = {
    "mobilenetv2-0.35": _mobilenetv2(1280),
    "mobilenetv2-tiny": _mobilenetv2(448),
    "mcunet": Net(
        16,
        (
            _first(8),
            *_stages(
                [
                    (16, [24, 80, 80, 64], [7, 3, 7, 5], 2),
                    (24, [80, 120, 120], [5, 5, 5], 2),
                    (40, [120, 240, 160], [3, 7, 5], 2),
                    (48, [200, 240, 240], [5, 7, 3], 1),
                    (96, [288, 480, 384], [3, 7, 3], 2),
                ]
            ),
            Block("head.op_list.0.conv", 480, 7, 1, 160),
        ),
        0,
    ),
    "proxylessnas-0.35": Net(
        16,
        (
            _first(8),
            *_stages(
                [
                    (16, [24, 48], [5, 3], 2),
                    (16, [48, 48, 48, 48], [7, 3, 5, 5], 2),
                    (32, [96, 96, 96, 96], [7, 5, 5, 5], 2),
                    (32, [192, 96, 96, 96], [5, 5, 5, 5], 1),
                    (64, [192, 384, 192, 192], [7, 7, 7, 7], 2),
                ]
            ),
            Block("head.op_list.0.conv", 384, 7, 1, 112),
        ),
        1280,
    ),
    "mobilenetv3-0.35": Net(
        8,
        (
            _first(8, shortcut=True, act="relu"),
            *_stages(
                [
                    (8, [24, 24], [3, 3], 2),
                    (16, [24, 40, 40], [5, 5, 5], 2),
                    (32, [88, 72, 64, 64], [3] * 4, 2),
                    (40, [168, 232], [3, 3], 1),
                    (56, [232, 336, 336], [5] * 3, 2),
                ],
                acts="rrhhh",
                gates={1: [16, 16, 16], 3: [40, 56], 4: [56, 88, 88]},
            ),
        ),
        336,
        neck=1280,
        act="hswish",
    ),
}


def widened(net: Net, width: float, expand: float) -> Net:
    """The widest network of the released training: channels times ``width``, expand ratios times ``expand``."""

    def half_up(value: float) -> int:
        return int(value + 0.5)

    blocks, inputs, wide_inputs = [], net.stem, half_up(net.stem * width)
    for block in net.blocks:
        hidden = half_up(wide_inputs * (block.hidden / inputs + 1e-10) * expand)
        gate = max(round(hidden / (block.hidden / block.gate + 1e-10)), 16) if block.gate else 0
        wide = half_up(block.out * width)
        blocks.append(
            Block(block.place, hidden, block.kernel, block.stride, wide, block.shortcut, block.act, gate)
        )
        inputs, wide_inputs = block.out, wide
    return Net(
        half_up(net.stem * width),
        tuple(blocks),
        half_up(net.last * width),
        half_up(net.neck * width),
        net.act,
    )


def shapes(net: Net, classes: int) -> dict[str, tuple[int, ...]]:
    """Every key with its shape, in the order of the released code's ``state_dict``."""
    found: dict[str, tuple[int, ...]] = {}

    def unit(place: str, out: int, inputs: int, kernel: int = 1) -> None:
        found[f"{place}.conv.weight"] = (out, inputs, kernel, kernel)
        for name in ("weight", "bias", "running_mean", "running_var"):
            found[f"{place}.norm.{name}"] = (out,)
        found[f"{place}.norm.num_batches_tracked"] = ()

    unit("backbone.input_stem.op_list.0", net.stem, 3, 3)
    channels = net.stem
    for block in net.blocks:
        hidden = block.hidden or channels
        if block.hidden:
            unit(f"{block.place}.inverted_conv", hidden, channels)
        unit(f"{block.place}.depth_conv", hidden, 1, block.kernel)
        unit(f"{block.place}.point_conv", block.out, hidden)
        if block.gate:
            for name, (out, inputs) in {
                "reduce_conv": (block.gate, hidden),
                "expand_conv": (hidden, block.gate),
            }.items():
                found[f"{block.place}.se_layer.{name}.weight"] = (out, inputs, 1, 1)
                found[f"{block.place}.se_layer.{name}.bias"] = (out,)
        channels = block.out
    position = 1 if "head" in net.blocks[-1].place else 0
    if net.last:
        unit(f"head.op_list.{position}", net.last, channels)
        channels, position = net.last, position + 1
    position += 1  # the pool
    if net.neck:
        found[f"head.op_list.{position}.conv.weight"] = (net.neck, channels, 1, 1)
        found[f"head.op_list.{position}.conv.bias"] = (net.neck,)
        channels, position = net.neck, position + 1
    found[f"head.op_list.{position}.linear.weight"] = (classes, channels)
    found[f"head.op_list.{position}.linear.bias"] = (classes,)
    return found


def state_dict(net: Net, classes: int, seed: int = 0) -> State:
    """Random weights that keep the signal's size, by the released names."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(net, classes).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith(("running_var", "norm.weight")):
            state[name] = torch.rand(shape, generator=random) + 0.5
        elif len(shape) == 1:
            state[name] = 0.1 * torch.randn(shape, generator=random)
        else:
            fan_in = torch.Size(shape[1:]).numel()
            state[name] = torch.randn(shape, generator=random) * (2 / fan_in) ** 0.5
    return state


def forward(net: Net, state: State, x_NCHW: Tensor) -> Tensor:
    """Logits of the network, from functions alone; float64."""
    state = {name: tensor.double() for name, tensor in state.items()}
    acts = {"relu6": F.relu6, "relu": F.relu, "hswish": F.hardswish, "": lambda x: x}

    def unit(place: str, x: Tensor, act: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{place}.conv.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        norm = [state[f"{place}.norm.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return acts[act](F.batch_norm(x, *norm, eps=1e-5))

    def gate(place: str, x: Tensor) -> Tensor:
        squeezed = x.mean((2, 3), keepdim=True)
        for name, act in (("reduce_conv", F.relu), ("expand_conv", F.hardsigmoid)):
            squeezed = act(F.conv2d(squeezed, state[f"{place}.{name}.weight"], state[f"{place}.{name}.bias"]))
        return x * squeezed

    x = unit("backbone.input_stem.op_list.0", x_NCHW.double(), net.act, stride=2)
    for block in net.blocks:
        y = unit(f"{block.place}.inverted_conv", x, block.act) if block.hidden else x
        y = unit(f"{block.place}.depth_conv", y, block.act, block.stride, groups=y.shape[1])
        y = gate(f"{block.place}.se_layer", y) if block.gate else y
        y = unit(f"{block.place}.point_conv", y, "")
        x = x + y if block.shortcut else y
    position = 1 if "head" in net.blocks[-1].place else 0
    if net.last:
        x = unit(f"head.op_list.{position}", x, net.act)
        position += 1
    x = x.mean((2, 3))
    position += 1
    if net.neck:
        place = f"head.op_list.{position}.conv"
        x = F.hardswish(F.linear(x, state[f"{place}.weight"].flatten(1), state[f"{place}.bias"]))
        position += 1
    place = f"head.op_list.{position}.linear"
    return F.linear(x, state[f"{place}.weight"], state[f"{place}.bias"])
