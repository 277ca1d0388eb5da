"""A comparison deletes nothing but its own runs."""

import json

import pytest

from netaug.compare.ledger import Ledger
from netaug.core.errors import RunFolderError
from tests.compare.helpers import request


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="something other"):
        Ledger(request(tmp_path, overwrite=overwrite), {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunFolderError, match="is a file"):
        Ledger(request(tmp_path / "out", overwrite=True), {})


def test_an_empty_folder_is_fine(tmp_path):
    Ledger(request(tmp_path), {})
    assert json.loads((tmp_path / "compare.json").read_text())["request"]["recipe"] == "demo/fake"


def test_what_is_in_the_way_but_not_ours_is_refused(tmp_path):
    ledger = Ledger(request(tmp_path), {})
    (tmp_path / "netaug-seed0").mkdir()
    with pytest.raises(RunFolderError, match="in the way"):
        ledger.claim("netaug-seed0")
    assert (tmp_path / "netaug-seed0").is_dir()


def test_overwrite_removes_recorded_runs_only(tmp_path):
    ledger = Ledger(request(tmp_path), {})
    for name in ("netaug-seed0", "baseline-seed0"):
        ledger.claim(name).mkdir()
        (tmp_path / name / "config.yaml").write_text("{}")
    (tmp_path / "netaug-seed1").mkdir()
    (tmp_path / "netaug-seed1" / "config.yaml").write_text("{}")
    replaced = tmp_path / "baseline-seed0"  # since the comparison someone put other things there
    (replaced / "config.yaml").rename(replaced / "letters.txt")
    Ledger(request(tmp_path, overwrite=True), {})
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"compare.json", "netaug-seed1", "baseline-seed0"}


def test_overwrite_removes_the_teacher_that_a_run_trained_first(tmp_path):
    ledger = Ledger(request(tmp_path), {})
    ledger.claim("best-seed0").mkdir()
    for name in ("best-seed0-teacher", "best-seed0-others"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("{}")
    Ledger(request(tmp_path, overwrite=True), {})
    assert {entry.name for entry in tmp_path.iterdir()} == {"compare.json", "best-seed0-others"}


def test_a_run_whose_first_weights_still_compete_is_resumed(tmp_path):
    ledger = Ledger(request(tmp_path), {})
    folder = ledger.claim("best-seed0")
    folder.mkdir()
    assert not ledger.unfinished("best-seed0")
    (folder / "starts" / "3" / "checkpoints").mkdir(parents=True)
    (folder / "starts" / "3" / "checkpoints" / "000000022.ckpt").touch()
    assert ledger.unfinished("best-seed0")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"runs": ["../../home"], "request": {}, "long_epochs": {}}',
        '{"runs": [".."], "request": {}, "long_epochs": {}}',
        '{"runs": [7], "request": {}, "long_epochs": {}}',
    ],
)
def test_a_damaged_record_is_never_acted_on(tmp_path, text):
    (tmp_path / "compare.json").write_text(text)
    with pytest.raises(RunFolderError, match="cannot be read"):
        Ledger(request(tmp_path, overwrite=True), {})


def test_other_settings_are_another_comparison(tmp_path):
    asked = request(tmp_path)
    Ledger(asked, {"train": {"epochs": 1, "lr": 0.1}, "netaug": {"width": (1.0, 1.8)}})
    Ledger(asked, {"train": {"epochs": 1, "lr": 0.1}, "netaug": {"width": [1.0, 1.8]}})
    with pytest.raises(RunFolderError) as error:
        Ledger(asked, {"train": {"epochs": 2, "lr": 0.1}, "netaug": {"width": [1.0, 1.8]}})
    assert error.value.got == "train.epochs: 1 there, 2 now"


@pytest.mark.parametrize("finished", [False, True])
def test_discard_keeps_finished_runs(tmp_path, finished):
    ledger = Ledger(request(tmp_path / "out"), {})
    folder = ledger.claim("netaug-seed0")
    folder.mkdir()
    (folder / "config.yaml").write_text("{}")
    if finished:
        (folder / "summary.json").write_text("{}")
    ledger.discard()
    assert (tmp_path / "out").exists() == finished


def test_the_first_decision_on_epochs_stays(tmp_path):
    assert Ledger(request(tmp_path), {}).long_epochs("final", 12) == 12
    assert Ledger(request(tmp_path), {}).long_epochs("final", 14) == 12
    assert Ledger(request(tmp_path, overwrite=True), {}).long_epochs("final", 14) == 14


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunFolderError, match="cannot be created"):
        Ledger(request(tmp_path / "file" / "out"), {})


def test_a_stopped_comparison_says_what_is_kept(tmp_path):
    ledger = Ledger(request(tmp_path), {})
    for name in ("netaug-seed0", "baseline-seed0"):
        ledger.claim(name).mkdir()
    (tmp_path / "netaug-seed0" / "summary.json").write_text("{}")
    assert ledger.saved_so_far().startswith(f"stopped; 1 finished run is kept in {tmp_path}")


def test_a_setting_that_is_new_since_then_changes_nothing_with_its_default(tmp_path):
    Ledger(request(tmp_path), {"netaug": {"alpha": 1.0}})
    record = json.loads((tmp_path / "compare.json").read_text())
    del record["request"]["--nproc"]
    (tmp_path / "compare.json").write_text(json.dumps(record))
    Ledger(request(tmp_path), {"netaug": {"alpha": 1.0, "width": [1.0, 1.8, 2.6]}})
    with pytest.raises(RunFolderError, match=r"netaug\.draws"):
        Ledger(request(tmp_path), {"netaug": {"alpha": 1.0, "draws": 2}})
    with pytest.raises(RunFolderError, match=r"netaug\.alpha"):
        Ledger(request(tmp_path), {"netaug": {}})


def test_a_comparison_killed_at_its_first_stroke_can_begin_again(tmp_path):
    (tmp_path / ".compare.json.0123abcd.part").write_text("{")
    ledger = Ledger(request(tmp_path), {})
    (ledger.claim("netaug-seed0")).mkdir()
    (tmp_path / "netaug-seed0" / ".lock").write_text("process 1")  # and a run at its own
    assert not ledger.claim("netaug-seed0").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["compare.json"]


def test_a_run_folder_whose_removal_was_killed_is_not_in_the_way(tmp_path, monkeypatch):
    """What is left of it need not look like a run folder."""
    folder = Ledger(request(tmp_path), {}).claim("netaug-seed0")
    folder.mkdir()
    for name in ("config.yaml", "model.safetensors"):
        (folder / name).touch()

    def killed(path):
        (path / "config.yaml").unlink()
        raise KeyboardInterrupt

    again = Ledger(request(tmp_path), {})
    with monkeypatch.context() as patch:
        patch.setattr("netaug.compare.ledger.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            again.claim("netaug-seed0")
    assert not Ledger(request(tmp_path), {}).claim("netaug-seed0").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["compare.json"]
