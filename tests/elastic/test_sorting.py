"""Sorting permutes; it must not change what the widest network computes, nor its next update."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import timm.optim
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netaug
from netaug import AugmentConfig, Supernet, augment
from netaug.core.errors import ConfigError
from tests import tiny


def _timm(name: str, **settings: Any) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda p: timm.optim.create_optimizer_v2(list(p), opt=name, lr=0.01, **settings)


# Those that act on each element by itself. Lamb does so without decay: else it scales the update of a tensor by the
# norm of the tensor, which is another one when it holds other channels.
ELEMENTWISE = (
    *("adabelief", "adadelta", "adagrad", "adam", "adamax", "adamc", "adamw", "adamwlegacy", "adan", "adanw"),
    *("adopt", "adoptw", "laprop", "lion", "lionc", "madgrad", "madgradw", "momentum", "nadam", "nadamw"),
    *("nesterovw", "radabelief", "radam", "rmsproptf", "rmsproptfw", "sgd", "sgdw", "lamb", "lambc"),
)
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
    **{f"timm {name}": _timm(name) for name in ELEMENTWISE},
}


def _supernet(name: str = "inverted") -> tuple[Supernet, Tensor]:
    supernet, images = _traced(name)
    return copy.deepcopy(supernet), images


@cache
def _traced(name: str) -> tuple[Supernet, Tensor]:
    if name in tiny.NETWORKS:
        network, images = tiny.build(name).double(), tiny.images().double()
    else:
        torch.manual_seed(0)
        network, images = netaug.create_model(name, num_classes=5).double(), tiny.images(2, 64).double()
    return augment(network, images, AugmentConfig(expand=(1.0, 2.0))), images


def _step(
    supernet: Supernet, optimizer: torch.optim.Optimizer, images: Tensor, *, widest: bool = False
) -> None:
    optimizer.zero_grad()
    if widest:
        supernet.use_widest()
        F.cross_entropy(supernet(images), tiny.labels(len(images))).backward()
    else:
        for pass_ in supernet.passes(1, 0.0):
            (pass_.weight * F.cross_entropy(supernet(images), tiny.labels(len(images)))).backward()
    optimizer.step()


def _widest_output(supernet: Supernet, images: Tensor) -> Tensor:
    with torch.no_grad(), supernet.at(supernet.plan.widest):
        return supernet(images)


@pytest.mark.parametrize("name", ["inverted", "residual", "mobilenetv2-tiny", "mcunet", "mobilenetv3-0.1"])
def test_widest_network_computes_the_same(name: str) -> None:
    supernet, images = _supernet(name)
    expected = _widest_output(supernet, images)
    orders = supernet.sort_channels()
    assert any(not torch.equal(order, torch.arange(len(order))) for order in orders.values())
    torch.testing.assert_close(_widest_output(supernet, images), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_next_update_is_the_same(kind: str) -> None:
    """Train, sort, train: the widest network ends as without the sorting; momentum left behind would show."""
    supernet, images = _supernet()
    optimizer = OPTIMIZERS[kind](supernet.parameters())
    for _ in range(3):
        _step(supernet, optimizer, images)
    unsorted = copy.deepcopy(supernet)
    twin = OPTIMIZERS[kind](unsorted.parameters())
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    supernet.sort_channels(optimizer)
    for _ in range(2):
        _step(supernet, optimizer, images, widest=True)
        _step(unsorted, twin, images, widest=True)
    torch.testing.assert_close(
        _widest_output(supernet, images), _widest_output(unsorted, images), rtol=1e-9, atol=1e-9
    )


def test_momentum_left_behind_would_be_seen() -> None:
    """The check above can fail: sorting without the optimizer changes the next update."""
    supernet, images = _supernet()
    optimizer = OPTIMIZERS["nesterov"](supernet.parameters())
    for _ in range(3):
        _step(supernet, optimizer, images)
    unsorted = copy.deepcopy(supernet)
    twin = OPTIMIZERS["nesterov"](unsorted.parameters())
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    supernet.sort_channels()
    _step(supernet, optimizer, images, widest=True)
    _step(unsorted, twin, images, widest=True)
    assert not torch.allclose(_widest_output(supernet, images), _widest_output(unsorted, images), rtol=1e-9)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"sum": torch.zeros(2, 3)}, r"state 'sum' of shape \(2, 3\)"),
        ({"factors": [torch.zeros(7), torch.zeros(1)]}, r"state 'factors' of shape \(7,\)"),
        (
            {"other": torch.zeros(())},
            r"one part of '.*' has the states \['momentum_buffer'\], another has others",
        ),
    ],
    ids=["factored", "list", "kinds"],
)
def test_an_optimizer_that_cannot_follow_is_refused_before_anything_moves(
    state: dict[str, Any], message: str
) -> None:
    supernet, images = _supernet()
    optimizer = OPTIMIZERS["nesterov"](supernet.parameters())
    _step(supernet, optimizer, images)
    optimizer.state[supernet.added["project/0/weight[1]"]] = state  # of one of the last weights to be moved
    before = copy.deepcopy(supernet.state_dict())
    with pytest.raises(ConfigError, match=message):
        supernet.sort_channels(optimizer)
    assert all(torch.equal(tensor, before[key]) for key, tensor in supernet.state_dict().items())


def test_sorting_before_any_augmented_pass_completes_the_optimizer_state() -> None:
    """A part without momentum counts as one with zero momentum; the update still works and is the same."""
    supernet, images = _supernet()
    optimizer = OPTIMIZERS["adamw"](supernet.base.parameters())
    optimizer.add_param_group({"params": list(supernet.added.values())})
    F.cross_entropy(supernet(images), tiny.labels()).backward()
    optimizer.step()
    unsorted = copy.deepcopy(supernet)
    twin = OPTIMIZERS["adamw"](unsorted.base.parameters())
    twin.add_param_group({"params": list(unsorted.added.values())})
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    orders = supernet.sort_channels(optimizer)
    moved = {member.rpartition("[")[0] for name in orders for member in supernet.groups[name].members}
    for name, parameter in unsorted.base.named_parameters():
        for added_name, added in unsorted.added.items() if name in moved else ():
            if added_name.rpartition("[")[0] == name.replace(".", "/"):
                zeros = {key: torch.zeros_like(added) for key in ("exp_avg", "exp_avg_sq")}
                twin.state[added] = {"step": twin.state[parameter]["step"].clone(), **zeros}
    before = _widest_output(supernet, images)
    _step(supernet, optimizer, images, widest=True)
    _step(unsorted, twin, images, widest=True)
    after = _widest_output(supernet, images)
    assert not torch.allclose(after, before), "the update moves the widest network"
    torch.testing.assert_close(after, _widest_output(unsorted, images), rtol=1e-9, atol=1e-9)


def test_important_channels_come_first_in_the_base_network() -> None:
    supernet, _ = _supernet()
    reader = supernet.base.project[0].weight
    with torch.no_grad():
        supernet.added["project/0/weight[1]"].mul_(100)
    supernet.sort_channels()
    added = supernet.added["project/0/weight[1]"]
    norms = torch.cat([reader, added[: len(reader)]], 1).abs().sum(0)
    base_rows_only = reader.abs().sum(0)
    assert base_rows_only.min() > added.abs()[: len(reader)].sum(0).median()
    assert norms.isfinite().all()


@torch.no_grad()
def _sorted_by_hand(supernet: Supernet, *, gates: bool) -> nn.Module:
    """Sort the widest network as NetAug's released code does, tensor by tensor, and cut out the base network."""
    wide: Any = supernet.extract(supernet.plan.widest)
    hidden = wide.project[0].weight.abs().sum((0, 2, 3)).argsort(descending=True)
    inner = wide.excite.weight.abs().sum((0, 2, 3)).argsort(descending=True)
    for conv, norm in ((wide.expand[0], wide.expand[1]), (wide.depthwise[0], wide.depthwise[1])):
        for tensor in (conv.weight, norm.weight, norm.bias):
            tensor.copy_(tensor[hidden])
    for tensor in (wide.excite.weight, wide.excite.bias):
        tensor.copy_(tensor[hidden])
    wide.squeeze.weight.copy_(wide.squeeze.weight[:, hidden])
    wide.project[0].weight.copy_(wide.project[0].weight[:, hidden])
    if gates:
        for tensor in (wide.squeeze.weight, wide.squeeze.bias):
            tensor.copy_(tensor[inner])
        wide.excite.weight.copy_(wide.excite.weight[:, inner])
    down = wide.down[2].weight.abs().sum((0, 2, 3)).argsort(descending=True)
    for unit in (wide.down[0], wide.down[1]):
        for tensor in (unit[0].weight, unit[1].weight, unit[1].bias):
            tensor.copy_(tensor[down])
    wide.down[2].weight.copy_(wide.down[2].weight[:, down])
    base = copy.deepcopy(supernet.base)
    for name, parameter in base.named_parameters():
        parameter.copy_(wide.get_parameter(name)[tuple(map(slice, parameter.shape))])
    return base


def test_the_base_is_that_of_the_released_order_gates_included() -> None:
    """A block's channels by what its last layer reads of them, a gate's by what the gate's second layer reads."""
    supernet, images = _supernet()
    with torch.no_grad():
        supernet.added["excite/weight[1]"].mul_(3)  # else few channels of the gate would change places
    expected, blocks_alone = (_sorted_by_hand(supernet, gates=gates)(images) for gates in (True, False))
    orders = supernet.sort_channels()
    assert {supernet.groups[name].role for name in orders} == {"expand", "follow"}
    torch.testing.assert_close(supernet.base(images), expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(expected, blocks_alone, rtol=1e-3)


def test_gates_keep_their_order_where_they_are_not_to_be_sorted() -> None:
    images = tiny.images().double()
    config = AugmentConfig(expand=(1.0, 2.0), sort_gates=False)
    supernet = augment(tiny.build("inverted").double(), images, config)
    expected = _sorted_by_hand(supernet, gates=False)(images)
    assert {supernet.groups[name].role for name in supernet.sort_channels()} == {"expand"}
    torch.testing.assert_close(supernet.base(images), expected, rtol=1e-9, atol=1e-9)


def test_averaged_copies_are_sorted_along() -> None:
    supernet, images = _supernet()
    average = copy.deepcopy(supernet)
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.mul_(0.9)
    expected = _widest_output(average, images)
    supernet.sort_channels(averages=[average])
    torch.testing.assert_close(_widest_output(average, images), expected, rtol=1e-9, atol=1e-9)


def test_sorting_a_sorted_network_changes_nothing() -> None:
    supernet, _ = _supernet()
    supernet.sort_channels()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    supernet.sort_channels()
    for name, tensor in supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_an_average_of_the_base_alone_is_refused() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images())
    with pytest.raises(ConfigError, match="average the supernet"):
        supernet.sort_channels(averages=[supernet.base])  # type: ignore[list-item]
