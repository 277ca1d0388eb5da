"""References train for another arm's time or MACs, each length once, and keep to what was first decided."""

from dataclasses import replace

import pytest

from netaug.compare.budgets import certain_names, find_longer, longer_names
from netaug.compare.ledger import Ledger
from netaug.compare.resolve import resolve_plan
from tests.compare.helpers import record, request
from tests.compare.plans import FOUR_ARMS, plan_from


@pytest.fixture
def plan(tmp_path):
    text = FOUR_ARMS + "  other: {set: {netaug.alpha: 2}}\nbudgets: [time, macs]\n"
    return resolve_plan(request(tmp_path / "out", plan=plan_from(tmp_path, text)))


def runs_of(seconds, seeds=2, macs=None):
    """Finished runs; each arm takes these seconds, and 1000 MACs an epoch or these."""
    found = []
    for arm, value in seconds.items():
        for seed in range(seeds):
            run = record(arm, seed, 70.0, seconds=value, epochs=10)
            summary = replace(run.summary, train_macs=(macs or {}).get(arm, 10_000))
            found.append(replace(run, summary=summary))
    return found


def test_each_length_is_trained_once(plan, tmp_path):
    ledger = Ledger(request(tmp_path / "out"), {})
    seconds = {"baseline": 10.0, "twice": 20.0, "taught": 30.0, "netaug": 31.0, "other": 10.2}
    macs = {"baseline": 10_000, "taught": 80_000, "netaug": 10_000, "other": 10_000}
    longer = find_longer(plan, runs_of(seconds, macs=macs), ledger, "final")
    assert {(one.name, one.epochs) for one in longer} == {
        ("baseline-long-taught", 30),  # also that of netaug, whose time is within 5 %
        ("baseline-macs-taught", 80),
    }
    assert ledger.longer("netaug", "time") == "baseline-long-taught"
    assert ledger.longer("other", "time") == "baseline"  # costs as much as its reference
    assert ledger.longer("netaug", "macs") == "baseline"
    assert ledger.longer("twice", "time") is None  # it is the longer reference itself


def test_what_was_decided_stays_when_seeds_are_added(plan, tmp_path):
    seconds = {"baseline": 10.0, "netaug": 30.0}
    find_longer(plan, runs_of(seconds), Ledger(request(tmp_path / "out"), {}), "final")
    again = Ledger(request(tmp_path / "out"), {})
    slower = {"baseline": 10.0, "netaug": 55.0}
    found = find_longer(plan, runs_of(slower), again, "final")
    assert [(one.name, one.epochs) for one in found] == [("baseline-long-netaug", 30)]


def test_nothing_is_trained_longer_for_an_arm_without_results(plan, tmp_path):
    assert (
        find_longer(plan, runs_of({"baseline": 10.0}), Ledger(request(tmp_path / "out"), {}), "final") == []
    )


def test_names_say_whose_budget_they_have(plan, tmp_path):
    assert set(longer_names(plan)) == {
        f"baseline-{kind}-{arm}" for kind in ("long", "macs") for arm in ("taught", "netaug", "other")
    }
    assert certain_names(plan) == []
    pair = plan_from(
        tmp_path, "recipe: demo/digits\nreference: a\narms: {a: {set: {netaug.enabled: false}}, b: {}}"
    )
    assert certain_names(pair) == ["a-long"]
