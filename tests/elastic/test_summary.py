"""`print(supernet)` is short, and says what the supernet is and what it does now."""

from __future__ import annotations

import netaug
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.summary import short_count
from tests import tiny


def test_a_supernet_prints_in_about_ten_lines() -> None:
    supernet = netaug.augment(tiny.build("inverted"), tiny.images(2))
    lines = str(supernet).splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 110
    assert lines[0] == f"Supernet of {type(supernet.base).__name__}"
    assert "now:          base widths" in str(supernet)
    widen = [group for group in supernet.groups.values() if group.role != "frozen"]
    assert f"{len(widen)} widen" in str(supernet)


def test_it_follows_the_present_widths() -> None:
    supernet = netaug.augment(tiny.build("plain"), tiny.images(2))
    supernet.use_widest()
    assert "now:          the widest network" in str(supernet)
    widths = {name: width - 1 for name, width in supernet.plan.widest.items()}
    supernet.use(widths)
    assert f"now:          {short_count(supernet.num_parameters())} parameters" in str(supernet)


def test_frozen_groups_come_with_their_reason() -> None:
    network = tiny.build("inverted")
    kept = next(name for name, module in network.named_modules() if "Conv2d" in type(module).__name__)
    supernet = netaug.augment(network, tiny.images(2), AugmentConfig(keep=(kept,)))
    reason = next(group.reason for group in supernet.groups.values() if group.name == kept)
    assert reason
    assert f"{kept}: {reason}" in str(supernet) or f"{kept} and" in str(supernet)
