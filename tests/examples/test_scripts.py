"""Each example is short, found from the README, and tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.watching import FOLDER

SCRIPTS = sorted(FOLDER.glob("*.py"))
TESTS = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))


def test_there_are_examples() -> None:
    assert len(SCRIPTS) >= 4


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_is_short_known_and_tested(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"](examples/{script.name})" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert f'load("{script.stem}")' in TESTS
    assert f"python examples/{script.name}" in text, "its first lines say how to run it"
