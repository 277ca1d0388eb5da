"""Promises of a supernet to the bit, or in float64, on the device."""

from __future__ import annotations

import copy
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.gpu.cases import (
    gradients_of,
    images,
    labels,
    networks,
    require_same,
    state_of,
    supernet_of,
)
from benchmarks.gpu.parts import Figures, Setting, require
from netaug import AugmentConfig, Supernet, augment
from netaug.elastic import assembly
from netaug.train.optim import make_optimizer

_BATCH = 4


def base_pass(setting: Setting) -> Figures:
    """Check that the base pass is the plain model: outputs, gradients, statistics, before and after wide passes."""
    for name in networks(setting):
        network, supernet = supernet_of(setting, name)
        x, y = images(setting, _BATCH), labels(setting, _BATCH)
        for moment in ("before", "after"):
            outputs = []
            for module, owner in ((network, network), (supernet, supernet.base)):
                owner.zero_grad()
                outputs.append(module(x))
                F.cross_entropy(outputs[-1], y).backward()
            where = f"{name} {moment} wide passes:"
            require(torch.equal(*outputs), f"{where} outputs differ")
            require_same(gradients_of(network), gradients_of(supernet.base), f"{where} gradients")
            require_same(state_of(network), state_of(supernet.base), f"{where} weights and statistics")
            for step in range(3):  # weights stay: nothing updates them
                for pass_ in supernet.passes(step, 0.0):
                    if pass_.name == "augmented":
                        supernet(x).sum().backward()
        with supernet.at(supernet.plan.widest):  # else all of this could hold because nothing was widened
            require(not torch.allclose(supernet(x), outputs[0]), f"{name}: the widest network is the base")
    return {"networks": float(len(networks(setting)))}


def extraction(setting: Setting) -> Figures:
    """Check that an extracted network computes what the supernet does at its widths."""
    checked = 0
    for name in networks(setting):
        _, supernet = supernet_of(setting, name)
        x = images(setting, _BATCH)
        for widths in (supernet.sample(7), supernet.plan.widest):
            plain = supernet.extract(widths).train()
            with supernet.at(widths), torch.no_grad():
                expected, outputs = supernet(x), plain(x)
            most = (expected - outputs).abs().max().item()
            require(torch.equal(expected, outputs), f"{name}: outputs differ by up to {most:.3g}")
            checked += 1
    return {"widths": float(checked)}


def gathered_weights(setting: Setting) -> Figures:
    """Check that wide weights and gradients that the device gathers are those that the CPU copies block by block."""
    tensors = 0
    for name in networks(setting):
        for memory_format in (torch.contiguous_format, torch.channels_last):
            _, supernet = supernet_of(setting, name)
            supernet.to(memory_format=memory_format)
            on_host = copy.deepcopy(supernet).cpu()
            for widths in (supernet.sample(3), supernet.plan.widest):
                # 0 blocks: the CPU then gathers too, so that this part can be tested without a GPU.
                with patch.object(assembly, "MOST_BLOCKS", 0):
                    wide, gradients = _assembled(supernet, widths)
                expected, expected_gradients = _assembled(on_host, widths)
                require_same(_on_host(wide), expected, f"{name}: wide weights")
                require_same(_on_host(gradients), expected_gradients, f"{name}: gradients")
                tensors += len(wide)
    return {"tensors": float(tensors)}


def _assembled(supernet: Supernet, widths: dict[str, int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the wide weights, and the gradients of their sources for an upstream gradient of 0, 1, 2, ..."""
    supernet.zero_grad()
    with supernet.at(widths):
        wide = supernet.wide_tensors()
    counts = [torch.arange(tensor.numel(), dtype=tensor.dtype).view(tensor.shape) for tensor in wide.values()]
    upstream = [count.to(tensor.device) for count, tensor in zip(counts, wide.values(), strict=True)]
    torch.autograd.backward(list(wide.values()), upstream)
    return {name: tensor.detach() for name, tensor in wide.items()}, gradients_of(supernet)


def _on_host(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in tensors.items()}


class _TwoLayers(nn.Module):
    """A network that is short enough to be written out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[N, 5]``."""
        features: Tensor = F.relu(self.norm(self.first(x)))
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


def float64_gradients(setting: Setting) -> Figures:
    """Compare the gradients of a step in float64 with those of a network that is sliced by hand."""
    x, y = images(setting, _BATCH).double(), labels(setting, _BATCH)
    network = _TwoLayers().double()
    supernet = augment(network, x.cpu(), AugmentConfig(width=(1.0, 2.0), alpha=0.7)).to(setting.device)
    group = next(iter(supernet.widths))
    step = next(number for number in range(99) if supernet.sample(number)[group] == 12)
    for pass_ in supernet.passes(step, 0.0):
        (pass_.weight * F.cross_entropy(supernet(x), y)).backward()
    names = {"first.weight": 0, "first.bias": 0, "norm.weight": 0, "norm.bias": 0, "classifier.weight": 1}
    whole = {}
    for name, dim in names.items():
        added = supernet.added[_added_name(supernet, name, dim)]
        whole[name] = torch.cat([supernet.base.get_parameter(name), added], dim).detach().requires_grad_()
    bias = supernet.base.get_parameter("classifier.bias").detach().requires_grad_()

    def sliced(count: int) -> Tensor:
        features = F.conv2d(x, whole["first.weight"][:count], whole["first.bias"][:count], padding=1)
        scale, shift = whole["norm.weight"][:count], whole["norm.bias"][:count]
        features = F.relu(F.batch_norm(features, None, None, scale, shift, training=True))
        return F.linear(features.mean((2, 3)), whole["classifier.weight"][:, :count], bias)

    (F.cross_entropy(sliced(6), y) + 0.7 * F.cross_entropy(sliced(12), y)).backward()
    most = 0.0
    for name, dim in names.items():
        added = supernet.added[_added_name(supernet, name, dim)]
        parts = [supernet.base.get_parameter(name).grad, added.grad]
        found = torch.cat([part for part in parts if part is not None], dim)
        expected = whole[name].grad
        assert expected is not None
        require(bool(expected.any()), f"the gradient of {name} is zero")
        most = max(most, float((found - expected).abs().max()))
    require(most < 1e-10, f"gradients differ by up to {most:.3g}")
    return {"largest difference": most}


def _added_name(supernet: Supernet, name: str, dim: int) -> str:
    ending = f"{name.replace('.', '/')}[{dim}]"
    return next(key for key in supernet.added if key.replace(".", "/") == ending)


def sorting(setting: Setting) -> Figures:
    """Check in float64 that sorting changes neither what the widest network computes nor its next update."""
    _, supernet = supernet_of(setting, double=True)
    x, y = images(setting, _BATCH).double(), labels(setting, _BATCH)
    optimizer = make_optimizer(supernet.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    _update(supernet, optimizer, x, y)
    unsorted = copy.deepcopy(supernet)
    twin = make_optimizer(unsorted.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    orders = supernet.sort_channels(optimizer)
    moved = sum(int((order.cpu() != torch.arange(len(order))).sum()) for order in orders.values())
    require(moved > 0, "no channel was moved")
    most = _difference(supernet, unsorted, x)
    _update(supernet, optimizer, x, y)
    _update(unsorted, twin, x, y)
    most = max(most, _difference(supernet, unsorted, x))
    require(most < 1e-7, f"outputs differ by up to {most:.3g}")
    return {"moved channels": float(moved), "largest difference": most}


def _update(supernet: Supernet, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    with supernet.at(supernet.plan.widest):
        F.cross_entropy(supernet(x), y).backward()
    optimizer.step()


def _difference(first: Supernet, second: Supernet, x: Tensor) -> float:
    outputs = []
    for supernet in (first, second):
        with torch.no_grad(), supernet.at(supernet.plan.widest):
            outputs.append(supernet(x))
    return float((outputs[0] - outputs[1]).abs().max())
