"""The default is torch's SGD, the others are timm's; all spare biases and norms, and go on where they stopped."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import timm.optim
import torch
from torch import nn

from netaug import AugmentConfig, augment
from netaug.config import TrainConfig
from netaug.core.errors import ConfigError
from netaug.train.optim import check_optimizer, decay_groups, make_optimizer, set_learning_rate
from netaug.train.optim_names import optimizer_class
from tests import tiny


def make(parameters: Any, name: str, **options: Any) -> torch.optim.Optimizer:
    return make_optimizer(parameters, lr=0.1, momentum=0.9, weight_decay=0.01, name=name, options=options)


def test_biases_and_norms_are_not_decayed_nor_are_those_that_netaug_adds() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))
    optimizer = make_optimizer(supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    kinds = {parameter.ndim > 1 for parameter in supernet.added.values()}
    assert kinds == {True, False}  # else the next lines would say little
    for parameter in supernet.parameters():
        assert decay[id(parameter)] == (0.5 if parameter.ndim > 1 else 0.0)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_updates_are_those_of_nesterov_written_out(momentum: float) -> None:
    """V = m v + g; w -= lr (g + m v), also for a weight whose first gradient comes late."""
    weight, late = (nn.Parameter(torch.randn(3, 2, dtype=torch.float64)) for _ in range(2))
    optimizer = make_optimizer([weight, late], lr=0.1, momentum=momentum, weight_decay=0.01)
    expected = {weight: weight.detach().clone(), late: late.detach().clone()}
    speed = {weight: torch.zeros_like(weight), late: torch.zeros_like(late)}
    for step in range(4):
        set_learning_rate(optimizer, lr := 0.1 / (step + 1))
        optimizer.zero_grad()
        for parameter in (weight, late) if step >= 2 else (weight,):
            parameter.grad = torch.randn_like(parameter)
            gradient = parameter.grad + 0.01 * expected[parameter]
            speed[parameter] = momentum * speed[parameter] + gradient
            expected[parameter] = expected[parameter] - lr * (gradient + momentum * speed[parameter])
        optimizer.step()
    torch.testing.assert_close(weight.detach(), expected[weight])
    torch.testing.assert_close(late.detach(), expected[late])


@pytest.mark.parametrize("second", [torch.float32, torch.float64])
def test_updates_are_torchs_own_to_the_bit(second: torch.dtype) -> None:
    """Also where weights are of two types, which a fused update cannot take together, and from a saved state on."""
    first = [torch.randn(5, 3), torch.randn(7), torch.randn(4, 2, 3, 3, dtype=second)]
    ours, torchs = ([nn.Parameter(tensor.clone()) for tensor in first] for _ in range(2))
    optimizer = make_optimizer(ours, lr=0.1, momentum=0.9, weight_decay=0.01)
    reference = torch.optim.SGD(
        decay_groups(torchs, 0.01), lr=0.1, momentum=0.9, nesterov=True, fused=second == torch.float32
    )
    for _ in range(4):
        for mine, other in zip(ours, torchs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        optimizer.step()
        reference.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in ours)
    compare = torch.equal if second == torch.float32 else torch.allclose
    assert all(compare(mine, other) for mine, other in zip(ours, torchs, strict=True))


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "rmsproptf"])
def test_memory_format_does_not_change_an_update(name: str) -> None:
    """The fused update walks through memory: weight, gradient and momentum must lie alike."""
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = tiny.build("inverted").double()
        model.to(memory_format=memory_format)  # type: ignore[call-overload]
        images = tiny.images().double().contiguous(memory_format=memory_format)
        supernet = augment(model, images, AugmentConfig(width=(1.0, 2.0)))
        optimizer = make(supernet.parameters(), name)
        for step in range(3):
            optimizer.zero_grad()
            for _ in supernet.passes(step, 0.0):
                supernet(images).square().sum().backward()
            optimizer.step()
        results.append({name: tensor.contiguous() for name, tensor in supernet.state_dict().items()})
    torch.testing.assert_close(results[0], results[1])


def test_frozen_weights_are_left_out() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    optimizer = make_optimizer(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.0)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 1


def usable() -> list[str]:
    """Every name of timm that this machine can train with."""
    found = []
    for name in timm.optim.list_optimizers():
        try:
            optimizer_class(name)
        except ConfigError:
            continue
        found.append(name)
    return found


def test_most_of_timms_optimizers_are_there() -> None:
    assert {"sgd", "adamw", "lamb", "rmsproptf", "lion", "adan", "muon", "adafactor"} <= set(usable())
    assert len(usable()) > 60


@pytest.mark.parametrize("name", ["momentum", "adamw", "lamb", "lars", "rmsproptf", "lion"])
def test_updates_are_timms_own(name: str) -> None:
    """The same class with the same settings, but for torch's fused form of Adam."""
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)) for _ in range(2))
    optimizer = make([ours], name)
    reference = timm.optim.create_optimizer_v2([theirs], opt=name, lr=0.1, momentum=0.9, weight_decay=0.01)
    assert type(optimizer) is type(reference)
    for step in range(4):
        for parameter in (ours, theirs):
            parameter.grad = torch.linspace(-1, 2, 12, dtype=torch.float64).view(4, 3) * (step - 1.5)
        for one in (optimizer, reference):
            set_learning_rate(one, 0.1 / (step + 1))
            one.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert not torch.equal(ours.detach(), torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3))


def test_every_optimizer_goes_on_to_the_same_bits() -> None:
    """Its states are saved and read as a checkpoint's are; one parameter starts late, as added channels may."""
    for name in usable():
        shapes = [(48, 40), (6, 4, 3, 3), (6,), (3, 4)]
        drawn = torch.Generator().manual_seed(0)
        whole = [nn.Parameter(torch.randn(shape, generator=drawn)) for shape in shapes]
        optimizer = make(whole, name)
        for step in range(6):
            if step == 3:
                buffer = io.BytesIO()
                torch.save(optimizer.state_dict(), buffer)
                buffer.seek(0)
                again = [nn.Parameter(parameter.detach().clone()) for parameter in whole]
                restored = make(again, name)
                restored.load_state_dict(torch.load(buffer, weights_only=True))
            for index, parameter in enumerate(whole):
                late = index == 3 and step < 4
                parameter.grad = None if late else torch.randn(parameter.shape, generator=drawn)
                if step >= 3:
                    again[index].grad = None if parameter.grad is None else parameter.grad.clone()
            optimizer.step()
            if step >= 3:
                restored.step()
        for first, second in zip(whole, again, strict=True):
            assert torch.equal(first, second), name


@pytest.mark.parametrize("changed", ["copied", "group added"])
def test_sgd_updates_as_torchs_own_after_a_change(changed: str) -> None:
    """A copy does not know its parameters, and one that was added has no buffer yet."""
    weight, added = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    other, other_added = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    optimizer = make([weight], "sgd")
    expected = torch.optim.SGD([other], lr=0.1, momentum=0.9, nesterov=True)
    parameters = (weight, other)
    for step in range(4):
        if step == 2 and changed == "copied":
            weight, optimizer = copy.deepcopy((weight, optimizer))
            parameters = (weight, other)
        elif step == 2:
            optimizer.add_param_group({"params": [added]})
            expected.add_param_group({"params": [other_added]})
            parameters = (weight, added, other, other_added)
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, step + 1.0)
        optimizer.step()
        expected.step()
    assert torch.equal(weight, other)
    assert torch.equal(added, other_added)


def test_groups_keep_their_share_of_the_rate() -> None:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(
        [{"params": [layer.weight], "lr_scale": 0.5}, {"params": [layer.bias]}], lr=1.0
    )
    set_learning_rate(optimizer, 0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


def test_options_arrive_as_the_class_wants_them() -> None:
    """YAML has lists, not tuples, and reads 1e-6 as text."""
    optimizer = make(nn.Linear(2, 2).parameters(), "adamw", betas=[0.8, "0.95"], eps="1e-6")
    assert optimizer.defaults["betas"] == (0.8, 0.95)
    assert optimizer.defaults["eps"] == 1e-6
    plain = make(nn.Linear(2, 2).parameters(), "sgd", nesterov=False)
    assert not plain.defaults["nesterov"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adamww"}, r"there is no optimizer 'adamww'(?s:.*)did you mean adamw"),
        ({"optimizer": "AdamW"}, r"did you mean adamw"),
        ({"optimizer": "kron"}, "random numbers that are not saved"),
        ({"optimizer": "adahessian"}, "differentiates twice"),
        ({"optimizer": "fusedlamb"}, "cannot be used on this machine"),
        ({"optimizer_options": {"betas": [0.9, 0.99]}}, "'sgd' has no option 'betas'(?s:.*)dampening"),
        ({"optimizer": "adamw", "optimizer_options": {"beta": [0.9, 0.99]}}, "did you mean 'betas'"),
        ({"optimizer": "adamw", "optimizer_options": {"betas": [0.9, 2.0]}}, "cannot be made with"),
        ({"optimizer": "adamw", "optimizer_options": {"betas": 0.9}}, "cannot be made with"),
        ({"optimizer": "adamw", "optimizer_options": {"eps": "small"}}, "cannot be made with"),
        ({"optimizer": "adamw", "optimizer_options": {"lr": 0.1}}, "give train.lr"),
        ({"optimizer": "muon"}, r"cannot be sorted with(?s:.*)--netaug.sort false"),
        ({"optimizer": "adafactor"}, "cannot be sorted with the optimizer 'adafactor'"),
    ],
)
def test_what_cannot_work_is_said_beforehand(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_optimizer(TrainConfig(**settings), sorts=True)


def test_unsortable_optimizers_train_without_sorting() -> None:
    config = TrainConfig(optimizer="muon")
    check_optimizer(config, sorts=False)
    with pytest.raises(ConfigError, match="cannot be sorted"):
        check_optimizer(config, sorts=True)  # else the line above would not be about an unsortable optimizer
    weight = nn.Parameter(torch.eye(2))
    optimizer = make([weight], config.optimizer)
    weight.square().sum().backward()
    optimizer.step()
    assert weight.isfinite().all()
    assert not torch.equal(weight, torch.eye(2))


def test_a_network_without_trainable_weights_is_a_message() -> None:
    with pytest.raises(ConfigError, match="nothing to train"):
        make(nn.ReLU().parameters(), "sgd")
