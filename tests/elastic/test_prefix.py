"""Wide passes from a stage on: what runs before it is computed once, and gradients are those of computing it twice."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, Supernet, augment
from netaug.core.errors import ConfigError, UnsupportedModelError
from netaug.elastic.inspect import describe
from tests import tiny


class Staged(nn.Module):
    """A stem, three stages and a classifier, with an activation in forward between modules."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = tiny.unit(3, 8, stride=2)
        self.stages = nn.Sequential(tiny.unit(8, 12), tiny.unit(12, 16), tiny.unit(16, 20))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(torch.tanh(self.stem(x)))
        return self.classifier(self.stages(x).mean((2, 3)))


class Skipping(Staged):
    """Reads the stem's output again at the end."""

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        x = self.stages(stem)
        return self.classifier(x.mean((2, 3)) + stem.mean())


def supernet_of(network: nn.Module, **settings: object) -> Supernet:
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    network = network.double()
    config = AugmentConfig(from_stage="stages.1", **settings)  # type: ignore[arg-type]
    return augment(network, tiny.images().double(), config)


def step(supernet: Supernet, number: int = 0, microbatches: int = 1) -> dict[str, Tensor]:
    """Run a step; return the gradients, and the state after it."""
    supernet.zero_grad()
    images = tiny.images(4 * microbatches).double().chunk(microbatches)
    for pass_ in supernet.passes(number, 0.0):
        for part in images:
            torch.manual_seed(number)
            (pass_.weight * supernet(part).pow(2).mean()).backward()
    gradients = {name: p.grad.clone() for name, p in supernet.named_parameters() if p.grad is not None}
    return gradients | {name: tensor.clone() for name, tensor in supernet.named_buffers()}


def runs_of(supernet: Supernet, name: str, action: object = None, **options: int) -> int:
    """How often a module's own forward runs in a step."""
    module, count = supernet.base.get_submodule(name), Counter[str]()
    original = module.forward

    def counted(*arguments: Tensor) -> Tensor:
        count[name] += 1
        return original(*arguments)

    module.__dict__["forward"] = counted
    try:
        step(supernet, **options)
    finally:
        del module.__dict__["forward"]
    return count[name]


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("microbatches", [1, 2])
def test_gradients_and_statistics_are_those_of_computing_the_prefix_in_every_pass(
    draws: int, microbatches: int
) -> None:
    supernet = supernet_of(Staged(), draws=draws, alpha=0.7)
    assert supernet.shares_prefix
    twin = copy.deepcopy(supernet)
    twin._prefix = None
    for number in range(3):
        shared, alone = (step(network, number, microbatches) for network in (supernet, twin))
        assert shared.keys() == alone.keys()
        for name, value in alone.items():
            torch.testing.assert_close(shared[name], value, rtol=1e-9, atol=1e-12, msg=name)
        assert any(shared[f"base.stem.{n}"].abs().sum() > 0 for n in ("0.weight",))


def test_the_prefix_runs_once_and_the_stage_in_every_pass() -> None:
    supernet = supernet_of(Staged(), draws=2)
    assert runs_of(supernet, "stages.1.0") == 3
    bare = supernet_of(Staged(), draws=2)
    hits = Counter[str]()
    bare.base.stem[0].register_forward_hook(lambda *_: hits.update(["stem"]))
    step(bare)
    assert hits["stem"] == 1, "a module inside of a replaced one does not run again"


def test_other_images_in_the_wide_pass_are_not_mistaken_for_the_same() -> None:
    supernet = supernet_of(Staged())
    twin = copy.deepcopy(supernet)
    twin._prefix = None
    first, second = tiny.images(4, seed=1).double(), tiny.images(4, seed=2).double()
    results = []
    for network in (supernet, twin):
        for pass_ in network.passes(0, 0.0):
            network(first if pass_.name == "base" else second).pow(2).mean().backward()
        results.append({name: p.grad for name, p in network.named_parameters()})
    for name, gradient in results[1].items():
        torch.testing.assert_close(results[0][name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_dropout_before_the_stage_is_drawn_anew_in_every_pass() -> None:
    supernet = supernet_of(Staged(dropout=0.5))
    hits = Counter[str]()
    supernet.base.stem[0].register_forward_hook(lambda *_: hits.update(["stem"]))
    step(supernet)
    assert hits["stem"] == 2


def test_frozen_norms_before_the_stage_are_computed_in_every_pass() -> None:
    """They normalize with running statistics in the base pass, and with those of the batch in a wide one."""
    supernet = supernet_of(Staged())
    twin = copy.deepcopy(supernet)
    twin._prefix = None
    for network in (supernet, twin):
        network.train()
        network.base.stages[0].eval()
    expected, found = step(twin), step(supernet)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_network_that_reads_the_prefix_elsewhere_computes_it_in_every_pass_and_says_so() -> None:
    network = Skipping().double()
    supernet = supernet_of(network)
    assert not supernet.shares_prefix
    twin = copy.deepcopy(supernet)
    twin._prefix = None
    expected, found = step(twin), step(supernet)
    for name, value in expected.items():
        assert torch.equal(found[name], value)
    shown = str(describe(Skipping(), tiny.images(), AugmentConfig(from_stage="stages.1")))
    assert "computed in every pass: what runs before it is also read outside of 'stages.1'" in shown


def test_groups_before_the_stage_stay_at_base_width_and_a_step_costs_less() -> None:
    whole = describe(Staged(), tiny.images(), AugmentConfig())
    late = describe(Staged(), tiny.images(), AugmentConfig(from_stage="stages.2"))
    assert {name: group.role for name, group in late.groups.items()}["stages.2.0"] != "frozen"
    reasons = [group.reason for group in late.groups.values() if group.role == "frozen"]
    assert reasons.count("before from_stage 'stages.2'") == 3
    assert 1.0 < late.cost < whole.cost
    supernet = augment(Staged(), tiny.images(), AugmentConfig(from_stage="stages.2"))
    assert (
        supernet.macs({}, from_stage=True) == supernet.macs({}) - 8 * 3 * 9 * 16 - (8 * 12 + 12 * 16) * 9 * 16
    )


@pytest.mark.parametrize(
    ("stage", "error", "words"),
    [
        ("stages.9", ConfigError, "did you mean stages.2"),
        ("nothing", ConfigError, "stages.2"),
        ("stem", ConfigError, "nothing runs before"),
        ("classifier", UnsupportedModelError, "nothing in 'Staged' can be widened"),
        ("", ConfigError, "from_stage is out of range"),
    ],
)
def test_a_stage_that_cannot_be_used_is_refused(stage: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        augment(Staged(), tiny.images(), AugmentConfig(from_stage=stage))
    assert words in caught.value.report()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["mobilenetv2-tiny", "timm:mobilenetv2_050"])
def test_the_networks_of_the_paper_share_the_part_before_a_stage(name: str) -> None:
    from netaug import create_model

    network = create_model(name, num_classes=5)
    stage = "blocks.4" if name.startswith("timm:") else "stages.3"
    supernet = augment(network, torch.randn(2, 3, 64, 64), AugmentConfig(from_stage=stage))
    assert supernet.shares_prefix
    late, whole = (
        describe(network, torch.randn(2, 3, 64, 64), c).cost for c in (supernet.config, AugmentConfig())
    )
    assert 1.0 < late < whole
