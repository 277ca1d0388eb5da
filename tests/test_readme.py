"""What the README and the pages of the documentation show is run, or at least understood by the command line.

Python runs as it stands, page by page. Commands are read by the real parsers of the command line, and their settings by
the real configuration; those of the first training are also run, with one epoch and few images. The others need data
that is not here, or hours.
"""

from __future__ import annotations

import functools
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import netaug
from netaug.cli import COMMANDS, main
from netaug.commands import import_weights
from netaug.commands.arguments import described, parse
from netaug.commands.data import SUBCOMMANDS
from netaug.compare.planning import find_plan
from netaug.config.loading import load_config
from netaug.config.recipes import recipe_names

ROOT = Path(__file__).parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if path.name not in ("log.md", "coverage.md")  # what was run then, and a table
}


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```", PAGES[page], flags=re.DOTALL | re.MULTILINE)


def command_lines(text: str) -> list[list[str]]:
    """The words after `netaug` of each command, also behind torchrun and srun; a usage line is none."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        start = re.match(r"(?:srun |torchrun .*?-m )?netaug ", line)
        if start and "[--" not in line:
            found.append(shlex.split(line[start.end() :].partition(" > ")[0], comments=True))
    return found


COMMAND_LINES = {
    f"{page} netaug {' '.join(words)}": words
    for page in PAGES
    for language, block in blocks(page)
    if language in ("", "bash")
    for words in command_lines(block)
}


def what_is_yours() -> dict[str, Any]:
    """Names that pages take as given: a model, a batch, a loss, a place in the training."""
    torch.manual_seed(0)
    return {
        "netaug": netaug,
        "model": netaug.create_model("micronet", num_classes=10, in_chans=1),
        "images": torch.randn(2, 1, 8, 8),
        "example_input": torch.randn(2, 1, 8, 8),
        "labels": torch.tensor([1, 7]),
        "criterion": F.cross_entropy,
        "step": 0,
        "steps": 10,
        "total_steps": 1,
        "loader": [None, None],
        "train": lambda network: network.eval(),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(language == "python" for language, _ in blocks(page))]
)
def test_python_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some write run folders
    names = what_is_yours()
    for language, block in blocks(page):  # one after the other, as a reader would
        if language == "python":
            exec(compile(block, page, "exec"), names)
    model = names["model"]
    assert not isinstance(model, netaug.Supernet), "pages end with the plain network"
    assert isinstance(model, torch.nn.Module)


@functools.cache
def parser_of(command: str) -> Any:
    return described(importlib.import_module(f"netaug.commands.{re.sub('[ -]', '_', command)}").run)


@pytest.mark.parametrize("words", COMMAND_LINES.values(), ids=COMMAND_LINES)
def test_commands_exist_and_their_arguments_are_known(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for check in ("check_weights", "check_teacher"):  # pages name networks of the reader
        monkeypatch.setattr(f"netaug.commands.arguments.{check}", lambda path: None)
    command, *rest = words
    if words[0].startswith("--"):
        assert main(words) == 0
        return
    assert command in COMMANDS
    if command == "data":
        command, rest = f"data {rest[0]}", rest[1:]
        assert command.removeprefix("data ") in SUBCOMMANDS
    parser, allowed = parser_of(command)
    if command == "import-weights":  # it takes --model itself
        rest = import_weights._full_names(rest)
    arguments, given = parse(parser, rest, allowed)
    check_recipe(command, arguments, given)


def check_recipe(command: str, arguments: Any, given: list[str]) -> None:
    """A recipe or plan that a page names is there, and its settings fit together."""
    recipe = getattr(arguments, "what" if command == "compare" else "recipe", None)
    if (
        command not in ("train", "compare", "distill-cache")
        or recipe in (None, "my.yaml")
        or getattr(arguments, "list", False)
    ):
        return
    if command == "compare" and recipe not in recipe_names():
        assert find_plan(recipe, arguments.small)
        return
    assert recipe in recipe_names()
    load_config(recipe, given)


@pytest.mark.slow
def test_the_first_training_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    section = PAGES["docs/get-started.md"].partition("## The first training")[2].partition("```python")[0]
    lines = command_lines(section)
    assert len(lines) >= 8
    for words in lines:
        if words[0] == "train":
            words = [*words, "--epochs", "1", "--data.limit", "128"]
        assert main(words) == 0, capsys.readouterr().err
    assert (tmp_path / "runs" / "first" / "model.safetensors").is_file()
    assert len(list((tmp_path / "family").rglob("*.safetensors"))) == 3


def test_the_list_of_recipes_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert "demo/digits" in capsys.readouterr().out


def test_there_are_two_commands_to_set_up_and_they_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", blocks("README.md")[0][1], flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150
