"""Run folders are read as they are, also when a run was cut off."""

import json

import pytest

from netaug.compare.records import epochs_logged, is_finished, read_config, read_record
from netaug.compare.run_specs import RunSpec
from netaug.core.errors import RunFolderError

SPEC = RunSpec("netaug", "final", 0, None, None, 1)
LINE = {"epoch": 0, "train_top1": 50.0, "val_top1": None, "seconds": 2.0}


def test_the_curve_of_a_killed_run_ends_at_its_last_whole_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(LINE) + '\n{"epoch": 1, "train')
    record = read_record(SPEC, tmp_path)
    assert [epoch.seconds for epoch in record.curve] == [2.0]
    assert record.status == "failed"
    assert epochs_logged(tmp_path) == 1
    assert not is_finished(SPEC, tmp_path)


def test_a_folder_that_is_not_there_reads_as_nothing(tmp_path):
    assert read_config(tmp_path / "no") == {}
    assert epochs_logged(tmp_path / "no") == 0
    assert read_record(SPEC, tmp_path / "no").curve == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"epochs": 3}'])
def test_a_damaged_summary_is_named(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"summary\.json"):
        read_record(SPEC, tmp_path)


SUMMARY = {
    "epochs": 1,
    "val_loss": 1.0,
    "train_loss": 2.0,
    "train_seconds": 2.0,
    "train_macs": 5,
    "params": 1,
}
SUMMARY |= {"macs": 2, "val_split": "val", "val_top1": None, "train_top1": None}


@pytest.mark.parametrize("said", [{}, {"score": "ap50", "val_metrics": {"ap50": 31.0}}])
def test_a_detector_is_judged_by_its_own_metric(tmp_path, said):
    """Also where only the lines of its epochs name it."""
    line = {**LINE, "train_top1": None, "score": "ap50", "train_loss": 2.0}
    epochs = [{**line, "val_metrics": {}}, {**line, "epoch": 1, "val_metrics": {"ap50": 31.0, "ap": 12.0}}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY | said))
    record = read_record(SPEC, tmp_path)
    assert [epoch.val_score for epoch in record.curve] == [None, 31.0]
    assert record.summary is not None
    assert (record.summary.score, record.summary.val_score, record.summary.train_score) == (
        "ap50",
        31.0,
        None,
    )
