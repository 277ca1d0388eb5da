"""What `inspect` says is what the supernet does."""

from __future__ import annotations

import pytest
import torch
from rich.console import Console

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


def test_the_cost_of_a_training_is_what_its_passes_add_up_to() -> None:
    """Reference: every pass of 600 steps, with half the batch, three quarters of the side, every third step."""
    config = AugmentConfig(
        start=0.25, augment_every=3, draws=2, batch_share=0.5, resolution=0.75, expand_until=0.9
    )
    supernet = augment(tiny.build("inverted"), tiny.images(), config)
    steps, macs = 600, 0.0
    for step in range(steps):
        for pass_ in supernet.passes(step, step / steps):
            macs += pass_.share * supernet.macs(pass_.widths, resolution=pass_.resolution)
    found = inspect(supernet)
    assert found.cost == pytest.approx(macs / steps / supernet.macs({}), rel=0.05)
    assert f"takes {found.cost:.2f}x the MACs of one without" in str(found)


def test_what_a_widest_teacher_and_separate_gradients_cost_is_said() -> None:
    config = AugmentConfig(start=0.25, augment_every=3, conflict="project")
    supernet = augment(tiny.build("inverted"), tiny.images(), config)
    steps = 600
    macs = sum(
        supernet.macs(pass_.widths)
        for step in range(steps)
        for pass_ in supernet.passes(step, step / steps, teacher=True)
        if pass_.name == "teacher"
    )
    found = inspect(supernet, draws=50)
    assert found.teacher_cost == pytest.approx(macs / steps / supernet.macs({}), rel=0.02)
    assert found.separate == supernet.num_parameters({})
    console = Console(width=200)
    with console.capture() as captured:
        console.print(found.render(widest_teaches=True))
    assert f"takes {found.cost + found.teacher_cost:.2f}x the MACs" in captured.get()
    assert "conflict project: the gradients of both passes are kept apart" in captured.get()
