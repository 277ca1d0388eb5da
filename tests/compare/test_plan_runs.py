"""A plan from file to table, with a fake train command: stages, failures, budgets, grids, more processes."""

import json
from dataclasses import replace

import pytest

from netaug.compare import engine
from netaug.compare.resolve import resolve_plan
from netaug.core.errors import ConfigError
from tests.compare.helpers import request, run_fake
from tests.compare.plans import FOUR_ARMS, plan_from


def asked(tmp_path, text=FOUR_ARMS, *overrides, **changes):
    """A request for a plan, resolved with the settings that exist; the fake ones come after."""
    plan = plan_from(tmp_path, text)
    out, four = tmp_path / "out", ("--train.epochs=4",)
    asked = request(out, *four, recipe="mine.yaml", plan=plan, lrs=plan.rates, **changes)
    return replace(asked, plan=resolve_plan(asked), overrides=(*four, *overrides))


def config(tmp_path, run):
    return json.loads((tmp_path / "out" / run / "config.yaml").read_text())


def test_stages_come_first_and_their_folders_are_filled_in(tmp_path):
    comparison, text = run_fake(asked(tmp_path))
    teacher = str(tmp_path / "out" / "teacher-seed0")
    for seed in (0, 1):
        assert config(tmp_path, f"taught-seed{seed}")["distill"]["teacher"] == [teacher]  # once for all seeds
    assert text.index("teacher seed 0: top-1") < text.index("taught seed 0: started")
    assert [(row.arm, row.n, row.stage) for row in comparison.rows] == [
        ("teacher", 1, True),
        *((arm, 2, False) for arm in ("baseline", "twice", "taught", "netaug", "baseline-long-netaug")),
    ]
    longer = comparison.row("netaug").long
    assert longer == "baseline-long-netaug"
    assert comparison.row("taught").long == "baseline"  # as long as its reference, by this fake clock
    assert comparison.row("twice").epochs == 8


def test_a_stage_of_every_seed_teaches_its_own(tmp_path):
    run_fake(asked(tmp_path, FOUR_ARMS.replace("once: true, ", "")))
    assert config(tmp_path, "taught-seed1")["distill"]["teacher"] == [str(tmp_path / "out" / "teacher-seed1")]


def test_a_failed_arm_does_not_stop_the_rest(tmp_path):
    failing = ("--fake.fail_run=netaug-seed1", "--fake.refuse_run=taught-seed0")
    comparison, text = run_fake(asked(tmp_path, FOUR_ARMS, *failing))
    failed = [(row.arm, row.n, row.failed) for row in comparison.rows if row.failed]
    assert failed == [("taught", 1, 1), ("netaug", 1, 1)]
    assert "there is no such recipe" in text
    assert "the loss is not finite" in text


def test_arms_whose_stage_failed_are_not_started(tmp_path):
    comparison, text = run_fake(asked(tmp_path, FOUR_ARMS, "--fake.fail_run=teacher-seed0"))
    assert text.count("not started: it needs 'teacher'") == 2
    failed = {row.arm: row.failed for row in comparison.rows if row.failed}
    assert failed == {"teacher": 1, "taught": 2}
    assert not (tmp_path / "out" / "taught-seed0").exists()
    assert "taught: no run finished." in comparison.verdict.sentences


def test_equal_macs_are_those_that_were_counted(tmp_path):
    comparison, _ = run_fake(asked(tmp_path, FOUR_ARMS + "budgets: [macs]\n"))
    row = comparison.row(comparison.row("netaug").macs_arm)
    assert (row.arm, row.epochs) == ("baseline-macs-netaug", 12)
    assert row.train_macs == comparison.row("netaug").train_macs
    assert comparison.row("netaug").long is None


def test_without_budgets_nothing_is_trained_longer(tmp_path):
    comparison, _ = run_fake(asked(tmp_path, FOUR_ARMS + "budgets: []\n"))
    assert [row.arm for row in comparison.rows] == ["teacher", "baseline", "twice", "taught", "netaug"]


def test_a_grid_of_any_settings_is_tuned_on_held_out_images(tmp_path):
    text = FOUR_ARMS + "budgets: []\ngrid: {train.lr: [0.05, 0.1], train.weight_decay: [0, 0.1]}\n"
    comparison, _ = run_fake(asked(tmp_path, text, seeds=1))
    tuned = [run.spec for run in comparison.runs if run.spec.phase == "tune"]
    assert (
        len(tuned) == 1 + 4 + 4 + 4 + 2
    )  # the stage once; netaug multiplies the rate, so has only the decay
    assert all(spec.settings()["data.holdout"] == 0.1 for spec in tuned)
    baseline = next(run.spec for run in comparison.runs if run.spec.name.startswith("baseline"))
    assert (baseline.lr, dict(baseline.tuned)) == (0.1, {"train.weight_decay": 0.0})
    caveats = " ".join(comparison.verdict.caveats)
    assert "train.weight_decay was chosen from 0, 0.1 with one seed" in caveats


def test_cases_have_references_of_their_own(tmp_path):
    text = FOUR_ARMS + "cases: {one: {}, two: {set: {data.limit: 100}}}\n"
    comparison, _ = run_fake(asked(tmp_path, text, seeds=1))
    netaug = comparison.row("two.netaug")
    assert (netaug.reference, netaug.long) == ("two.baseline", "two.baseline-long-netaug")
    assert config(tmp_path, "two.baseline-long-netaug-seed0")["data"]["limit"] == 100


def test_several_processes_are_started_by_torchrun(tmp_path, monkeypatch):
    commands = []

    def catch(request, settings, command, console):
        commands.append(command)

    monkeypatch.setattr(engine, "run_comparison", catch)
    plan = plan_from(tmp_path)
    engine.compare(request(tmp_path / "out", plan=plan, nproc=2))
    engine.compare(request(tmp_path / "out", plan=plan))
    assert commands[0][1:] == (
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "netaug", "train"),
    )
    assert commands[1][1:] == ("-m", "netaug", "train")


def test_the_plan_may_grow_but_not_change(tmp_path):
    run_fake(asked(tmp_path, seeds=1))
    comparison, text = run_fake(asked(tmp_path, FOUR_ARMS + "  new: {set: {netaug.alpha: 2}}\n", seeds=1))
    assert comparison.row("new").n == 1
    assert text.count("finished before, kept") == 6
    with pytest.raises(Exception, match=r"other settings(.|\n)*netaug\.alpha"):
        run_fake(asked(tmp_path, FOUR_ARMS + "  new: {set: {netaug.alpha: 3}}\n", seeds=1))


def test_a_plan_that_cannot_be_trained_at_all_says_so_once(tmp_path):
    with pytest.raises(ConfigError, match="no such recipe"):
        run_fake(asked(tmp_path, FOUR_ARMS, "--fake.refuse=1"))
