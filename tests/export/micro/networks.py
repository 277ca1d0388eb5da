"""Random small int8 networks, with the values that the reference computes for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from netaug.export.micro import calls
from netaug.export.micro.calls import Activation, Scaling, Window
from netaug.export.micro.sources import Program
from tests.export.micro import reference


@dataclass
class RandomNetwork:
    """Grows operation by operation; ``values`` holds what each activation is for one random input."""

    rng: np.random.Generator
    activations: dict[str, Activation] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    calls: list[calls.Call] = field(default_factory=list)

    def new(self, shape_HWC, like: Activation | None = None) -> Activation:
        zero = like.zero_point if like else int(self.rng.integers(-128, 128))
        scale = like.scale if like else float(np.float32(self.rng.uniform(0.005, 0.1)))
        activation = Activation(f"t{len(self.activations)}", tuple(map(int, shape_HWC)), scale, zero)
        self.activations[activation.name] = activation
        return activation

    def start(self, shape_HWC) -> Activation:
        activation = self.new(shape_HWC)
        self.values[activation.name] = self.rng.integers(-128, 128, shape_HWC, np.int8)
        return activation

    def put(self, target: Activation, call: calls.Call, values: np.ndarray) -> Activation:
        self.calls.append(call)
        self.values[target.name] = values
        return target

    def bounds(self) -> tuple[int, int]:
        low = int(self.rng.choice([-128, -100, 3]))
        return low, int(self.rng.choice([127, max(low, 90)]))

    def scaling(self, real: float) -> Scaling:
        return reference.scaling_of(real * float(self.rng.uniform(0.5, 2)))

    def _window(self, source: Activation) -> tuple[Window, tuple[int, int]]:
        height, width, _ = source.shape_HWC
        kernel = int(self.rng.choice([size for size in (1, 2, 3, 5) if size <= min(height, width) + 1]))
        stride, padding = int(self.rng.integers(1, 3)), int(self.rng.integers(0, (kernel + 1) // 2))
        padding = max(padding, -(-(kernel - min(height, width)) // 2))
        bottom = int(self.rng.integers(0, padding + 1))  # less below than above, as symmetric padding has it
        rows, columns = ((side + padding + bottom - kernel) // stride + 1 for side in (height, width))
        return Window((kernel, kernel), (stride, stride), (padding, padding)), (max(rows, 1), max(columns, 1))

    def conv(self, source: Activation, *, depthwise: bool) -> Activation:
        window, side = self._window(source)
        channels_in = source.shape_HWC[2]
        channels = channels_in if depthwise else int(self.rng.integers(1, 9))
        target = self.new((*side, channels))
        shape = (*window.size_HW, channels) if depthwise else (channels, *window.size_HW, channels_in)
        parameters = {
            "weights": self.rng.integers(-127, 128, shape, np.int8),
            "bias": self.rng.integers(-2000, 2000, channels).astype(np.int32),
            "scalings": [self.scaling(0.004) for _ in range(channels)],
            "bounds": self.bounds(),
            "depthwise": depthwise,
        }
        values = reference.convolution(source, target, window, self.values[source.name], **parameters)
        return self.put(target, calls.convolution("conv", source, target, window, **parameters), values)

    def pool(self, source: Activation) -> Activation:
        window, side = self._window(source)
        target = self.new((*side, source.shape_HWC[2]), source)
        rest = (self.bounds(), str(self.rng.choice(["max", "avg"])))
        values = reference.pool(source, target, window, self.values[source.name], *rest)
        return self.put(target, calls.pool("pool", source, target, window, *rest), values)

    def _partner(self, source: Activation) -> Activation:
        same = [other for other in self.activations.values() if other.shape_HWC == source.shape_HWC]
        return same[int(self.rng.integers(len(same)))]

    def add(self, source: Activation) -> Activation:
        sources = (source, self._partner(source))
        target = self.new(source.shape_HWC)
        options = {
            "scalings": (self.scaling(0.5), self.scaling(0.5), self.scaling(2.0**-20)),
            "bounds": self.bounds(),
        }
        values = reference.addition(sources, target, [self.values[one.name] for one in sources], **options)
        return self.put(target, calls.addition("add", sources, target, **options), values)

    def mul(self, source: Activation) -> Activation:
        factor = self._partner(source) if self.rng.random() < 0.5 else self.mean(source)
        sources = (source, factor)
        target = self.new(source.shape_HWC)
        options = {"scaling": self.scaling(0.01), "bounds": self.bounds()}
        values = reference.product(sources, target, [self.values[one.name] for one in sources], **options)
        return self.put(target, calls.product("mul", sources, target, **options), values)

    def mean(self, source: Activation) -> Activation:
        target = self.new((1, 1, source.shape_HWC[2]))
        scaling = self.scaling(1 / (source.shape_HWC[0] * source.shape_HWC[1]))
        values = reference.mean(source, target, self.values[source.name], scaling)
        return self.put(target, calls.mean("mean", source, target, scaling), values)

    def lookup(self, source: Activation) -> Activation:
        table = self.rng.integers(-128, 128, 256, np.int8)
        target = self.new(source.shape_HWC)
        values = table[self.values[source.name].astype(int) + 128]
        return self.put(target, calls.lookup("lookup", source, target, table), values)

    def resize(self, source: Activation) -> Activation:
        factor = int(self.rng.integers(1, 4))
        height, width, channels = source.shape_HWC
        target = self.new((height * factor, width * factor, channels), source)
        values = self.values[source.name].repeat(factor, 0).repeat(factor, 1)
        return self.put(target, calls.resize("resize", source, target, factor), values)

    def concat(self, source: Activation) -> Activation:
        same = [one for one in self.activations.values() if one.shape_HWC[:2] == source.shape_HWC[:2]]
        sources = [source, same[int(self.rng.integers(len(same)))]]
        target = self.new((*source.shape_HWC[:2], sum(one.shape_HWC[2] for one in sources)))
        values = np.concatenate([self.values[one.name] for one in sources], 2)
        return self.put(target, calls.concatenation("concat", sources, target), values)


KINDS = ("conv", "depthwise", "pool", "add", "mul", "mean", "lookup", "resize", "concat")


def random_network(seed: int, kinds: list[str]) -> tuple[Program, np.ndarray, np.ndarray]:
    """Return a network of these kinds of operation, one input ``[1, H, W, C]`` and what it answers, ``[1, K]``."""
    rng = np.random.default_rng(seed)
    network = RandomNetwork(rng)
    first = source = network.start(rng.integers(1, 10, 3))
    for kind in kinds:
        if kind == "resize" and source.size > 2000:
            continue
        if kind in ("conv", "depthwise"):
            source = network.conv(source, depthwise=kind == "depthwise")
        else:
            source = getattr(network, kind)(source)
    used = {name for call in network.calls for name in call.operation.inputs}
    outputs = tuple(name for name in network.activations if name not in used and name != first.name)
    program = Program(
        f"random network {seed}",
        network.activations,
        tuple(network.calls),
        first.name,
        outputs or (first.name,),
    )
    answer = np.concatenate([network.values[name].ravel() for name in program.outputs])
    return program, network.values[first.name][None], answer[None]
