"""Modules see other tensors and sizes for one forward; nothing stays behind, whatever happens in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug import AugmentConfig, Supernet, augment
from netaug.elastic.norm_statistics import without_statistics
from netaug.elastic.overlay import (
    ModuleAttribute,
    Override,
    kept_state,
    overlaid,
    size_overrides,
)
from netaug.elastic.wide_weights import WideWeights
from tests import tiny

CONFIG = AugmentConfig(width=(1.0, 1.5), expand=(1.0, 2.0))


def attributes(network: nn.Module) -> list[tuple[str, dict[str, Any]]]:
    """Every attribute, parameter and buffer of every module."""
    found = []
    for name, module in network.named_modules():
        held = {**vars(module)}
        tensors = {
            f"{kind}.{key}": one for kind in ("_parameters", "_buffers") for key, one in held[kind].items()
        }
        found.append((name, {**held, **tensors}))
    return found


def assert_same(before: list[tuple[str, dict[str, Any]]], network: nn.Module) -> None:
    """The very same objects are there, and no others."""
    for (name, held), (_, now) in zip(before, attributes(network), strict=True):
        assert held.keys() == now.keys(), name
        assert [key for key in held if held[key] is not now[key]] == [], name


@pytest.mark.parametrize("fails", [False, True])
def test_values_are_shown_inside_and_every_attribute_is_back_afterwards(fails: bool) -> None:
    """A parameter, a number, an attribute that was not there, and one place that is overlaid twice."""
    conv = nn.Conv2d(2, 4, 1)
    before = attributes(conv)
    weight = torch.ones(6, 2, 1, 1)
    shown = {"weight": weight, "bias": None, "groups": 2, "fresh": "x"}
    settings = [Override(ModuleAttribute(conv, name), value) for name, value in shown.items()]
    settings = [
        Override(ModuleAttribute(conv, "groups"), 7),
        Override(ModuleAttribute(conv, "fresh"), 7),
        *settings,
    ]
    with pytest.raises(ValueError, match="on purpose") if fails else nullcontext(), overlaid(settings):
        assert {name: getattr(conv, name) for name in shown} == shown
        assert dict(conv.named_parameters()).keys() == {"weight", "bias"}, "nothing is registered"
        if fails:
            raise ValueError("on purpose")
    assert_same(before, conv)


def test_settings_that_cannot_be_made_leave_nothing_behind() -> None:
    conv = nn.Conv2d(2, 4, 1)
    before = attributes(conv)

    def made() -> Iterator[Override]:
        yield Override(ModuleAttribute(conv, "weight"), torch.ones(1))
        raise MemoryError("on purpose")

    with pytest.raises(MemoryError, match="on purpose"), overlaid(made()):
        pytest.fail("the block does not begin")
    assert_same(before, conv)


@pytest.mark.parametrize("name", ["inverted", "grouped", "counting"])
def test_a_wide_forward_that_raises_leaves_the_network_as_it_was(name: str) -> None:
    supernet = augment(tiny.build(name), tiny.images(), CONFIG)
    before = attributes(supernet.base)
    state = {key: tensor.clone() for key, tensor in supernet.base.state_dict().items()}
    supernet.use_widest()
    shapes = []

    def fail(module: nn.Linear, inputs: tuple[Tensor, ...]) -> None:
        shapes.append(module.weight.shape[1])
        raise ValueError("on purpose")

    classifier = supernet.base.get_submodule("classifier")
    hook = classifier.register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match="on purpose"):
        supernet(tiny.images())
    hook.remove()
    assert shapes[0] > classifier.in_features == classifier.weight.shape[1], "it was wide when it failed"
    assert_same(before, supernet.base)
    assert all(torch.equal(tensor, state[key]) for key, tensor in supernet.base.state_dict().items())


def test_a_wide_tensor_is_bound_to_every_place_and_has_the_shape_of_the_widths() -> None:
    """Of a tied weight too; its value is the corner of base and added, and gradients reach both."""
    network = tiny.build("shared").double()
    network.once_more = network.again  # the same module under two names
    supernet = augment(network, tiny.images().double(), CONFIG)
    plan, base = supernet.plan, supernet.base
    weights = WideWeights(base, plan, supernet.added)
    assert {"stem.0.weight", "again.weight", "again.bias", "classifier.weight"} <= weights.tensors.keys()
    tensor = weights.tensors["again.weight"]
    assert all(getattr(*owner) is base.again.weight for owner in tensor.owners)
    value = weights.values(weights.assembly({**plan.base_widths, "stem.0": 11}))["again.weight"]
    rows, columns = supernet.added["again/weight[0]"], supernet.added["again/weight[1]"]
    assert torch.equal(value[:8, :8], base.again.weight)
    assert torch.equal(value[:8, 8:], columns[:, :3])
    assert torch.equal(value[8:], rows[:3, :11])
    gradients = torch.autograd.grad(value.sum(), [base.again.weight, rows, columns])
    assert [int(gradient.sum()) for gradient in gradients] == [8 * 8 * 9, 3 * 11 * 9, 8 * 3 * 9]


def test_sizes_follow_the_widths() -> None:
    """A depthwise layer has as many groups as channels, at every width."""
    supernet: Supernet = augment(tiny.build("inverted"), tiny.images(), CONFIG)
    depthwise = [supernet.base.depthwise[0], supernet.base.down[1][0]]
    for hidden in (24, 31, supernet.plan.widest["expand.0"]):
        widths = {**supernet.plan.base_widths, "expand.0": hidden}
        settings = size_overrides(supernet.base, supernet.plan, widths)
        with overlaid(settings):
            assert [layer.groups for layer in depthwise] == [hidden, 16]
    assert [layer.groups for layer in depthwise] == [24, 16]


@pytest.mark.parametrize("training", [True, False])
def test_a_norm_without_statistics_takes_those_of_the_batch_and_keeps_its_own(training: bool) -> None:
    norm = nn.BatchNorm2d(6).double().train(training)
    nn.init.uniform_(norm.running_mean, 5.0, 6.0)
    kept = {key: tensor.clone() for key, tensor in norm.state_dict().items()}
    images = torch.randn(4, 6, 3, 3, dtype=torch.float64)
    variance, mean = torch.var_mean(images, (0, 2, 3), correction=0, keepdim=True)
    with overlaid(without_statistics(norm)):
        found = norm(images)
    torch.testing.assert_close(found, (images - mean) / (variance + norm.eps).sqrt())
    assert all(torch.equal(tensor, kept[key]) for key, tensor in norm.state_dict().items())
    assert norm.track_running_stats


@pytest.mark.parametrize("fails", [False, True])
def test_buffers_are_worked_on_in_copies_and_running_statistics_are_shared(fails: bool) -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Identity())
    network[1].register_buffer("seen", torch.zeros(()))
    network[1].loose = torch.zeros(())
    seen, loose, mean = network[1].seen, network[1].loose, network[0].running_mean
    with (
        pytest.raises(ValueError, match="on purpose") if fails else nullcontext(),
        kept_state(network, ("0",)),
    ):
        network[1].seen += 1
        network[1].loose.add_(1)
        network[1].last = "what the caller wants to read"
        F.batch_norm(torch.ones(2, 3), network[0].running_mean, network[0].running_var, training=True)
        assert float(network[1].seen + network[1].loose) == 2.0
        if fails:
            raise ValueError("on purpose")
    assert network[1].seen is seen
    assert network[1].loose is loose
    assert float(seen + loose) == 0.0
    assert network[0].running_mean is mean
    assert float(mean.min()) > 0.0
    assert network[1].last == "what the caller wants to read"
