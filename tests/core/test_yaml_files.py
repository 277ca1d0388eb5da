"""YAML from anywhere is bounded, strict and never an object."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml

from netaug.cli import main
from netaug.core.errors import ConfigError
from netaug.core.yaml_files import MOST_BYTES, parse_value, parse_yaml, read_yaml

LETTERS = "abcdefghij"
ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in itertools.pairwise(LETTERS)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ALIASES, "too many values"),
        ("a: &a [1, *a]", "contains itself"),
        ("[" * 5000 + "]" * 5000, "values within values"),
        ("- " * 3000 + "x", "values within values"),
        ("".join("  " * level + f"k{level}:\n" for level in range(100)), "values within values"),
        ("a: 1\nb: 2\na: 3", "'a' is there twice"),
        ("x: {a: 1, b: {c: 1, c: 2}}", "'c' is there twice"),
        ("a: 1\n" * (MOST_BYTES // 4), "too long"),
        ("x: !!python/object/apply:os.system [id]", "not YAML"),
        ("x: 2001-99-99", "cannot be read"),
        ("x: !!int ''", "cannot be read"),
        ("x: !!bool maybe", "cannot be read"),
        ("x: !!timestamp soon", "cannot be read"),
        ("x: " + "9" * 5000, "cannot be read"),
        ("? {a: 1}\n: 2", "not YAML"),
        ("a: *nothing", "not YAML"),
        ("a: [4, 6", "not YAML"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_yaml(text, "the file")
    assert len(str(caught.value)) < 1000


def test_what_is_read() -> None:
    merged = (
        "a: &a {k: 1, l: 2}\nb: &b {<<: *a, k: 3}\nc: {<<: [*b, *a]}\nd: {e: &e {<<: *a, k: 4}}\nf: {<<: *e}"
    )
    found = parse_yaml(merged, "x")
    assert found["b"] == {"k": 3, "l": 2}
    assert found["c"]["l"] == 2
    assert found == yaml.safe_load(merged)
    names = parse_yaml("names: [" + ", ".join(f"class {number}" for number in range(2000)) + "]", "x")[
        "names"
    ]
    assert len(names) == 2000
    assert parse_value("[1e-3, 2020-01-01, .5, 1_000.0, -.inf]", "x")[:2] == [0.001, "2020-01-01"]
    assert parse_yaml("1e-3", "x") == "1e-3", "a YAML file is YAML 1.1"


def test_files_are_regular_and_short(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_bytes(b"#" * (MOST_BYTES + 1))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    for name in ("long.yaml", "bytes.yaml", "absent.yaml", "."):
        with pytest.raises(ConfigError):
            read_yaml(tmp_path / name)


@pytest.mark.parametrize(
    "words",
    [
        ["--model.options.channels", "[4, 6"],
        ["--model.options", "{a: "],
        ["--train.optimizer_options.betas", "[0.9"],
        ["--netaug.groups", ALIASES],
        ["--netaug.width", "[" * 3000],
        ["--train.lr", "{" * 2000],
        ["--train.threads", "100000"],
        ["--data.image_size", "30000"],
        ["--data.workers", "100000"],
    ],
)
def test_a_mistake_on_the_command_line_is_a_message(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "demo/digits", *words]) == 2
    said = capsys.readouterr().err
    assert "Error: " in said
    assert "Traceback" not in said
    assert len(said) < 5000


@pytest.mark.parametrize(
    "text",
    [
        "model: " + "[" * 5000 + "]" * 5000,
        ALIASES,
        "train: {lr: 0.1, lr: 0.2}",
        "train: {lr: 0.1}\ntrain: {epochs: 3}",
        "train: &t {optimizer_options: *t}",
        "netaug: {groups: '" + "&a [*a]" + "'}",
    ],
)
def test_a_hostile_recipe_is_a_message(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yaml").write_text(text)
    assert main(["train", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "run")]) == 2
    assert main(["compare", str(tmp_path / "r.yaml"), "--seeds", "1", "--out", str(tmp_path / "c")]) == 2
    assert "Traceback" not in capsys.readouterr().err
