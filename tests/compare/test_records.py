"""Run folders are read as they are, also when a run was cut off."""

import json

import pytest

from netaug.compare.plan import RunSpec
from netaug.compare.records import epochs_logged, is_finished, read_config, read_record
from netaug.errors import RunFolderError

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
