"""A detector goes to a device as a classifier does: judged by its average precision, with boxes of the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netaug
from netaug.api.export import Exported
from netaug.cli import main
from netaug.export.micro.evaluator import find_compiler
from netaug.weights.metadata import save_weights
from tests.data.detection.making import small_voc
from tests.export.conversions import DETECTOR, detector

pytestmark = pytest.mark.slow
FORMATS = ("tflite-int8", "micro", "torch")


@dataclass
class Case:
    """A weights file of a detector, its data, and its export."""

    weights: Path
    root: Path
    exported: Exported


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A small detector in all formats that need no ONNX."""
    folder = tmp_path_factory.mktemp("detector")
    weights, root = folder / "detector.safetensors", small_voc(folder / "voc")
    save_weights(weights, detector(), DETECTOR)
    data = {"name": "voc", "root": str(root)}
    return Case(weights, root, netaug.export(weights, FORMATS, out=folder / "out", check="all", data=data))


def test_every_form_is_judged_by_its_average_precision(case: Case) -> None:
    ladder = case.exported.ladder
    trained, folded, reference, *others = ladder.rungs
    assert (ladder.score, ladder.images) == ("ap50", 5)
    assert all(rung.same is None for rung in ladder.rungs)
    assert folded.metrics == pytest.approx(trained.metrics, rel=1e-3)
    assert reference.metrics["loss"] == pytest.approx(trained.metrics["loss"], rel=0.1)
    assert reference.metrics["loss"] != trained.metrics["loss"]
    values = 5 * 3 * (5 + 2) * (12**2 + 6**2 + 3**2)
    compared = {rung.name: rung.values for rung in others}
    assert compared == {"int8, generated C": values if find_compiler() else 0, "torch.export, float32": 0}
    assert "AP50 on 5 val images of voc, 96 pixels" in ladder.describe()[0]


def test_values_of_all_three_maps_are_compared_in_the_runtimes(case: Case) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    equal = [check for check in case.exported.ladder.checks if "values of 5 images equal" in check]
    assert len(equal) == 2


def _answer(folder: Path, picture: Path) -> list[tuple[Any, ...]]:
    space: dict[str, Any] = {"__file__": str(folder / "predict.py"), "__name__": "predict"}
    exec(compile((folder / "predict.py").read_text(encoding="utf-8"), "predict.py", "exec"), space)
    rows: list[tuple[Any, ...]] = space["answer"](picture)
    return rows


def test_predict_finds_what_netaug_finds(case: Case, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (72, 96, 3), np.uint8)).save(picture)
    (expected,) = netaug.predict(case.weights, picture)  # 96 pixels wide: nothing is scaled
    rows = _answer(case.exported.folder / "torch", picture)
    assert len(rows) > 5
    ours = [[100 * score, *box] for _, _, score, *box in expected.rows_K7.tolist()]
    theirs = [[percent, *box] for percent, _, *box in rows[: len(ours)]]
    np.testing.assert_allclose(sorted(theirs), sorted(ours), rtol=1e-3, atol=0.02)


def test_both_int8_formats_find_the_same(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    if find_compiler() is None:
        pytest.skip("no C compiler on this machine")
    picture = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 64, 3), np.uint8)).save(picture)
    found = [_answer(case.exported.folder / name, picture) for name in ("micro", "tflite-int8")]
    assert len(found[0]) > 5
    assert found[0] == found[1]


def test_sides_that_a_detector_cannot_have_are_refused(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(case.weights), "--resolution", "100", "--out", str(tmp_path / "x")]
    assert main([*words, "--data.name", "voc", "--data.root", str(case.root)]) == 2
    assert "multiples of 32" in capsys.readouterr().err
