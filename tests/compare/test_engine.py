"""A comparison from request to files, with a fake train command."""

import csv
import json

import pytest

from netaug.compare import compare
from netaug.compare.engine import best_rates
from netaug.core.errors import ConfigError, RunFolderError, TrainingError
from tests.compare.helpers import record, request, run_fake


def rows_of(out):
    with (out / "compare.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_three_arms_at_equal_epochs_and_equal_time(tmp_path):
    comparison, _ = run_fake(request(tmp_path / "out"))
    epochs = {row.arm: (row.epochs, row.train_seconds, row.n) for row in comparison.rows}
    assert epochs == {"baseline": (4, 4.0, 2), "netaug": (4, 10.0, 2), "baseline-long": (10, 10.0, 2)}
    netaug = comparison.row("netaug")
    assert netaug is not None
    assert netaug.vs_baseline is not None
    assert netaug.vs_baseline.by_seed == pytest.approx({0: 2.0, 1: 2.25})
    assert comparison.settings["netaug"]["enabled"] is True
    assert comparison.environment["torch"] == "9.9"


def test_files_hold_every_run(tmp_path):
    out = tmp_path / "out"
    run_fake(request(out))
    rows = rows_of(out)
    assert len(rows) == 6
    assert set(rows[0]) == {
        *("arm", "phase", "seed", "lr", "epochs", "val_top1", "train_top1", "val_loss", "train_loss"),
        *("train_seconds", "train_macs", "params", "macs", "val_split", "status", "val_mean_per_class"),
    }
    first = next(row for row in rows if row["arm"] == "netaug" and row["seed"] == "1")
    summary = json.loads((out / "netaug-seed1" / "summary.json").read_text())
    assert float(first["val_top1"]) == summary["val_top1"]
    assert (first["phase"], first["lr"], first["val_split"], first["status"]) == ("final", "0.1", "val", "ok")
    table = (out / "table.txt").read_text(encoding="utf-8")
    assert "baseline-long" in table
    assert "412 parameters, 23.1 k MACs" in table
    assert (out / "report.html").stat().st_size > 10_000


def test_each_arm_gets_the_rate_that_is_best_on_held_out_images(tmp_path):
    out = tmp_path / "out"
    comparison, _ = run_fake(request(out, seeds=1, lrs=(0.05, 0.1, 0.2)))
    assert {row.arm: row.lr for row in comparison.rows} == {
        "baseline": 0.1,
        "netaug": 0.2,
        "baseline-long": 0.1,
    }
    rows = rows_of(out)
    tuning = [row for row in rows if row["phase"] == "tune"]
    assert len(tuning) == 9
    assert {row["val_split"] for row in tuning} == {"holdout"}
    assert {row["val_split"] for row in rows if row["phase"] == "final"} == {"val"}


def test_best_rate_skips_failed_runs():
    runs = [record("netaug", 0, 71.0, lr=0.1), record("netaug", 0, None, lr=0.2), record("baseline", 0, None)]
    assert best_rates(runs) == {"netaug": 0.1}


def test_the_same_command_again_trains_nothing_twice(tmp_path):
    out = tmp_path / "out"
    first, _ = run_fake(request(out))
    when = (out / "netaug-seed0" / "summary.json").stat().st_mtime_ns
    again, text = run_fake(request(out))
    assert text.count("finished before, kept") == 6
    assert (out / "netaug-seed0" / "summary.json").stat().st_mtime_ns == when
    assert again.rows == first.rows


def test_a_killed_comparison_continues(tmp_path):
    out = tmp_path / "out"
    whole, _ = run_fake(request(out))
    (out / "baseline-seed1" / "summary.json").unlink()  # a run that was killed midway
    (out / "baseline-long-seed0" / "config.yaml").write_text("train: {epochs: 99}")  # not what is asked for
    again, text = run_fake(request(out))
    assert text.count("finished before, kept") == 4
    assert again.rows == whole.rows


def test_seeds_can_be_added(tmp_path):
    out = tmp_path / "out"
    run_fake(request(out, seeds=1))
    more, text = run_fake(request(out, seeds=2))
    assert text.count("finished before, kept") == 3
    assert [row.n for row in more.rows] == [2, 2, 2]


def test_a_failing_run_is_reported_and_the_others_go_on(tmp_path):
    comparison, text = run_fake(request(tmp_path / "out", "--fake.fail=netaug:1"))
    assert "netaug seed 1: failed" in text
    assert "TrainingError: the loss is not finite." in text
    assert "netaug-seed1.log" in text.replace("\n", "")
    netaug = comparison.row("netaug")
    assert netaug is not None
    assert (netaug.n, netaug.failed) == (1, 1)
    assert "1 (1 failed)" in (tmp_path / "out" / "table.txt").read_text(encoding="utf-8")
    statuses = [(row["arm"], row["seed"]) for row in rows_of(tmp_path / "out") if row["status"] == "failed"]
    assert statuses == [("netaug", "1")]


def test_all_runs_failing_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="it broke"):
        run_fake(request(tmp_path / "out", "--fake.crash=1"))


def test_a_wrong_recipe_says_so_once_in_its_own_words(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError) as error:
        run_fake(request(out, "--fake.refuse=1"))
    assert error.value.report() == "ConfigError: there is no such recipe.\n  got:     demo/fake"
    assert not out.exists()  # so that the mended command can use it


def test_tuning_on_the_images_it_is_judged_by_is_refused(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("data: {holdout: 0.2}")
    with pytest.raises(ConfigError, match="holds out"):
        compare(request(tmp_path / "out", recipe=str(recipe), lrs=(0.1, 0.2)))


def test_a_wrong_recipe_does_not_cost_the_earlier_comparison(tmp_path):
    out = tmp_path / "out"
    run_fake(request(out, seeds=1))
    with pytest.raises(ConfigError, match="no recipe"):
        compare(request(out, recipe="demo/nope", overwrite=True))
    assert (out / "netaug-seed0" / "summary.json").exists()


def test_another_comparison_is_not_mixed_in(tmp_path):
    out = tmp_path / "out"
    run_fake(request(out, seeds=1))
    with pytest.raises(RunFolderError, match=r"other settings(.|\n)*model\.name"):
        run_fake(request(out, "--model.name=other", seeds=1))
    (out / "notes.md").write_text("mine")
    _, text = run_fake(request(out, "--model.name=other", seeds=1, overwrite=True))
    assert "kept" not in text
    assert (out / "notes.md").read_text() == "mine"


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(tmp_path, monkeypatch):
    out = tmp_path / "out"
    run_fake(request(out, seeds=1))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("netaug.compare.board.Board.reused", stop)
    with pytest.raises(KeyboardInterrupt, match=r"stopped; 3 finished runs are kept in .*same command"):
        run_fake(request(out, seeds=1))


def test_what_every_run_warns_of_is_shown_once(tmp_path):
    _, text = run_fake(request(tmp_path / "out", "--fake.warn=1"))
    assert text.count("WARNING: left out 3 images") == 1
