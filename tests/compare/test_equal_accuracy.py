"""Equal accuracy at fewer MACs: the paper's own curves, and what noise and missing points allow to say."""

from __future__ import annotations

import math
import statistics

import pytest
from scipy import stats

from netaug.compare.equal_accuracy import Point, crossing, equal_accuracy, mean_points, sentence

VOC_MACS, VOC_SIDES = (100, 127, 156, 189, 225, 264), (256, 288, 320, 352, 384, 416)
VOC = ((56.2, 58.2, 59.7, 60.0, 60.4, 60.6), (57.6, 59.2, 60.9, 62.0, 62.2, 62.4))
COCO_MACS, COCO_SIDES = (153, 189, 229, 272, 319, 370), (288, 320, 352, 384, 416, 448)
COCO = ((22.4, 23.5, 24.05, 24.55, 24.7, 24.9), (22.9, 24.3, 24.75, 25.3, 25.4, 25.9))


def line(scores, sides=VOC_SIDES, macs=VOC_MACS, shift=0.0) -> list[Point]:
    points = zip(sides, macs, scores, strict=True)
    return [Point(side, mac * 1e6, score + shift) for side, mac, score in points]


def test_the_papers_41_percent_on_voc():
    """NetAug at 320 px, 156 M, is the first measured one above the baseline at 416 px, 264 M."""
    found = equal_accuracy({0: line(VOC[0])}, {0: line(VOC[1])})
    assert (found.target.resolution, found.measured.resolution) == (416, 320)
    assert round(100 * (1 - found.measured.macs / found.target.macs)) == 41
    # by interpolation a little more: 60.6 lies between 59.2 at 127 M and 60.9 at 156 M
    assert found.saving == pytest.approx(100 * (1 - (127 + 29 * 1.4 / 1.7) / 264))
    assert 288 < found.resolution < 320
    assert sentence(found) == (
        "NetAug at about 315 px matches the baseline at 416 px (AP50 60.6) with 43 % fewer MACs, by interpolation "
        "(one seed: nothing is known of its spread). Measured: NetAug at 320 px has AP50 60.9, 41 % fewer MACs."
    )


def test_the_papers_38_percent_on_coco():
    """The paper calls 24.75 at 352 px, 229 M, equal to 24.9 at 448 px, 370 M; without that it is 35 %."""
    arms = ({0: line(scores, COCO_SIDES, COCO_MACS)} for scores in COCO)
    baseline, arm = arms
    found = equal_accuracy(baseline, arm, within=0.15)
    assert found.measured.resolution == 352
    assert round(100 * (1 - found.measured.macs / found.target.macs)) == 38
    assert found.saving == pytest.approx(38.1, abs=0.05)
    assert equal_accuracy(baseline, arm).saving == pytest.approx(34.9, abs=0.05)


def test_the_interval_is_the_paired_t_interval_of_the_seeds():
    shifts = {0: 0.0, 1: 0.4, 2: -0.3}
    baseline = {
        seed: line(VOC[0], shift=3 * shift) for seed, shift in shifts.items()
    }  # seeds differ in both arms
    arm = {seed: line(VOC[1], shift=4 * shift) for seed, shift in shifts.items()}
    found = equal_accuracy(baseline, arm)
    savings = [equal_accuracy({seed: baseline[seed]}, {seed: arm[seed]}).saving for seed in shifts]
    assert list(found.by_seed.values()) == pytest.approx(savings)
    assert found.saving == pytest.approx(statistics.fmean(savings))
    expected = stats.t.interval(0.95, 2, loc=statistics.fmean(savings), scale=stats.sem(savings))
    assert (found.low, found.high) == pytest.approx(expected)
    assert f"95 % interval {found.low:.0f} to {found.high:.0f} %, 3 paired seeds" in sentence(found)


def test_only_seeds_that_both_arms_have_are_compared():
    found = equal_accuracy(
        {0: line(VOC[0]), 1: line(VOC[0], shift=9)}, {0: line(VOC[1]), 2: line(VOC[1], shift=-9)}
    )
    assert list(found.by_seed) == [0]
    assert equal_accuracy({0: line(VOC[0])}, {1: line(VOC[1])}) is None


def test_what_is_never_reached_is_said():
    found = equal_accuracy({0: line(VOC[1])}, {0: line(VOC[0])})
    assert found.saving is None
    assert sentence(found) == (
        "NetAug does not match the baseline at 416 px (AP50 62.4) at any resolution measured: "
        "60.6 at 416 px is its best, mean of 1 seed."
    )


def test_a_seed_that_does_not_reach_it_leaves_no_interval():
    arm = {0: line(VOC[1]), 1: line(VOC[1], shift=1), 2: line(VOC[1], shift=-2)}
    found = equal_accuracy({seed: line(VOC[0]) for seed in range(3)}, arm)
    assert found.by_seed[2] is None
    assert found.low is None
    of_means = mean_points(list(arm.values()))
    assert found.saving == pytest.approx(100 * (1 - crossing(of_means, 60.6) / 264e6))
    assert "of the means of 3 seeds; 1 of them do not reach it, so there is no interval" in sentence(found)


def test_the_smallest_resolution_being_enough_gives_a_lower_bound():
    found = equal_accuracy(
        {0: line(VOC[0]), 1: line(VOC[0])}, {0: line(VOC[1], shift=9), 1: line(VOC[1], shift=8)}
    )
    assert found.at_least
    assert found.low is None
    assert "with at least 62 % fewer MACs" in sentence(found)


def test_more_macs_are_called_more():
    found = equal_accuracy({0: line(VOC[0])}, {0: line(VOC[1], shift=-2.3)}, resolution=320)
    assert found.target.resolution == 320
    assert found.saving < 0
    assert "% more MACs" in sentence(found)


def test_the_target_is_the_baselines_best_and_of_equal_ones_the_smallest():
    scores = (50.0, 60.0, 59.0, 60.0, 58.0, 57.0)
    assert equal_accuracy({0: line(scores)}, {0: line(VOC[1])}).target.resolution == 288


def test_a_crossing_is_linear_in_macs_and_needs_the_score():
    points = [Point(20, 4.0, 12.0), Point(10, 1.0, 10.0), Point(30, 9.0, 11.0)]  # in any order
    assert crossing(points, 11.0) == pytest.approx(2.5)
    assert crossing(points, 12.0) == 4.0
    assert crossing(points, 5.0) == 1.0
    assert crossing(points, 12.1) is None
    assert crossing([], 1.0) is None
    assert math.isclose(mean_points([points, points[:2]])[-1].score, 12.0)
