"""What the README shows is run, or at least understood by the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from netaug.cli import COMMANDS, main
from netaug.compare.planning import find_plan
from netaug.config.loading import load_config
from netaug.config.recipes import recipe_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMAND_LINES = [
    shlex.split(line, comments=True)
    for _, block in BLOCKS
    for line in block.splitlines()
    if line.startswith("netaug ")
]


@pytest.mark.slow
def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # one of them writes a run folder
    examples = [block for language, block in BLOCKS if language == "python"]
    assert examples
    names: dict[str, object] = {}  # one after the other, as a reader would
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
        assert type(names["model"]).__module__.startswith("netaug.models")


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_commands_exist_and_their_settings_are_known(words: list[str]) -> None:
    _, command, *rest = words
    assert command in COMMANDS
    if "--data" in rest:  # without a recipe
        assert rest[0] in ("--model", "--data")
        return
    if command == "compare" and rest[0] != "--list":
        assert rest[0] in recipe_names() or find_plan(rest[0], "--small" in rest)
    if command == "train" or (command == "compare" and rest[0] in recipe_names()):
        assert rest[0] in recipe_names()
        dotted = [i for i, word in enumerate(rest) if word.startswith("--") and "." in word]
        load_config(rest[0], [f"{rest[i]}={rest[i + 1]}" for i in dotted])


def test_the_list_of_recipes_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert "demo/digits" in capsys.readouterr().out


def test_there_are_two_commands_to_set_up_and_they_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", BLOCKS[0][1], flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
