"""Of many arms the verdict says who is better than its reference, and how many comparisons that was."""

from netaug.compare.results import arm_rows
from netaug.compare.verdict import judge
from netaug.compare.verdict_of_arms import judge_arms
from tests.compare.helpers import record, request
from tests.compare.plans import plan_from

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
    return judge_arms(plan, rows, ("a caveat",)), rows, plan, runs


def test_each_arm_is_called_what_its_interval_shows(tmp_path):
    verdict, _, _, _ = verdict_of(tmp_path)
    assert verdict.headline == "Against baseline, better: taught; worse: netaug; no difference shown: twice."
    assert verdict.sentences[1].startswith("taught 64.5 ± 0.6 %: +4.0 [+3.8, +4.2] points (n = 3; better)")
    assert not any("teacher" in sentence for sentence in verdict.sentences)  # stages are not judged


def test_many_comparisons_are_taken_into_account(tmp_path):
    verdict, _, _, _ = verdict_of(tmp_path)
    together, last = verdict.caveats
    assert "3 differences were looked at" in together
    assert together.endswith("these stand: taught, netaug.")
    assert last == "a caveat"


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
