"""The paper's five networks widen as its released code widens them: widest network and drawn networks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from netaug import AugmentConfig, Supernet, augment
from netaug.elastic.sampling import resolve
from netaug.models import create_model, default_image_size

# Counted by running the released model classes: width list; widest parameters and MACs in millions; mean MACs in
# millions of 60 networks drawn with width and expand ratios, then of 60 with expand ratios only.
PAPER = {
    "mobilenetv2-tiny": ((1.0, 1.8, 2.6), 5.83, 334, 128, 40),
    "mcunet": ((1.0, 1.6, 2.2), 7.27, 866, 374, 151),
    "mobilenetv3-0.35": ((1.0, 2.0, 3.0), 25.18, 360, 133, 33),
    "proxylessnas-0.35": ((1.0, 1.8, 2.6), 9.73, 454, 183, 59),
    "mobilenetv2-0.35": ((1.0, 1.8, 2.6), 8.62, 412, 160, 50),
}
EXPAND = (1.0, 1.6, 2.2, 2.8)
DRAWS = 60


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_widest_and_drawn_networks_cost_what_the_papers_do(name: str) -> None:
    width, params, macs, drawn, drawn_late = PAPER[name]
    size = default_image_size(name)
    supernet = augment(
        create_model(name), torch.zeros(2, 3, size, size), AugmentConfig(width=width, expand=EXPAND)
    )
    supernet.use_widest()
    assert round(supernet.num_parameters() / 1e6, 2) == params
    assert round(supernet.macs() / 1e6) == macs
    random = torch.Generator().manual_seed(0)
    assert round(_mean_macs(supernet, {"width", "expand"}, random) / 1e6) == drawn
    assert round(_mean_macs(supernet, {"expand"}, random) / 1e6) == drawn_late


def _mean_macs(supernet: Supernet, roles: set[str], random: torch.Generator) -> float:
    """Mean over networks drawn as the released code draws: block by block, output channels before hidden ones."""
    total = 0
    order = [name for name in _in_order(supernet) if supernet.groups[name].role in roles]
    for _ in range(DRAWS):
        ratios = {name: _choice(supernet.groups[name].ratios, random) for name in order}
        total += supernet.macs(_drawable(supernet, ratios))
    return total / DRAWS


def _in_order(supernet: Supernet) -> list[str]:
    """Names of the groups that are drawn, in the order of the released code."""
    names = ["stem.conv"]
    for name, _ in supernet.base.named_modules():
        if name.endswith(".project.conv"):
            names += [name, name.replace(".project.", ".expand.")]
    drawn = {name for name, group in supernet.groups.items() if group.role in ("width", "expand")}
    order = [name for name in [*names, "last.conv", "neck.0"] if name in drawn]
    assert set(order) == drawn
    return order


def _choice(ratios: Sequence[float], random: torch.Generator) -> float:
    return ratios[int(torch.randint(0, len(ratios), (1,), generator=random))]


def _drawable(supernet: Supernet, ratios: dict[str, float]) -> dict[str, int]:
    widths = resolve(supernet.groups.values(), ratios)
    return {name: widths[name] for name in supernet.widths}
