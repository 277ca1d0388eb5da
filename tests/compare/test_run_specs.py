"""The runs of a comparison differ in the arm's settings and in nothing else."""

from pathlib import Path

import pytest

from netaug.compare.request import Choice
from netaug.compare.run_specs import RunSpec, final_runs, long_epochs, train_arguments, tune_runs
from tests.compare.helpers import request


def test_arms_of_a_seed_differ_only_in_the_method():
    runs = final_runs(request(Path("x"), seeds=3), {"netaug": Choice(0.1), "baseline": Choice(0.1)})
    assert [(run.arm, run.seed) for run in runs[:4]] == [
        ("netaug", 0),
        ("baseline", 0),
        ("netaug", 1),
        ("baseline", 1),
    ]
    for netaug, baseline in zip(runs[::2], runs[1::2], strict=True):
        different = netaug.settings().items() ^ baseline.settings().items()
        assert {key for key, _ in different} == {"netaug.enabled"}


def test_tuning_never_sees_the_evaluation_split():
    runs = tune_runs(request(Path("x"), lrs=(0.1, 0.2)), ("netaug", "baseline"))
    assert len(runs) == 4
    assert all(run.settings()["data.holdout"] == 0.1 and run.seed == 0 for run in runs)
    assert "--data.holdout=0.1" in runs[0].arguments({})


@pytest.mark.parametrize("more", [("--data.holdout=0.2",), ()])
def test_rates_are_chosen_on_other_images_than_those_held_out_for_evaluation(more: tuple[str, ...]):
    asked = request(Path("x"), *more, lrs=(0.1, 0.2))
    (one, *_) = tune_runs(asked, ("netaug", "baseline"))
    words = [word for word in train_arguments(asked, one) if "holdout" in word]
    assert words == ["--data.holdout=0.2", "--data.tune_holdout=0.1"] if more else ["--data.holdout=0.1"]
    (final, *_) = final_runs(asked, {"netaug": Choice(0.1)})
    assert [word for word in train_arguments(asked, final) if "holdout" in word] == [*more]


def test_run_names_are_different_and_plain():
    specs = [
        RunSpec("netaug", phase, 3, lr, None, 1) for phase in ("tune", "final") for lr in (None, 0.1, 0.05)
    ]
    assert len({spec.name for spec in specs}) == len(specs)
    assert RunSpec("baseline-long", "tune", 3, 0.1, 9, 1).name == "tune-baseline-long-lr0.1-seed3"


@pytest.mark.parametrize(
    ("netaug", "baseline", "expected"),
    [
        ([25.0, 30.0, 100.0], [10.0, 10.0, 10.0], 30),  # the median pair counts: 3 times
        ([26.0], [10.0], 26),
        ([10.0], [10.0], 11),  # never the same run again
        ([5.0], [0.0], 11),  # too fast to be timed
    ],
)
def test_long_baseline_takes_netaugs_time(netaug, baseline, expected):
    assert long_epochs(10, netaug, baseline) == expected


def test_a_run_fits_only_its_own_settings():
    on, off = (("netaug.enabled", True),), (("netaug.enabled", False),)
    spec = RunSpec("netaug", "final", 1, 0.1, None, 2, on)
    config = {
        "train": {"seed": 1, "lr": 0.1, "threads": 2, "epochs": 7},
        "netaug": {"enabled": True},
    }
    assert spec.fits(config)
    assert not RunSpec("netaug", "final", 2, 0.1, None, 2, on).fits(config)
    assert not RunSpec("netaug", "final", 1, 0.1, 8, 2, on).fits(config)
    assert not RunSpec("baseline", "final", 1, 0.1, None, 2, off).fits(config)
    assert not spec.fits({})
