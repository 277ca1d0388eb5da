"""The promises of a supernet, on random networks: whatever is in them, and however much of it widens."""

from __future__ import annotations

import os
import random

import pytest
import torch
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from netaug import AugmentConfig, Supernet
from netaug.elastic.build import plan_supernet
from tests.elastic.blocks import RIGID, WIDENING
from tests.elastic.random_nets import HEADS, Network, Program, inputs

CONFIG = AugmentConfig(width=(1.0, 1.5, 2.0), expand=(1.0, 1.5, 2.0))
ACROSS_CHANNELS = {
    *("layer_norm", "norm_by_hand", "group_norm", "one_group_norm", "convnext", "pooled_gate", "softmax"),
    *("unit_length", "best_channels", "running_sum", "tokens"),
}
"""What these compute of a channel depends on how many others there are."""

few = settings(
    max_examples=int(os.environ.get("NETAUG_EXAMPLES", "12")),
    deadline=None,
    derandomize="NETAUG_EXAMPLES" not in os.environ,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking would trace hundreds of networks
    suppress_health_check=[HealthCheck.too_slow],
)

programs = st.builds(
    Program,
    dims=st.sampled_from((2, 2, 1)),
    width=st.sampled_from((6, 4, 5)),
    blocks=st.lists(
        st.tuples(st.sampled_from([*WIDENING, *RIGID]), st.integers(0, 3)), min_size=1, max_size=4
    ).map(tuple),
    link=st.sampled_from(("none", "add", "cat")),
    head=st.sampled_from(list(HEADS)),
)


def _augmented(program: Program) -> tuple[Network, Supernet]:
    network = Network(program)
    return network, plan_supernet(network, inputs(program), CONFIG)


def _any_widths(supernet: Supernet, seed: int) -> dict[str, int]:
    """Any widths from base to widest, drawn ones or not, but not all of them base: that is the base network."""
    draw = random.Random(seed)
    base, most = supernet.plan.base_widths, supernet.plan.widest
    widths = {name: draw.randint(base[name], most[name]) for name in base}
    return most if widths == base else widths


def _wider(supernet: Supernet, seed: int) -> list[dict[str, int]]:
    return [supernet.plan.widest, supernet.sample(seed), _any_widths(supernet, seed)]


def _run(network: nn.Module, images: Tensor) -> Tensor:
    """A forward with the same dropout each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return network(images)


def _backward(network: nn.Module, images: Tensor) -> Tensor:
    network.zero_grad()
    outputs = _run(network, images)
    (outputs * torch.linspace(-1, 1, outputs.numel()).view_as(outputs).to(outputs)).sum().backward()
    return outputs


def _assert_same(first: dict[str, Tensor | None], second: dict[str, Tensor | None]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        other = second[name]
        assert (tensor is None) == (other is None), name
        assert tensor is None or torch.equal(tensor, other), name


def _gradients(network: nn.Module) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in network.named_parameters()}


@few
@given(programs, st.integers(0, 999))
def test_base_pass_is_the_network_we_were_given(program: Program, seed: int) -> None:
    """Outputs, gradients and running statistics to the bit, after augmented passes with frozen weights."""
    network, supernet = _augmented(program)
    images = inputs(program, seed)
    for widths in _wider(supernet, seed):
        if widths != supernet.plan.base_widths:
            with supernet.at(widths):
                supernet(images).sum().backward()
    for twin in (network.train(), network.eval()):
        supernet.train(twin.training)
        assert torch.equal(_backward(supernet, images), _backward(twin, images))
        _assert_same(_gradients(supernet.base), _gradients(twin))
        _assert_same(dict(supernet.base.state_dict()), dict(twin.state_dict()))


@few
@given(programs, st.integers(0, 999))
def test_extracted_networks_are_the_supernet_at_their_widths(program: Program, seed: int) -> None:
    """To the bit, at base, widest, drawn and any other widths; parameters and buffers are the extracted one's own."""
    network, supernet = _augmented(program)
    images = inputs(program, seed)
    assert torch.equal(supernet.eval().extract()(images), supernet(images))
    assert list(supernet.extract().state_dict()) == list(network.state_dict())
    for widths in _wider(supernet, seed):
        plain = supernet.extract(widths).train()
        with supernet.train().at(widths):
            assert torch.equal(_run(plain, images), _run(supernet, images))
        assert sum(p.numel() for p in plain.parameters()) == supernet.num_parameters(widths)


def _read_by(supernet: Supernet, name: str) -> Tensor:
    """For every element of the present wide tensor, which stored element it is: base ones first, then added ones."""
    stored = {"": supernet.base.get_parameter(name)}
    stored |= {
        key: p for key, p in supernet.added.items() if key.rpartition("[")[0] == name.replace(".", "/")
    }
    before = [parameter.detach().clone() for parameter in stored.values()]
    start = 0
    with torch.no_grad():
        for parameter in stored.values():
            parameter.copy_(torch.arange(start, start + parameter.numel()).view(parameter.shape))
            start += parameter.numel()
        read = supernet.wide_tensor(name).detach().clone().long()
        for parameter, value in zip(stored.values(), before, strict=True):
            parameter.copy_(value)
    return read


@few
@given(programs, st.integers(0, 999))
def test_gradients_are_those_of_an_independent_wide_network(program: Program, seed: int) -> None:
    """Each stored element gets the gradient that the extracted network's own element gets; unread ones get zero."""
    _, supernet = _augmented(program)
    supernet.double().train()
    images = inputs(program, seed).double()
    widths = _any_widths(supernet, seed)
    if widths == supernet.plan.base_widths:
        return
    twin = supernet.extract(widths).train()
    _backward(twin, images)
    with supernet.at(widths):
        _backward(supernet, images)
        for name, parameter in supernet.base.named_parameters():
            read, expected = _read_by(supernet, name).flatten(), twin.get_parameter(name).grad
            assert len(read.unique()) == len(read), f"{name} reads an element twice"
            assert set(range(parameter.numel())) <= set(read.tolist()), f"{name} leaves out base elements"
            own = [p for key, p in supernet.added.items() if key.rpartition("[")[0] == name.replace(".", "/")]
            if parameter.grad is None:
                assert expected is None or not expected.any(), name
                continue
            found = torch.cat([p.grad.flatten() for p in (parameter, *own)])
            whole = torch.zeros_like(found)
            if expected is not None:
                whole[read] = expected.flatten()
            torch.testing.assert_close(found, whole, rtol=1e-8, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


@few
@given(programs, st.integers(0, 999))
def test_added_channels_that_are_zero_change_nothing(program: Program, seed: int) -> None:
    """Base channels stay where they belong: through slices, splits, views, shuffles and flattened positions."""
    if ACROSS_CHANNELS & {program.head, *(name for name, _ in program.blocks)}:
        return
    network, supernet = _augmented(program)
    images = inputs(program, seed).double()
    supernet.double().train()
    network.double().train()
    for module in (*supernet.modules(), *network.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        for parameter in supernet.added.values():
            parameter.zero_()
    wanted = network(images)
    drawn = [supernet.sample(seed + number) for number in range(3)]
    for widths in (supernet.plan.widest, *drawn):
        if widths == supernet.plan.base_widths:
            continue  # a base pass: it moves what modules keep by themselves
        with supernet.at(widths):
            torch.testing.assert_close(supernet(images), wanted, rtol=1e-6, atol=1e-8)


@few
@given(programs, st.integers(0, 999))
def test_sorting_leaves_the_widest_network_as_it_is(program: Program, seed: int) -> None:
    _, supernet = _augmented(program)
    images = inputs(program, seed).double()
    supernet.double().train().use_widest()
    before = _run(supernet, images)
    orders = supernet.sort_channels()
    event(f"sorted {min(len(orders), 2)} groups")
    torch.testing.assert_close(_run(supernet, images), before, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("block", [*WIDENING, *RIGID])
def test_every_block_widens_as_far_as_it_can(block: str, dims: int) -> None:
    """A block fixes its own channels at most, with a reason, and only if what it computes is bound to them."""
    program = Program(dims, 6, (("plain", 1), (block, 1), ("plain", 2)))
    supernet = plan_supernet(Network(program), inputs(program), CONFIG)
    groups = supernet.groups.values()
    fixed = {
        group.name: group.reason for group in groups if group.role == "frozen" and "head" not in group.name
    }
    assert all(fixed.values())
    if block in WIDENING:
        assert not fixed
        assert all(group.most > group.base for group in groups if group.role != "frozen")
    assert {group.name for group in groups if group.most > group.base} >= {"last.0"}
    supernet.use_widest()
    supernet(inputs(program))
