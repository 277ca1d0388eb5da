"""A plan is proven by values: base channels stay in place at every width, and what breaks that is frozen by name."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from timm.layers.drop import DropBlock2d as TimmDropBlock2d
from torch import Tensor, nn
from torchvision.ops import DropBlock2d

from netaug import Supernet, augment
from netaug.core.errors import ModelError
from netaug.elastic.neutral import Neutral
from netaug.elastic.proof import Proof
from netaug.elastic.settings import AugmentConfig
from tests import tiny


class Cut(nn.Module):
    """Two layers with a cut between them."""

    def __init__(self, cut: Callable[[Tensor], Tensor], channels: int = 12) -> None:
        super().__init__()
        self.cut, self.enter = cut, nn.Conv2d(3, 12, 3)
        self.leave, self.fc = nn.Conv2d(channels, 6, 1), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.leave(self.cut(self.enter(x))).relu().mean((2, 3)))  # type: ignore[no-any-return]


def _rotated(x: Tensor, border: int) -> Tensor:
    return torch.cat([x[:, border:], x[:, :border]], 1)


CUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "literal": lambda x: _rotated(x, 5),
    "from the end": lambda x: torch.cat([x[:, -7:], x[:, :-7]], 1),
    "third": lambda x: _rotated(x, x.shape[1] // 3),
    "rounded": lambda x: _rotated(x, round(x.shape[1] * 0.4)),
    "unequal chunks": lambda x: torch.cat(x.chunk(5, 1)[::-1], 1),
    "index": lambda x: x.index_select(1, torch.tensor([3, 1, 2, 0, *range(4, 12)])),
    "gather by list": lambda x: x[:, [*range(6, 12), *range(6)]],
    "view": lambda x: x.view(len(x), 3, x.shape[1] // 3, *x.shape[2:]).flip(1).flatten(1, 2),
    "in place": lambda x: x.index_fill(1, torch.tensor([0, 1]), 0.0),
    "half multiplied": lambda x: torch.cat([x[:, :6] * 2, x[:, 6:]], 1),
}


def _assert_in_place(network: nn.Module, supernet: Supernet, images: Tensor) -> None:
    with torch.no_grad():
        for parameter in supernet.added.values():
            parameter.zero_()
        wanted = network(images)
        for widths in (supernet.plan.widest, *(supernet.sample(step) for step in range(6))):
            with supernet.at(widths):
                torch.testing.assert_close(supernet(images), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cut", CUTS)
def test_channels_that_are_cut_stay_in_place_or_freeze(cut: str) -> None:
    network, images = Cut(CUTS[cut]), tiny.images()
    supernet = augment(network, images)
    _assert_in_place(network, supernet, images)
    assert supernet.groups["leave"].most > supernet.groups["leave"].base
    assert all(group.reason for group in supernet.groups.values() if group.most == group.base)


def test_only_what_moves_channels_freezes() -> None:
    """Behind a literal border the channels may widen, as they end where the tensor ends."""
    groups = augment(Cut(CUTS["literal"]), tiny.images()).groups
    assert sorted(group.role for name, group in groups.items() if "enter" in name) == ["frozen", "width"]
    (reason,) = (group.reason for name, group in groups.items() if "enter" in name and group.reason)
    assert "base channels move when it widens: in 'leave' 'conv2d' gives other values" in reason


def test_borders_that_a_module_keeps_follow_the_widths() -> None:
    class Kept(tiny.Plain):
        def __init__(self) -> None:
            super().__init__()
            self.border, self.enter, self.leave = 4, nn.Conv2d(3, 10, 3), nn.Conv2d(10, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.enter(x)
            return super().forward(self.leave(torch.cat([x[:, self.border :], x[:, : self.border]], 1)))

    network, images = Kept(), tiny.images()
    supernet = augment(network, images)
    parts = [group for name, group in supernet.groups.items() if name.startswith("enter")]
    assert sorted(group.base for group in parts) == [4, 6]
    assert all(group.most > group.base for group in parts)
    supernet.train()
    _assert_in_place(network.train(), supernet, images)


def test_a_network_that_fails_at_drawn_widths_alone_is_found_before_training() -> None:
    class Even(Cut):
        def forward(self, x: Tensor) -> Tensor:
            x = self.enter(x)
            assert x.shape[1] in (12, round(12 * 2.6)), "neither base nor widest"
            return self.fc(self.leave(x).mean((2, 3)))  # type: ignore[no-any-return]

    groups = augment(Even(lambda x: x), tiny.images()).groups
    assert "neither base nor widest" in groups["enter"].reason
    assert groups["leave"].role == "width"


def _noisy(x: Tensor) -> Tensor:
    return x + torch.randn_like(x) * 0.1 + random.random() + float(np.random.rand())


def _statistics(x: Tensor) -> Tensor:
    x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-3)
    x = nn.functional.group_norm(x, 1) * torch.softmax(x, 1) + nn.functional.normalize(x, dim=1)
    return nn.functional.dropout(x.sigmoid(), 0.5) + x.amax(1, keepdim=True)


@pytest.mark.parametrize("cut", [_noisy, _statistics, DropBlock2d(0.3, 3), TimmDropBlock2d(0.3, 3)])
def test_noise_and_statistics_over_channels_keep_their_width(cut: Callable[[Tensor], Tensor]) -> None:
    groups = augment(Cut(cut), tiny.images()).groups
    assert groups["enter"].most > groups["enter"].base


def test_the_proof_leaves_nothing_behind() -> None:
    network = nn.Sequential(Cut(_noisy), nn.BatchNorm1d(5), nn.Dropout(0.5)).train()
    network[1].eval()
    states = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    augment(network, tiny.images())
    assert all(torch.equal(tensor, states[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [module.training for module in (network, network[0], network[1])] == [True, True, False]
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]
    assert np.random.get_state()[1].tolist() == generators[2]  # type: ignore[union-attr]


def test_the_plan_does_not_depend_on_weights_or_example() -> None:
    """Weights that hide a branch, and an example of zeros, hide no wrong border."""
    network = Cut(CUTS["third"])
    with torch.no_grad():
        network.leave.weight.zero_()
    blind = augment(network, torch.zeros(4, 3, 8, 8)).groups
    assert blind == augment(Cut(CUTS["third"]), tiny.images()).groups
    assert any("move" in group.reason for group in blind.values())


def test_a_network_whose_runs_differ_is_said_to_be_unproven(caplog: pytest.LogCaptureFixture) -> None:
    class Restless(Cut):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(x + self.calls)

    with caplog.at_level(logging.WARNING, "netaug"):
        augment(Restless(lambda x: x), tiny.images())
    assert "two runs of Restless differ" in caplog.text


def test_a_network_that_changes_its_own_parameters_is_refused() -> None:
    class Moving(Cut):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.fc.bias.data.mul_(0.9).add_(x.mean())
            return super().forward(x)

    with pytest.raises(ModelError, match=r"(?s)changes its parameter 'fc\.bias'.*register_buffer"):
        augment(Moving(lambda x: x), tiny.images())


def test_every_two_groups_widen_differently_in_some_run() -> None:
    network, images = tiny.build("pyramid"), tiny.images()
    supernet = augment(network, images)
    proven = Proof(network, (images,), AugmentConfig()).widths(supernet.plan)
    assert proven[0] == supernet.plan.widest
    groups = [group for group in supernet.groups.values() if group.role == "width"]
    for first in groups:
        for second in groups:
            if first is not second:
                growth = {(w[first.name] / first.base, w[second.name] / second.base) for w in proven}
                assert any(abs(a - b) > 0.2 for a, b in growth), (first.name, second.name)


def test_in_a_neutral_run_added_zeros_change_no_base_channel() -> None:
    """Norms, softmax, means and draws of a wider tensor agree with the base's where the base channels are."""
    base = torch.randn(2, 4, 3, dtype=torch.float64)
    wide = torch.zeros(2, 6, 3, dtype=torch.float64)
    wide[:, [0, 2, 3, 5]] = base
    reference = Neutral()
    results = []
    for neutral, x in ((reference, base), (Neutral(reference), wide)):
        with neutral:
            found = torch.softmax(x, 1) + nn.functional.layer_norm(x, x.shape[1:]) + x.var(1, keepdim=True)
            found = found * torch.rand_like(x).sum(2, keepdim=True) * x.mean((0, 1)) + torch.rand(3)
        results.append(found)
    assert torch.allclose(results[1][:, [0, 2, 3, 5]], results[0])
