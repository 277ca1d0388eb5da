"""The notebooks run from top to bottom, with one epoch; what they printed and drew is stored in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from tests.examples.watching import FOLDER

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["own_images", "own_loop"]


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown: list[int] = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()) or plt.close("all"))
    names: dict[str, object] = {}
    fewer = 0
    for cell in code_cells(notebook):
        code, count = re.subn(
            r"(\bepochs\b.*= .*?)\b(12|20)$", r"\g<1>1", "".join(cell["source"]), flags=re.M
        )
        fewer += count
        exec(compile(code, notebook.name, "exec"), names)
    assert fewer == 1, "one line says how many epochs there are"
    pictures = [output for cell in code_cells(notebook) for output in cell["outputs"] if is_picture(output)]
    assert len(shown) == len(pictures) >= 2


def is_picture(output: dict[str, Any]) -> bool:
    return "image/png" in output.get("data", {})


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_stored_as_it_ran(notebook: Path) -> None:
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert "error" not in kinds
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert f"](examples/{notebook.name})" in readme
