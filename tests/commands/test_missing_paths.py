"""A path that does not exist is answered before torch is imported, which takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_RUNS_ALL = """
import contextlib, io, sys
from netaug.cli import main
for words in {words!r}:
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(words)
    print(code, "torch" in sys.modules, " ".join(said.getvalue().split()))
"""

_CASES = (
    ("eval runs/nosuch", "RunFolderError: there is no run folder or weights file 'runs/nosuch'."),
    ("eval empty", "RunFolderError: 'empty' contains no trained network."),
    ("eval runs/nosuch --resolution 96 128", "there is no run folder or weights file 'runs/nosuch'."),
    ("eval a.safetensors --data nodata", "DataError: there is no 'nodata'. got: in '.' there is: empty/"),
    ("predict runs/nosuch x.jpg", "there is no run folder or weights file 'runs/nosuch'."),
    ("extract runs/nosuch --widths widest --out x", "there is no run folder or weights file 'runs/nosuch'."),
    ("export runs/nosuch", "there is no run folder or weights file 'runs/nosuch'."),
    ("card runs/nosuch", "there is no run folder or weights file 'runs/nosuch'."),
    ("report runs/nosuch", "RunFolderError: there is nothing to report on in 'runs/nosuch'."),
    ("finetune --from runs/nosuch --data .", "there is no run folder or weights file 'runs/nosuch'."),
    ("finetune --from a.safetensors --data nodata", "DataError: there is no 'nodata'."),
    ("import-weights no.pth --model mcunet", "CheckpointError: there is no weights file 'no.pth'."),
    ("runs nosuch", "RunFolderError: there is no folder 'nosuch'."),
    ("train demo/digits --model.weights no.pth", "CheckpointError: there is no weights file 'no.pth'."),
    ("train demo/digits --distill.teacher runs/no", "ConfigError: there is no teacher 'runs/no'."),
    ("train --model micronet --data nodata", "DataError: there is no 'nodata'."),
    ("compare --model micronet --data nodata --seeds 1", "DataError: there is no 'nodata'."),
    ("data check --data nodata", "DataError: there is no 'nodata'."),
    ("train nosuch", "ConfigError: there is no recipe 'nosuch'."),
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bool, str]]:
    """Exit code, whether torch was imported until then, and the message of each command, of one process."""
    here = tmp_path_factory.mktemp("here")
    (here / "empty").mkdir()
    (here / "a.safetensors").touch()
    program = _RUNS_ALL.format(words=[words.split() for words, _ in _CASES])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=here, capture_output=True, text=True, check=True
    )
    rows = [line.split(" ", 2) for line in done.stdout.splitlines()]
    return [(code, imported == "True", message) for code, imported, message in rows]


@pytest.mark.parametrize("number", range(len(_CASES)), ids=[words for words, _ in _CASES])
def test_it_is_answered_at_once(answers: list[tuple[str, bool, str]], number: int) -> None:
    code, imported, message = answers[number]
    assert (code, imported) == ("2", False)
    assert _CASES[number][1] in message


def test_what_may_be_there_later_or_elsewhere_is_no_path_that_is_missing(tmp_path: Path) -> None:
    from netaug.core.existing import check_network, check_network_or_comparison, check_teacher, check_weights

    check_network("hf:user/name")
    check_weights("hf:user/name")
    for name in ("timm:resnet18", "wider:4", "mcunet", "pack/nets.py:Net"):
        check_teacher(name)
    (tmp_path / "compare.json").touch()
    check_network_or_comparison(str(tmp_path))
