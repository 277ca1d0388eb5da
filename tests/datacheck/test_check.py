"""`netaug data check` finds every kind of trouble in the files, names it, and ends with a code for scripts."""

from __future__ import annotations

import builtins
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netaug.cli import main
from netaug.data import published
from netaug.data.readers.packed.layout import PAYLOADS
from netaug.datacheck.report import KINDS
from tests.datacheck.kit import jpeg, motley, sound


def check(root: Path, *more: str, dataset: str = "folder") -> int:
    return main(
        [
            "data",
            "check",
            dataset,
            "--data.root",
            str(root),
            *more,
            *(() if "--model" in more else ("--no-speed",)),
        ]
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("motley")
    assert check(motley(folder / "data"), "--json", str(folder / "found.json")) == 1
    report: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return report


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"unreadable", "damaged"}))
def test_every_kind_is_found_where_it_is_and_nowhere_else(found: dict[str, Any], kind: str) -> None:
    files = {Path(item["name"]).stem for item in found["found"][kind]}
    expected = {
        "not_image": {"not_image", "not_image_empty"},
        "truncated": {"truncated", "truncated_end"},
        "grey": {"grey", "sixteen_bit"},
        "leaked": {"00"},
        "repeated": {"05"},
    }
    assert files == expected.get(kind, {kind})


def test_the_report_for_programs_is_whole(found: dict[str, Any]) -> None:
    assert found["complete"] is True
    assert found["looked_at"] == found["images"] == 26
    train, val = found["splits"]
    assert (train["split"], train["images"], train["per_class"]) == ("train", 21, {"cat": 15, "dog": 6})
    assert (val["split"], val["images"], val["published"]) == ("val", 5, None)
    assert found["problems"] == 8
    details = {name: items[0]["detail"] for name, items in found["found"].items() if items}
    assert "50,000 x 50,000 pixels" in details["oversized"]
    assert "leaked.jpg' (val)" in details["leaked"]


def test_people_get_counts_names_and_advice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = motley(tmp_path)
    assert check(root) == 1
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert ["train", "21", "-", "6", "10", "15"] in rows
    assert ["val", "5", "-", "2", "2", "3"] in rows
    assert f"{root / 'train/cat/oversized.png'}  50,000 x 50,000 pixels" in text
    assert "`--data.on_error skip` trains without them" in text
    assert text.endswith("\n8 problems\n")


def test_a_sound_dataset_is_called_sound(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check(sound(tmp_path)) == 0
    assert "sound: 12 of 12 images looked at, no problems" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["digits", "folder", "cifar10"])
def test_counts_are_compared_with_the_published_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    root = [] if name == "digits" else ["--data.root", str(sound(tmp_path))]
    code = main(["data", "check", name, *root, "--no-speed"])
    text = capsys.readouterr().out
    if name == "cifar10":
        assert code == 1
        assert "PROBLEM  2 classes instead of the published 10" in text
        assert "PROBLEM  train: 8 images instead of the published 50,000, 49,992 missing" in text
    else:
        assert code == 0, text
        facts = published(name)
        assert facts is None or f"{facts.train:,}" in text


def test_a_packed_dataset_is_checked_by_its_checksums(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root, out = sound(tmp_path / "data"), tmp_path / "packed"
    assert (
        main(
            ["data", "pack", "folder", "--data.root", str(root), "--out", str(out), "--encoding", "original"]
        )
        == 0
    )
    assert check(out, dataset="packed") == 0
    content = bytearray((out / PAYLOADS).read_bytes())
    content[len(jpeg(0)) // 2] ^= 255
    (out / PAYLOADS).write_bytes(content)
    capsys.readouterr()
    assert check(out, dataset="packed") == 1
    assert "1 differ from their checksum" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_a_finding(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sound(tmp_path)
    real = builtins.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> Any:
        if str(path).endswith("02.jpg"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", refuse)  # the superuser may read everything
    assert check(root) == 1
    text = capsys.readouterr().out
    assert "1 cannot be read" in text
    assert f"{root / 'train/cat/02.jpg'}  Permission denied" in text


@pytest.mark.slow
def test_ctrl_c_shows_what_was_found_so_far(tmp_path: Path) -> None:
    root = motley(tmp_path / "data")
    code = (
        "import os, signal, sys; from netaug.cli import main; from netaug.datacheck import scan\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job would ignore it
        "real, seen = scan._note, []\n"
        "def note(*a):\n"
        "    real(*a); seen.append(1)\n"
        f"    if len(seen) == 20: os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        "scan._note = note\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    json_file = tmp_path / "found.json"
    words = ["data", "check", "folder", "--data.root", str(root), "--json", str(json_file)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "stopped: 20 of 26 images were looked at" in done.stdout
    assert "50,000 x 50,000" in done.stdout
    assert "Traceback" not in done.stderr
    report = json.loads(json_file.read_text())
    assert (report["complete"], report["looked_at"]) == (False, 20)


@pytest.mark.slow
def test_it_says_how_fast_a_core_is_and_what_limits(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--model", "micronet", "--data.image_size", "16", "--data.augment", "imagenet"]
    assert check(sound(tmp_path), *words, "--json", str(tmp_path / "found.json")) == 0
    text = capsys.readouterr().out
    assert "images/s of 16x16, augment imagenet" in text
    assert "with NetAug (base + wider network)" in text
    assert "limits:" in text
    speed = json.loads((tmp_path / "found.json").read_text())["speed"]
    assert min(speed["delivered"], speed["base"], speed["netaug"]) > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "which dataset is meant"),
        (["check", "foldr"], "no dataset of this name"),
        (["check", "folder"], "needs a folder on disk"),
        (["check", "digits", "--model", "mcunett"], "mcunet"),
        (["check", "digits", "--jobs", "-1"], "--jobs is out of range"),
        (
            ["check", "digits", "--json", "no/such/folder/x.json"],
            "--json 'no/such/folder/x.json' cannot be written",
        ),
        (["check", "digits", "--train.lr", "1"], "has no effect on `netaug data check`"),
        (["chekc"], "did you mean `netaug data check`"),
    ],
)
def test_mistakes_are_messages(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert main(["data", *words]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""


def test_it_runs_in_as_many_threads_as_asked_with_the_same_result(tmp_path: Path) -> None:
    root = motley(tmp_path / "data")
    for jobs in ("1", "3"):
        check(root, "--jobs", jobs, "--json", str(tmp_path / f"{jobs}.json"))
    assert (tmp_path / "1.json").read_text() == (tmp_path / "3.json").read_text()
    assert os.listdir(root)
