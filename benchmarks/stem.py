"""Count what a step would save if both passes shared what they compute alike: the stem. No timing.

    python -m benchmarks.stem

Base and augmented pass compute the same on the base channels until a dense layer mixes them with added ones: in the
first phase the stem's convolution and the depthwise one behind it, in the second (hidden channels only) all that comes
before the first block with hidden channels. A step is the base pass and the mean of 200 drawn networks, forward.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from netaug import AugmentConfig, Supernet, augment, create_model
from netaug.elastic.plan import Layer

CASES = {
    "mobilenetv2-tiny": (144, (1.0, 1.8, 2.6)),
    "mcunet": (176, (1.0, 1.6, 2.2)),
    "mobilenetv3-0.35": (160, (1.0, 2.0, 3.0)),
    "proxylessnas-0.35": (160, (1.0, 1.8, 2.6)),
    "mobilenetv2-0.35": (160, (1.0, 1.8, 2.6)),
}
"""Input size and width multipliers of the paper's networks."""
DRAWS = 200


def shared_layers(layers: Iterable[Layer], widening: set[str]) -> list[Layer]:
    """Return the first layers whose base channels are the same in both passes.

    Args:
        layers: In order.
        widening: Groups that are drawn.
    """
    shared = []
    for layer in layers:
        if not layer.depthwise and set(layer.source) & widening:
            break
        shared.append(layer)
    return shared


def saved(supernet: Supernet, progress: float) -> float:
    """Return the fraction of a step's forward multiply-accumulates that would be computed once instead of twice."""
    drawn = [supernet.sample(step, progress) for step in range(DRAWS)]
    base = supernet.plan.base_widths
    widening = {name for widths in drawn for name in widths if widths[name] > base[name]}
    layers = shared_layers(supernet.plan.layers, widening)
    alike = sum(layer.positions * supernet.base.get_parameter(layer.weight).numel() for layer in layers)
    mean = sum(supernet.macs(widths) for widths in drawn) / DRAWS
    return alike / (supernet.macs({}) + mean)


def main() -> None:
    """Print a line a network."""
    print("| network | first phase | second phase |\n|---|---|---|")
    for name, (size, width) in CASES.items():
        network = create_model(name, num_classes=1000)
        supernet = augment(network, torch.zeros(2, 3, size, size), AugmentConfig(width=width))
        print(f"| {name} | {100 * saved(supernet, 0.0):.1f} % | {100 * saved(supernet, 0.9):.1f} % |")


if __name__ == "__main__":
    main()
