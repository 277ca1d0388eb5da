"""Hidden channels of a block expand from its input, gates follow what they gate, everything else has a width."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netaug
from netaug import AugmentConfig, augment
from netaug.elastic.plan import Group
from tests import tiny


def roles(network: nn.Module, size: int = 8) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Role and source per group."""
    return {name: (group.role, group.source) for name, group in groups(network, size).items()}


def groups(network: nn.Module, size: int) -> dict[str, Group]:
    return augment(network, tiny.images(2, size), AugmentConfig()).groups


@pytest.mark.parametrize("name", ["mobilenetv2-tiny", "mcunet", "proxylessnas-0.35", "mobilenetv3-0.35"])
def test_every_block_of_the_papers_networks_expands_from_its_own_input(name: str) -> None:
    """Read off the names of modules: the input of a block is the project layer of the block before it."""
    torch.manual_seed(0)
    network = netaug.create_model(name, num_classes=5)
    found, modules = groups(network, 64), dict(network.named_modules())
    projects = [key for key in modules if key.endswith("project.conv")]
    expands = [key for key in modules if key.endswith("expand.conv")]
    assert len(expands) > 10
    order = list(modules)
    for key in expands:
        assert found[key].role == "expand", key
        (source,) = found[key].source
        before = [one for one in projects if order.index(one) < order.index(key)]
        stage = before[-1].split(".")[1]
        tied = [one for one in before if one.split(".")[1] == stage] + ["stem.conv"] * (stage == "0")
        assert source in tied, (
            "shortcuts give all blocks of a stage one width, the first may share the stem's"
        )
        assert (found[source].base, found[key].base) == (modules[key].in_channels, modules[key].out_channels)
    widths = {key for key, group in found.items() if group.role == "width"}
    assert widths & set(projects)
    assert not widths & set(expands)
    assert found["classifier"].role == "frozen"


def test_gates_of_mobilenetv3_follow_the_hidden_channels_that_they_gate() -> None:
    found = groups(netaug.create_model("mobilenetv3-0.35", num_classes=5), 64)
    gates = [group for group in found.values() if group.role == "follow"]
    assert gates
    for gate in gates:
        block = gate.name.rpartition(".")[0].rpartition(".")[0]
        assert all(source.startswith(block) for source in gate.source), gate


EXPECTED = {
    "plain": {"first.0": ("width", ()), "second": ("width", ())},
    "inverted": {
        "stem.0": ("width", ()),
        "expand.0": ("expand", ("stem.0",)),
        "squeeze": ("follow", ("expand.0",)),
        "down.0.0": ("expand", ("stem.0",)),
        "down.2": ("width", ()),
    },
    "concat": {"left.0": ("width", ()), "right.0": ("width", ()), "mix.0": ("width", ())},
    "residual": {"stem.0": ("width", ()), "one.0": ("expand", ("stem.0",)), "two": ("width", ())},
    "pyramid": {
        "shallow.0": ("width", ()),
        "deep.0": ("width", ()),
        "inner.0": ("expand", ("deep.0",)),
        "top": ("width", ()),
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_roles_of_small_networks(name: str) -> None:
    assert roles(tiny.build(name)) == {**EXPECTED[name], "classifier": ("frozen", ())}


class Bottleneck(nn.Module):
    """A residual bottleneck with two hidden widths in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = tiny.unit(3, 12)
        self.reduce, self.middle, self.back = tiny.unit(12, 4, 1), tiny.unit(4, 6), nn.Conv2d(6, 12, 1)
        self.classifier = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.back(self.middle(self.reduce(x))))
        return self.classifier(x.mean((2, 3)))


class Separable(nn.Module):
    """Dense, depthwise, dense without a shortcut: hidden channels only if they are more than both neighbors."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.stem, self.dense = tiny.unit(3, 8), tiny.unit(8, hidden, 1)
        self.depthwise, self.last = tiny.unit(hidden, hidden, groups=hidden), nn.Conv2d(hidden, 12, 1)
        self.classifier = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.depthwise(self.dense(self.stem(x))))
        return self.classifier(x.mean((2, 3)))


def test_a_chain_of_hidden_channels_follows_what_enters_the_block() -> None:
    found = roles(Bottleneck())
    assert found["reduce.0"] == found["middle.0"] == ("expand", ("stem.0",))
    assert found["stem.0"] == ("width", ())


@pytest.mark.parametrize(("hidden", "role"), [(24, "expand"), (13, "expand"), (12, "width"), (6, "width")])
def test_without_a_shortcut_hidden_channels_are_those_wider_than_both_neighbors(
    hidden: int, role: str
) -> None:
    assert roles(Separable(hidden))["dense.0"] == (role, ("stem.0",) if role == "expand" else ())
