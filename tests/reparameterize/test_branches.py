"""Parallel branches are merged into the caller's own layers: same class, keys, shapes and outputs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import netaug
from netaug.core.errors import ConfigError, UnsupportedModelError
from netaug.reparameterize.branched_conv import BranchedConv
from netaug.reparameterize.scaled_conv import ScaledConv
from netaug.reparameterize.settings import Norms
from tests.tiny import NETWORKS, build, images


def shaken(network: nn.Module, seed: int = 5) -> nn.Module:
    """Give all norms drawn values, as after a training, so that no term of a merge can be left out unseen."""
    draws = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.ParameterList):
            for factor in module:
                factor.data.copy_(torch.rand(factor.shape, generator=draws, dtype=torch.float64) + 0.5)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for name, tensor in [
                *module.named_parameters(recurse=False),
                *module.named_buffers(recurse=False),
            ]:
                if tensor.is_floating_point():
                    low = 0.5 if name in ("weight", "running_var") else -0.5
                    drawn = torch.rand(tensor.shape, generator=draws, dtype=torch.float64) + low
                    tensor.data.copy_(drawn)
    return network


def same_form(one: nn.Module, other: nn.Module) -> bool:
    """Whether class, keys, shapes and types agree, in order."""
    forms = [[(k, v.shape, v.dtype) for k, v in network.state_dict().items()] for network in (one, other)]
    return type(one) is type(other) and forms[0] == forms[1] and str(one) == str(other)


@pytest.mark.parametrize(
    ("name", "norms"), [*((name, "each") for name in NETWORKS), ("inverted", "one"), ("grouped", "one")]
)
def test_merged_network_computes_the_same(name: str, norms: Norms) -> None:
    model = build(name).double()
    before = copy.deepcopy(model.state_dict())
    branched = netaug.reparameterize(model, images().double(), branches=3, norms=norms)
    outputs = shaken(branched).eval()(images().double())
    merged = branched.merge()
    assert same_form(merged, model)
    torch.testing.assert_close(merged(images().double()), outputs, rtol=0, atol=1e-10)
    assert not torch.allclose(outputs, model.eval()(images().double()), atol=1e-3)  # else nothing was merged
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class Odd(nn.Module):
    """Strides, dilation, groups, biases, a norm without weights, and convolutions that cannot have branches."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 5, stride=2, padding=2)
        self.first_norm = nn.BatchNorm2d(4, affine=False)
        self.dilated = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2, padding_mode="reflect")
        self.dilated_norm = nn.BatchNorm2d(4, eps=0.1, momentum=0.3)
        self.unpadded = nn.Conv2d(4, 4, 3)
        self.unpadded_norm = nn.BatchNorm2d(4)
        self.twice = nn.Conv2d(4, 4, 1)
        self.twice_norm = nn.BatchNorm2d(4)
        self.bare = nn.Conv2d(4, 4, 1)
        self.frozen = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_norm(self.first(x)).relu()
        x = self.dilated_norm(self.dilated(x)).relu()
        x = self.unpadded_norm(self.unpadded(x)).relu()
        y = self.twice(x)
        return self.frozen(self.bare(self.twice_norm(y) + y).relu()).mean((2, 3))


def test_each_convolution_gets_what_its_shape_allows_or_a_reason() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    branched = netaug.reparameterize(Odd().double(), x, branches=2)
    assert [(b.conv, b.convs, b.point, b.identity) for b in branched.branched] == [
        ("first", 3, True, False),
        ("dilated", 3, True, True),
        ("unpadded", 2, False, False),
    ]
    assert {left.conv: left.reason for left in branched.left} == {
        "twice": "its output is read 2 times",
        "bare": "followed by relu, not by a batch norm",
        "frozen.0": "frozen",
    }
    for norms in ("each", "one"):
        branched = netaug.reparameterize(Odd().double(), x, branches=2, norms=norms)
        outputs = shaken(branched).eval()(x)
        torch.testing.assert_close(branched.merge()(x), outputs, rtol=0, atol=1e-10)


def test_merged_norm_has_the_statistics_of_its_input() -> None:
    """So the merged network can be trained further: in training mode it computes what it computes in evaluation."""
    branched = netaug.reparameterize(build("plain").double(), images().double(), branches=2).train()
    layer = branched.network.get_submodule("first.0")
    assert isinstance(layer, BranchedConv)
    for norm in (*layer.norms, layer.total):
        norm.momentum = 1.0  # running statistics are then those of the last batch
    x = images(16).double()
    with torch.no_grad():
        branched(x)
    plain = branched.merge()
    conv, norm = plain.get_submodule("first.0"), plain.get_submodule("first.1")
    made = conv(x)
    torch.testing.assert_close(norm.running_mean, made.mean((0, 2, 3)))
    # Norms keep the unbiased variance and normalize with the biased one, so the sum is off by 1 in 1,024 positions.
    torch.testing.assert_close(norm.running_var, made.var((0, 2, 3)), rtol=2e-3, atol=0)


@pytest.mark.parametrize("norms", ["each", "one"])
def test_scale_zero_starts_from_the_networks_own_function(norms: Norms) -> None:
    model = build("inverted").eval()
    branched = netaug.reparameterize(model, images(), scale=0.0, norms=norms)
    torch.testing.assert_close(branched(images()), model(images()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["inverted", "grouped"])
def test_a_training_step_of_the_sum_of_kernels_is_that_of_its_branches(name: str) -> None:
    """With one norm behind the sum: the kernels are added up in training, in evaluation the outputs are."""
    x = images().double()
    branched = netaug.reparameterize(build(name).double(), x, norms="one").train()
    for norm in branched.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
    assert any(isinstance(module, ScaledConv) for module in branched.modules())
    torch.testing.assert_close(branched(x), branched.eval()(x), rtol=0, atol=1e-10)


def test_first_weights_are_keyed_by_the_seed() -> None:
    one, same, other = (
        netaug.reparameterize(build("plain"), images(), seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_network_without_a_place_is_refused_with_the_first_reason() -> None:
    with pytest.raises(UnsupportedModelError, match=r"'1': followed by relu, not by a batch norm"):
        netaug.reparameterize(nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 1), nn.ReLU()), images())


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="branches is out of range"):
        netaug.reparameterize(build("plain"), images(), branches=0)
    with pytest.raises(ConfigError, match=r"keep 'none\.\*' matches no module"):
        netaug.reparameterize(build("plain"), images(), keep=("none.*",))


@pytest.mark.parametrize("name", ["inverted", "grouped", "odd"])
def test_merged_form_computes_what_separate_branches_do(name: str) -> None:
    """Outputs, gradients and statistics of a training step, in float64; a batch of norms in training mode."""
    torch.manual_seed(0)
    size, model = (16, Odd()) if name == "odd" else (8, build(name))
    x = images(size=size).double().requires_grad_()
    found = []
    for form in ("separate", "merged"):
        network = shaken(netaug.reparameterize(model.double(), x.detach(), form=form)).train()
        outputs = network(x)
        weights = torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).reshape(outputs.shape)
        trained = [p for p in network.parameters() if p.requires_grad]
        gradients = torch.autograd.grad((outputs * weights).sum(), [x, *trained])
        merges = [layer.merges for layer in network.modules() if isinstance(layer, BranchedConv)]
        assert any(merges) == (form == "merged")
        found.append((outputs, gradients, dict(network.named_buffers())))
    torch.testing.assert_close(found[0], found[1], rtol=1e-7, atol=1e-9)
