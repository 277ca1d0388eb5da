"""The promises of a supernet: exact base, exact extraction, gradients that add, state that stays."""

from __future__ import annotations

import copy
import functools

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netaug
from netaug import AugmentConfig, Supernet, augment
from netaug.core.errors import ConfigError, ShapeError
from tests import tiny

FULL_SIZE = ["mcunet", "mobilenetv2-0.35", "mobilenetv2-tiny", "timm:mobilenetv3_small_050", "timm:resnet18"]
CONFIG = AugmentConfig(width=(1.0, 1.5, 2.0), expand=(1.0, 1.5, 2.0))


def _network(name: str) -> tuple[nn.Module, Tensor]:
    if name in tiny.NETWORKS:
        return tiny.build(name), tiny.images()
    torch.manual_seed(0)
    network = timm.create_model(name[5:], num_classes=5) if name.startswith("timm:") else None
    return network or netaug.create_model(name, num_classes=5), tiny.images(2, 64)


@functools.cache
def _augmented(name: str) -> tuple[nn.Module, Supernet, Tensor]:
    network, images = _network(name)
    return network, augment(network, images, CONFIG), images


@pytest.fixture(params=[*tiny.NETWORKS, *FULL_SIZE])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, Supernet, Tensor]:
    return copy.deepcopy(_augmented(request.param))


def _loss_and_gradients(
    network: nn.Module, images: Tensor, named: nn.Module
) -> tuple[Tensor, dict[str, Tensor]]:
    named.zero_grad()
    outputs = network(images)
    F.cross_entropy(outputs, tiny.labels(len(images))).backward()
    return outputs, {name: p.grad.clone() for name, p in named.named_parameters() if p.grad is not None}


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_base_pass_is_the_network_we_were_given(pair: tuple[nn.Module, Supernet, Tensor]) -> None:
    """Outputs, gradients and running statistics, to the bit, also after augmented passes with frozen weights."""
    network, supernet, images = pair
    _assert_same(_state(supernet.base), _state(network))
    for step in range(3):
        for pass_ in supernet.passes(step, 0.0):
            if pass_.name == "augmented" and not isinstance(network, tiny.Counting):
                supernet(images).sum().backward()
    expected, expected_gradients = _loss_and_gradients(network, images, network)
    outputs, gradients = _loss_and_gradients(supernet, images, supernet.base)
    assert torch.equal(outputs, expected)
    _assert_same(gradients, expected_gradients)
    _assert_same(_state(supernet.base), _state(network))
    supernet.use_widest()  # else all of this could hold because nothing was widened
    assert not torch.allclose(supernet(images), expected)


def test_augment_leaves_the_model_untouched() -> None:
    network = tiny.build("inverted")
    before, mode = _state(network), network.training
    supernet = augment(network, tiny.images(), CONFIG)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(1.0)
    _assert_same(_state(network), before)
    assert network.training == mode


def test_extract_is_the_base_network(pair: tuple[nn.Module, Supernet, Tensor]) -> None:
    network, supernet, images = pair
    supernet.eval()
    plain = supernet.extract()
    assert type(plain) is type(network)
    assert list(plain.state_dict()) == list(network.state_dict())
    assert torch.equal(plain(images), supernet(images))
    owned = {p.data_ptr() for p in supernet.parameters()}
    assert not owned & {p.data_ptr() for p in plain.parameters()}


def test_extract_at_widths_is_the_supernet_at_those_widths(pair: tuple[nn.Module, Supernet, Tensor]) -> None:
    """Batch statistics, no running ones: a wider network has none of its own."""
    _, supernet, images = pair
    for widths in (supernet.sample(7), supernet.plan.widest):
        plain = supernet.extract(widths).train()
        supernet.train()
        with supernet.at(widths), torch.random.fork_rng():
            torch.manual_seed(0)
            expected = supernet(images)
        torch.manual_seed(0)
        assert torch.equal(plain(images), expected)
        assert sum(p.numel() for p in plain.parameters()) == supernet.num_parameters(widths)


def test_wide_pass_leaves_no_trace(pair: tuple[nn.Module, Supernet, Tensor]) -> None:
    """No buffer changes, no attribute stays behind, also when the forward fails."""
    _, supernet, images = pair
    counters = {"base.seen"}  # the network's own count of its forwards goes on, as it should
    before = _state(supernet)
    attributes = {name: set(vars(module)) for name, module in supernet.base.named_modules()}
    with supernet.at(supernet.plan.widest):
        supernet(images)
        with pytest.raises(RuntimeError):
            supernet(images[:, :2])
    after = _state(supernet)
    assert after.keys() == before.keys()
    _assert_same(
        *({name: t for name, t in state.items() if name not in counters} for state in (before, after))
    )
    assert {name: set(vars(module)) for name, module in supernet.base.named_modules()} == attributes


def test_wide_pass_does_not_touch_running_statistics_in_evaluation_mode_either() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), CONFIG).eval()
    with supernet.at(supernet.plan.widest):
        wide = supernet(tiny.images())
        assert torch.equal(wide, supernet.train()(tiny.images()))


def test_gradients_of_a_step_are_those_of_hand_sliced_networks() -> None:
    """Base plus alpha times wide, against a network written out with sliced functional calls, float64."""
    network = tiny.Plain().double()
    images, labels = tiny.images().double(), tiny.labels()
    supernet = augment(network, images, AugmentConfig(width=(1.0, 2.0), alpha=0.7, keep=("second",)))
    assert supernet.groups["second"].role == "frozen"
    step = next(s for s in range(99) if supernet.sample(s)["first.0"] == 12)
    for pass_ in supernet.passes(step, 0.0):
        x, y = pass_.take(images, labels)
        (pass_.weight * F.cross_entropy(supernet(x), y)).backward()

    wide = {
        "first.weight": torch.cat([network.first[0].weight, supernet.added["first/0/weight[0]"]]),
        "norm.weight": torch.cat([network.first[1].weight, supernet.added["first/1/weight[0]"]]),
        "norm.bias": torch.cat([network.first[1].bias, supernet.added["first/1/bias[0]"]]),
        "second.weight": torch.cat([network.second.weight, supernet.added["second/weight[1]"]], 1),
    }
    wide = {name: tensor.detach().requires_grad_() for name, tensor in wide.items()}
    rest = [
        t.detach().clone().requires_grad_() for t in (network.second.bias, *network.classifier.parameters())
    ]

    def sliced(channels: int) -> Tensor:
        x = F.conv2d(images, wide["first.weight"][:channels], padding=1)
        x = F.batch_norm(
            x, None, None, wide["norm.weight"][:channels], wide["norm.bias"][:channels], training=True
        )
        x = F.conv2d(F.relu6(x), wide["second.weight"][:, :channels], rest[0], stride=2, padding=1)
        return F.linear(F.relu(x).mean((2, 3)), rest[1], rest[2])

    (F.cross_entropy(sliced(6), labels) + 0.7 * F.cross_entropy(sliced(12), labels)).backward()
    expected = {name: tensor.grad for name, tensor in wide.items()}
    base = supernet.base
    torch.testing.assert_close(
        base.first[0].weight.grad, expected["first.weight"][:6], rtol=1e-10, atol=1e-12
    )
    torch.testing.assert_close(base.first[1].bias.grad, expected["norm.bias"][:6], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        base.second.weight.grad, expected["second.weight"][:, :6], rtol=1e-10, atol=1e-12
    )
    added = supernet.added
    torch.testing.assert_close(
        added["first/0/weight[0]"].grad, expected["first.weight"][6:], rtol=1e-10, atol=1e-12
    )
    torch.testing.assert_close(
        added["second/weight[1]"].grad, expected["second.weight"][:, 6:], rtol=1e-10, atol=1e-12
    )
    torch.testing.assert_close(base.classifier.weight.grad, rest[1].grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [*tiny.NETWORKS, "mobilenetv2-tiny", "timm:mobilenetv3_small_050"])
def test_gradients_are_the_sum_of_two_independent_networks(name: str) -> None:
    """Reference: the caller's network and a plain extracted wide one, each with its own autograd, float64."""
    network, images = _network(name)
    network, images = network.double(), images.double()
    supernet = augment(network, images, CONFIG)
    widths = supernet.sample(3)
    wide = supernet.extract(widths).train()
    for pass_ in supernet.passes(3, 0.0):
        torch.manual_seed(0)
        (pass_.weight * F.cross_entropy(supernet(images), tiny.labels(len(images)))).backward()
    for plain in (network, wide):
        torch.manual_seed(0)
        F.cross_entropy(plain(images), tiny.labels(len(images))).backward()
    for parameter in supernet.added.values():
        assert parameter.grad is not None
    for parameter_name, parameter in network.named_parameters():
        with supernet.at(widths):
            value = supernet.wide_tensor(parameter_name)
        chosen = supernet.base.get_parameter(parameter_name)
        share = torch.autograd.grad((value * wide.get_parameter(parameter_name).grad).sum(), chosen)[0]
        torch.testing.assert_close(chosen.grad, parameter.grad + share, rtol=1e-8, atol=1e-9)


def test_every_added_parameter_takes_part_in_every_augmented_pass() -> None:
    """A channel that is not drawn gets a zero gradient, not none: optimizers treat all alike."""
    supernet = augment(tiny.build("inverted"), tiny.images(), CONFIG)
    name = next(iter(supernet.plan.widest))
    supernet.use({name: supernet.plan.widest[name]})
    supernet(tiny.images()).sum().backward()
    assert all(parameter.grad is not None for parameter in supernet.added.values())
    assert any(not parameter.grad.any() for parameter in supernet.added.values())


def test_passes_set_and_restore_widths() -> None:
    supernet = augment(
        tiny.build("inverted"), tiny.images(), AugmentConfig(width_until=0.5, expand_until=0.8)
    )
    base = supernet.widths
    assert [(p.name, p.last) for p in supernet.passes(0, 0.0)] == [("base", False), ("augmented", True)]
    assert supernet.widths == base
    roles = {name: group.role for name, group in supernet.groups.items()}
    late = [supernet.sample(step, 0.6) for step in range(20)]
    assert all(w[name] == base[name] for w in late for name in w if roles[name] == "width")
    assert any(w[name] > base[name] for w in late for name in w if roles[name] == "expand")
    assert [(p.name, p.last) for p in supernet.passes(0, 0.9)] == [("base", True)]
    passes = supernet.passes(1, 0.0)
    next(passes), next(passes)
    passes.close()
    assert supernet.widths == base


def test_draws_are_a_function_of_seed_and_step() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), CONFIG)
    again = augment(tiny.build("inverted"), tiny.images(), CONFIG)
    draws = [supernet.sample(step) for step in range(30)]
    assert draws == [again.sample(step) for step in range(30)]
    assert len({tuple(draw.values()) for draw in draws}) > 5
    other = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(seed=1))
    assert draws != [other.sample(step) for step in range(30)]
    _assert_same(_state(supernet), _state(again))


def test_expand_follows_the_actual_input_width_and_gates_follow_their_input() -> None:
    supernet = augment(
        tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0), expand=(1.0, 1.5))
    )
    roles = {name: group.role for name, group in supernet.groups.items()}
    assert roles == {
        "classifier": "frozen",
        "stem.0": "width",
        "down.2": "width",
        "expand.0": "expand",
        "down.0.0": "expand",
        "squeeze": "follow",
    }
    for step in range(40):
        drawn = supernet.sample(step)
        assert drawn["expand.0"] in (3 * drawn["stem.0"], int(4.5 * drawn["stem.0"] + 0.5))
        assert drawn["squeeze"] == int(drawn["expand.0"] / 4 + 0.5)


def test_a_pass_may_see_a_share_of_the_batch() -> None:
    supernet = augment(tiny.build("plain"), tiny.images(), AugmentConfig(batch_share=0.5))
    images, labels = tiny.images(6), tiny.labels(6)
    taken = [pass_.take(images, labels) for pass_ in supernet.passes(0, 0.0)]
    assert [len(x) for x, _ in taken] == [6, 3]
    assert torch.equal(taken[1][0], images[:3])
    assert torch.equal(taken[1][1], labels[:3])


def test_widths_out_of_range_are_refused_and_change_nothing() -> None:
    supernet = augment(tiny.build("plain"), tiny.images(), CONFIG)
    before = supernet.widths
    for wrong in ({"nowhere": 3}, {"classifier": 6}, {"first.0": 5}, {"first.0": 13}):
        with pytest.raises(ShapeError):
            supernet.use(wrong)
    assert supernet.widths == before


def test_a_supernet_can_be_copied_and_saved() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), CONFIG)
    twin = copy.deepcopy(supernet)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.1)
    with twin.at(twin.plan.widest), supernet.at(supernet.plan.widest):
        assert not torch.allclose(twin(tiny.images()), supernet(tiny.images()))
        twin.load_state_dict(supernet.state_dict())
        assert torch.equal(twin(tiny.images()), supernet(tiny.images()))


def test_macs_and_parameters_are_those_of_the_extracted_network(
    pair: tuple[nn.Module, Supernet, Tensor],
) -> None:
    """Against torch's own counter on the plain network."""
    from torch.utils.flop_counter import FlopCounterMode

    _, supernet, images = pair
    for widths in ({}, supernet.sample(5), supernet.plan.widest):
        plain = supernet.extract(widths).eval().to("meta")
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            plain(images.to("meta"))
        assert counter.get_total_flops() // 2 == supernet.macs(widths) * len(images)
        assert sum(p.numel() for p in plain.parameters()) == supernet.num_parameters(widths)


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_is_a_fraction(progress: float) -> None:
    supernet = augment(tiny.build("plain"), tiny.images())
    with pytest.raises(ConfigError, match="fraction of the training"):
        next(iter(supernet.passes(0, progress)))


def test_the_wide_pass_may_come_first_and_the_gradients_are_the_same() -> None:
    """In float64; so its outputs can teach the base pass. ``last`` is true of the pass that ends the step."""
    settings = AugmentConfig(
        width=(1.0, 2.0), expand=(1.0, 3.0), alpha=0.5, batch_share=0.5, expand_until=0.8, seed=1
    )
    supernet = augment(tiny.build("inverted").double(), tiny.images().double(), settings)
    gradients, orders = [], []
    for wide_first in (False, True):
        supernet.zero_grad()
        orders.append([])
        for pass_ in supernet.passes(0, 0.0, wide_first=wide_first):
            x, y = pass_.take(tiny.images().double(), tiny.labels())
            (pass_.weight * F.cross_entropy(supernet(x), y)).backward()
            orders[-1].append(
                (pass_.name, pass_.weight, len(x), pass_.last, supernet.widths == dict(pass_.widths))
            )
        gradients.append(
            {name: p.grad.clone() for name, p in supernet.named_parameters() if p.grad is not None}
        )
    assert orders[0] == [("base", 1.0, 4, False, True), ("augmented", 0.5, 2, True, True)]
    assert orders[1] == [("augmented", 0.5, 2, False, True), ("base", 1.0, 4, True, True)]
    torch.testing.assert_close(gradients[0], gradients[1])
    assert supernet.widths == supernet.plan.base_widths
    late = list(supernet.passes(0, 0.9, wide_first=True))
    assert [(pass_.name, pass_.last) for pass_ in late] == [("base", True)]
