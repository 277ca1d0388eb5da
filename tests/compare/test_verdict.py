"""The verdict says what the intervals show, never more."""

from pathlib import Path

from netaug.compare.results import Verdict, arm_rows
from netaug.compare.verdict import judge
from tests.compare.helpers import record, request
from tests.compare.plans import plan_from


def verdict(
    baseline,
    netaug,
    long,
    *,
    seconds=(10.0, 25.0, 25.0),
    train_score=71.0,
    lrs=(),
    rates=None,
    steps=None,
    **changes,
):
    runs = [
        record(arm, seed, top1, seconds=duration, train_score=train_score, steps=steps)
        for arm, values, duration in zip(
            ("baseline", "netaug", "baseline-long"), (baseline, netaug, long), seconds, strict=True
        )
        for seed, top1 in enumerate(values)
    ]
    asked = request(Path("x"), seeds=len(baseline), lrs=lrs, **changes)
    return judge(asked, arm_rows(runs), runs, rates or {})


def everything(found: Verdict) -> str:
    return "\n".join((found.headline, *found.sentences, *found.hints, *found.caveats))


def test_better_at_equal_epochs_only():
    found = verdict([70.0, 70.2, 70.1], [71.0, 71.3, 71.0], [71.1, 71.0, 71.2])
    assert found.headline == ("NetAug at equal epochs: better; at equal training time: no difference shown.")
    assert found.sentences[0].startswith(
        "At equal epochs NetAug changes top-1 by +1.0 [+0.8, +1.2] points (n = 3"
    )
    assert "no difference was shown" in found.sentences[1]


def test_better_worse_and_nothing_have_their_own_headlines():
    low, middle, high = [60.0, 60.1, 60.3], [70.0, 70.3, 70.1], [80.0, 80.1, 80.5]
    assert verdict(low, middle, low).headline.startswith("NetAug is better, at equal epochs and")
    assert verdict(high, middle, high).headline.startswith("NetAug is worse, at equal epochs and")
    nothing = verdict([70.0, 71.0, 72.0], [71.0, 72.0, 70.0], [72.0, 70.0, 71.0])
    assert nothing.headline == "No difference between NetAug and the baseline was shown."


def test_one_seed_gives_no_conclusion():
    found = verdict([70.0], [75.0], [71.0])
    assert found.headline == "Too few runs to say whether NetAug helps."
    assert "n = 1" in found.sentences[0]
    assert "interval" in found.sentences[0]
    assert "better" not in everything(found)


def test_unequal_times_are_said_to_be_unequal():
    near = verdict([70.0, 70.2], [71.0, 71.1], [71.0, 71.3], seconds=(10.0, 25.0, 25.5))
    far = verdict([70.0, 70.2], [71.0, 71.1], [71.0, 71.3], seconds=(10.0, 25.0, 30.0))
    assert "the baseline took 20 % more" in far.sentences[1]
    assert "the baseline took" not in near.sentences[1]
    assert "equal training time" in "".join((near.headline, *near.sentences))
    assert "equal training time" not in "".join((far.headline, *far.sentences))


def test_hints_name_the_regime():
    under = verdict([70.0, 70.2, 70.1], [71.0, 71.3, 71.0], [70.1, 70.0, 70.2], train_score=71.0)
    over = verdict([70.0, 70.2, 70.1], [71.0, 71.3, 71.0], [70.1, 70.0, 70.2], train_score=90.0)
    solved = verdict([98.0, 98.2, 98.1], [98.0, 98.3, 98.0], [98.1, 98.0, 98.2], train_score=99.0)
    steps = verdict([70.0, 70.2, 70.1], [71.0, 71.3, 71.0], [75.1, 75.0, 75.2], train_score=71.0)
    assert [found.hints[0].split(":")[0] for found in (under, over, solved)] == [
        "Under-fitting",
        "Over-fitting",
        "Little capacity is missing",
    ]
    assert len(steps.hints) == 1
    assert steps.hints[0].startswith("Training is still limited by steps")


def test_runs_of_few_steps_show_no_regime():
    scores = [70.0, 70.2, 70.1], [71.0, 71.3, 71.0], [70.1, 70.0, 70.2]
    assert verdict(*scores, train_score=90.0, steps=499).hints == ()
    assert verdict(*scores, train_score=90.0, steps=500).hints


def test_different_networks_are_not_compared():
    runs = [record("baseline", 0, 70.0), record("netaug", 0, 71.0, params=999)]
    found = judge(request(Path("x")), arm_rows(runs), runs, {})
    assert found.headline.startswith("Not comparable")
    assert "999" in found.caveats[0]


def test_a_rate_at_the_edge_of_the_grid_is_said():
    grid, rates = (0.1, 0.2, 0.4), {"netaug": 0.4, "baseline": 0.2}
    found = everything(verdict([70.0], [71.0], [71.0], lrs=grid, rates=rates))
    assert "at the edge of the grid for netaug (0.4):" in found
    assert "held out" in found
    assert "edge" not in everything(verdict([70.0], [71.0], [71.0], lrs=grid, rates={"netaug": 0.2}))


def test_failed_runs_and_missing_arms_are_said():
    found = verdict([70.0, None], [71.0, 71.5], [None, None])
    assert "3 of 6 runs failed" in everything(found)
    assert "no run of the longer baseline finished" in found.sentences[1]
    none = verdict([70.0], [None], [])
    assert none.headline.startswith("No NetAug run finished")


SCORES = {
    "teacher": (95.0,),
    "baseline": (60.0, 61.0, 60.5),
    "twice": (60.2, 60.9, 60.6),
    "taught": (64.0, 65.1, 64.4),
    "netaug": (57.0, 58.1, 57.4),
}


def verdict_of(tmp_path, scores=SCORES, comparators=None):
    plan = plan_from(tmp_path)
    runs = [record(arm, seed, score) for arm, values in scores.items() for seed, score in enumerate(values)]
    rows = arm_rows(runs, plan, comparators or {})
    return judge(request(tmp_path, plan=plan), rows, runs, {}), rows, plan, runs


def test_each_arm_is_called_what_its_interval_shows(tmp_path):
    verdict, _, _, _ = verdict_of(tmp_path)
    assert verdict.headline == "Against baseline, better: taught; worse: netaug; no difference shown: twice."
    assert verdict.sentences[1].startswith("taught 64.5 ± 0.6 %: +4.0 [+3.8, +4.2] points (n = 3; better)")
    assert not any("teacher" in sentence for sentence in verdict.sentences)  # stages are not judged


def test_many_comparisons_are_taken_into_account(tmp_path):
    verdict, _, _, _ = verdict_of(tmp_path)
    assert "3 differences were tested" in verdict.caveats[0]
    assert verdict.caveats[0].endswith("these stand: taught, netaug.")


def test_equal_cost_is_said_with_the_arm_that_had_it(tmp_path):
    scores = SCORES | {"baseline-long-netaug": (62.0, 62.5, 62.2)}
    verdict, rows, _, _ = verdict_of(tmp_path, scores, {("netaug", "time"): "baseline-long-netaug"})
    assert "at equal training time (baseline-long-netaug)" in verdict.sentences[2]
    assert "at equal MACs" not in verdict.sentences[2]
    longer = next(row for row in rows if row.arm == "baseline-long-netaug")
    assert longer.reference == "baseline"


def test_an_arm_without_results_is_not_passed_over(tmp_path):
    verdict, _, plan, runs = verdict_of(tmp_path, SCORES | {"netaug": (None, None, None)})
    assert "netaug: no run finished." in verdict.sentences
    whole = judge(request(tmp_path, plan=plan), arm_rows(runs, plan, {}), runs, {})
    assert any("3 of 13 runs failed" in caveat for caveat in whole.caveats)
    assert any("Trained once, for all seeds: teacher" in caveat for caveat in whole.caveats)


def test_nothing_is_claimed_without_pairs(tmp_path):
    verdict, _, _, _ = verdict_of(tmp_path, {"baseline": (60.0,), "netaug": (None,)})
    assert verdict.headline == "Nothing could be compared."
    one, _, _, _ = verdict_of(tmp_path, {"baseline": (60.0,), "netaug": (70.0,)})
    assert one.headline == "Against baseline, no conclusion possible: netaug."
