"""Networks of given MACs: as near as whole channels allow, from the base to the widest."""

from __future__ import annotations

from itertools import pairwise

import pytest

import netaug
from netaug import AugmentConfig, Supernet
from netaug.core.errors import ConfigError
from netaug.elastic.family import Chain, family, widths_at_macs
from tests import tiny

CONFIG = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0))


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return netaug.augment(tiny.build("inverted"), tiny.images(), CONFIG)


def test_the_chain_adds_one_channel_at_a_time_from_base_to_widest(supernet: Supernet) -> None:
    chain = Chain(supernet)
    steps = [chain.widths(step) for step in range(len(chain))]
    assert steps[0] == {name: supernet.groups[name].base for name in supernet.widths}
    assert steps[-1] == supernet.plan.widest
    for before, after in pairwise(steps):
        assert sum(after[name] - before[name] for name in after) == 1
        assert all(after[name] >= before[name] for name in after)


def test_all_groups_are_about_the_same_share_of_the_way(supernet: Supernet) -> None:
    chain = Chain(supernet)
    for step in range(len(chain)):
        widths = chain.widths(step)
        spans = {name: supernet.plan.widest[name] - supernet.groups[name].base for name in widths}
        way = [(widths[name] - supernet.groups[name].base) / span for name, span in spans.items() if span]
        assert max(way) - min(way) <= 1 / min(span for span in spans.values() if span) + 1e-9


@pytest.mark.parametrize("ratio", [1.0, 1.37, 2.0, 3.3])
def test_no_network_of_the_chain_is_nearer(supernet: Supernet, ratio: float) -> None:
    chain, wanted = Chain(supernet), ratio * supernet.macs({})
    best = min(abs(supernet.macs(chain.widths(step)) - wanted) for step in range(len(chain)))
    assert abs(supernet.macs(widths_at_macs(supernet, ratio)) - wanted) == best


def test_a_family_is_evenly_spaced_and_has_both_ends(supernet: Supernet) -> None:
    members = family(supernet, 4)
    assert members[-1] == supernet.plan.widest
    macs = [supernet.macs(widths) for widths in members]
    assert macs[0] == supernet.macs({})
    gaps = [after - before for before, after in pairwise(macs)]
    assert max(gaps) < 1.1 * min(gaps)


@pytest.mark.parametrize("multiple", [4, 8])
def test_channels_can_be_multiples_that_devices_like(supernet: Supernet, multiple: int) -> None:
    chain = Chain(supernet, multiple)
    steps = [chain.widths(step) for step in range(len(chain))]
    assert len(steps) > 3
    assert steps[0] == {name: supernet.groups[name].base for name in supernet.widths}
    for before, after in pairwise(steps):
        assert sum(after[name] != before[name] for name in after) == 1
        assert all(after[name] >= before[name] for name in after)
        for name, channels in after.items():
            assert channels == supernet.groups[name].base or channels % multiple == 0
    for name, most in supernet.plan.widest.items():
        assert most - multiple < steps[-1][name] <= most
    assert family(supernet, 3, multiple)[-1] == steps[-1]


def test_what_cannot_be_made_is_a_message(supernet: Supernet) -> None:
    most = supernet.macs(supernet.plan.widest) / supernet.macs({})
    for ratio in (0.99, most + 0.1, float("nan")):
        with pytest.raises(ConfigError, match=rf"1 to {most:.2f} times"):
            widths_at_macs(supernet, ratio)
    assert widths_at_macs(supernet, round(most, 2)) == supernet.plan.widest
    for count in (1, 0, 100_000):
        with pytest.raises(ConfigError, match="2 or more"):
            family(supernet, count)
