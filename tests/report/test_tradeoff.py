"""Accuracy against MACs: both arms, their resolutions and the saving are in the plot."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from netaug.compare.equal_accuracy import Point, equal_accuracy
from netaug.report.svg import standalone
from netaug.report.tradeoff import tradeoff

MACS, SIDES = (100e6, 127e6, 156e6), (256, 288, 320)


def arm(*scores: float) -> list[Point]:
    return [Point(side, macs, score) for side, macs, score in zip(SIDES, MACS, scores, strict=True)]


def test_both_arms_their_resolutions_and_the_saving_are_drawn():
    baseline, netaug = {0: arm(56, 58, 59), 1: arm(55, 58, 60)}, {0: arm(57, 60, 61), 1: arm(57, 59, 62)}
    text = tradeoff({"baseline": baseline, "netaug": netaug}, "AP50", equal_accuracy(baseline, netaug))
    assert all(text.count(f">{side}<") == 2 for side in SIDES)
    assert "AP50, %" in text
    assert ">baseline<" in text
    assert ">netaug<" in text
    assert re.search(r">\d+ % fewer<", text)
    assert "var(--arm-0)" in text
    assert "var(--arm-1)" in text
    assert "fewer" not in tradeoff({"baseline": baseline, "netaug": netaug}, "AP50")


def test_one_arm_of_one_seed_is_drawn_too():
    assert "var(--arm-0)" in tradeoff({"baseline": {0: arm(1, 2, 3)}}, "mAP")


def test_a_file_of_its_own_has_every_color_it_names():
    text = standalone(tradeoff({"baseline": {0: arm(1, 2, 3)}, "netaug": {0: arm(2, 3, 4)}}, "AP50"))
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    named = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert {"--arm-0", "--arm-1", "--line"} <= named
    assert all(f"{name}:" in text for name in named)
