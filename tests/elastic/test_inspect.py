"""What `inspect` says is what the supernet does."""

from __future__ import annotations

import pytest
import torch

import netaug
from netaug import AugmentConfig, augment
from netaug.elastic.inspect import describe, inspect
from tests import tiny

# Input size, width list; base parameters (thousands) and MACs (millions), widest ones (millions) as in the paper's
# released code; mean MACs (millions) in both phases of 100,000 networks drawn by an independent simulation.
PAPER = {
    "mobilenetv2-tiny": (144, (1.0, 1.8, 2.6), 750, 23.50, 5.83, 334, 126.8, 39.8),
    "mcunet": (176, (1.0, 1.6, 2.2), 737, 81.79, 7.27, 866, 357.3, 150.4),
    "mobilenetv2-0.35": (160, (1.0, 1.8, 2.6), 1677, 30.87, 8.62, 412, 158.7, 50.2),
}


@pytest.mark.parametrize("name", PAPER)
def test_counts_are_the_papers(name: str) -> None:
    """Base and widest to the printed digits; means over 500 draws within 4 % (their standard error is 1 %)."""
    size, width, kilo_params, mega_macs, widest_mega_params, widest_mega_macs, drawn, drawn_late = PAPER[name]
    found = describe(netaug.create_model(name), tiny.images(2, size), AugmentConfig(width=width))
    assert round(found.base.parameters / 1e3) == kilo_params
    assert round(found.base.macs / 1e6, 2) == mega_macs
    assert round(found.widest.parameters / 1e6, 2) == widest_mega_params
    assert round(found.widest.macs / 1e6) == widest_mega_macs
    assert found.drawn.macs / 1e6 == pytest.approx(drawn, rel=0.04)
    assert found.drawn_late.macs / 1e6 == pytest.approx(drawn_late, rel=0.03)


def test_text_names_groups_roles_and_reasons() -> None:
    text = str(describe(tiny.build("rigid"), tiny.images()))
    assert "stem.0" in text
    assert "heads (4 channels): the network fails when it widens" in text
    assert "output of the network" in text


def test_inspecting_changes_nothing() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images())
    before = supernet.widths
    inspect(supernet, draws=5)
    assert supernet.widths == before


def test_a_network_in_which_nothing_widens_can_be_inspected() -> None:
    """`augment` refuses it and points here, so the reasons must be seen here."""
    text = str(describe(torch.nn.Linear(3, 5), torch.randn(4, 3)))
    assert "1 of 1 groups keep their width" in text
    assert "output of the network" in text
