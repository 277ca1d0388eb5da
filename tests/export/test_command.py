"""`netaug export`: from a weights file or a run to checked folders, programs that need no netaug, and messages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import netaug
from netaug.cli import main
from netaug.core.errors import ModelError, NetaugError, RunFolderError
from netaug.data import load_image
from netaug.data.batch import Normalizer
from netaug.export.conversion import Conversion
from netaug.export.delivery import deliver
from netaug.export.formats import find_format
from netaug.export.graph import ExportError
from netaug.export.micro.evaluator import find_compiler
from netaug.export.programs import preprocessing, program
from tests.export.conversions import CARD, conversion_of_images, digits_network, digits_weights

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler on this machine")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for digits."""
    return digits_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export of all formats that are installed."""
    out = tmp_path_factory.mktemp("export") / "all"
    words = ["--to", *_installed(), "--calibrate", "64", "--check", "100", "--data.name", "digits"]
    assert main(["export", str(weights), *words, "--out", str(out)]) == 0
    return out


def _installed() -> list[str]:
    formats = ["tflite-int8", "micro", "torch"]
    try:
        find_format("onnx")
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        return formats
    return [*formats, "onnx", "onnx-int8"]


def _program(folder: Path) -> dict[str, Any]:
    """What a predict.py defines, loaded here, so that no process has to import torch again."""
    script = (folder / "predict.py").read_text(encoding="utf-8")
    space: dict[str, Any] = {"__file__": str(folder / "predict.py"), "__name__": "predict"}
    exec(compile(script, "predict.py", "exec"), space)
    return space


def _message(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["export", *words]) == 2
    return capsys.readouterr().err


def test_the_ladder_has_every_form(exported: Path) -> None:
    ladder = json.loads((exported / "ladder.json").read_text(encoding="utf-8"))
    rungs = {rung["name"]: rung for rung in ladder["rungs"]}
    assert (ladder["images"], ladder["split"], ladder["dataset"]) == (100, "test", "digits")
    assert rungs["batch norms folded, float32"]["same"] == 100
    assert 0 < rungs["batch norms folded, float32"]["max_difference"] < 1e-5
    assert rungs["int8, NumPy reference"]["same"] > 80
    assert rungs["int8, NumPy reference"]["values"] == 0  # it is what others are compared with
    assert rungs["torch.export, float32"]["same"] == 100
    if find_compiler():
        assert rungs["int8, generated C"]["values"] == 1000
        assert rungs["int8, generated C"]["metrics"] == rungs["int8, NumPy reference"]["metrics"]
    readme = (exported / "README.md").read_text(encoding="utf-8")
    assert "Written by `netaug export " in readme
    assert all(name in readme for name in rungs)


def test_the_memory_is_that_of_the_files(exported: Path) -> None:
    ladder = json.loads((exported / "ladder.json").read_text(encoding="utf-8"))
    memory = {item["name"]: item for item in ladder["memory"]}
    assert memory["tflite-micro"]["flash"] == (exported / "tflite-int8" / "model.tflite").stat().st_size
    header = (exported / "micro" / "net.h").read_text(encoding="utf-8")
    assert f" {memory['generated C']['sram']}" in header


@pytest.mark.parametrize("name", ["torch", "onnx", "onnx-int8"])
def test_predict_answers_as_netaug_does(exported: Path, weights: Path, tmp_path: Path, name: str) -> None:
    if name not in _installed():
        pytest.skip("onnxruntime is not installed")
    picture = tmp_path / "picture.png"
    Image.effect_noise((8, 8), 90).save(picture)
    (prediction,) = netaug.predict(weights, picture)
    theirs = {label: percent for percent, label in _program(exported / name)["answer"](picture)}
    tolerance = 5 if name == "onnx-int8" else 0.01
    for label, probability in prediction.classes[:3]:
        assert abs(theirs.get(label, 0) - 100 * probability) < tolerance


@needs_compiler
def test_predict_of_both_int8_formats_agree(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    picture = tmp_path / "picture.png"
    Image.effect_noise((30, 20), 90).save(picture)
    words = [sys.executable, exported / "micro" / "predict.py", picture]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    expected = _program(exported / "tflite-int8")["answer"](picture)
    assert printed == "".join(f"{percent:5.1f} %  {label}\n" for percent, label in expected)


@pytest.mark.parametrize(("crop_ratio", "size"), [(1.0, (40, 31)), (0.875, (40, 31)), (0.875, (24, 50))])
def test_the_preprocessing_of_predict_is_that_of_netaug(
    tmp_path: Path, crop_ratio: float, size: tuple[int, int]
) -> None:
    stats = {"mean": (0.4, 0.5, 0.6), "std": (0.2,) * 3}
    card = replace(CARD, in_chans=3, image_size=16, crop_ratio=crop_ratio, **stats)
    picture = tmp_path / "picture.png"
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(picture)
    conversion = replace(conversion_of_images(nn.Identity()), card=card)
    (tmp_path / "preprocessing.json").write_text(json.dumps(preprocessing(conversion)), encoding="utf-8")
    (tmp_path / "predict.py").write_text(program(conversion, "", "numpy"), encoding="utf-8")
    theirs_HWC = _program(tmp_path)["read_image"](picture)
    normalizer = Normalizer(card.mean, card.std, torch.device("cpu"), channels_last=False)
    ours_HWC = normalizer(load_image(picture, card))[0].permute(1, 2, 0).numpy()
    # Pillow and torch may round a scaled pixel to neighboring bytes
    assert np.abs(theirs_HWC - ours_HWC).max() < 1.01 / 255 / 0.2


def test_python_exports_another_resolution(weights: Path, tmp_path: Path) -> None:
    exported = netaug.export(
        weights,
        "tflite-int8",
        out=tmp_path / "wide",
        resolution=16,
        calibrate=32,
        range=99.9,
        check=10,
        data={"name": "digits"},
    )
    assert exported.ladder.side == 16
    options = "--to tflite-int8 --resolution 16 --calibrate 32 --range 99.9 --check 10 --data.name=digits"
    assert f"{weights} {options}`" in (tmp_path / "wide" / "README.md").read_text(encoding="utf-8")
    assert exported.ladder.images == 10
    assert [item.name for item in exported.ladder.memory] == ["tflite-micro", "generated C"]
    assert json.loads((tmp_path / "wide/tflite-int8/preprocessing.json").read_text())["image_size"] == 16


@pytest.mark.slow
def test_a_run_needs_no_further_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--data.limit", "192", "--train.epochs", "2", "--train.threads", "1", "--out", "run"]
    assert main(["train", "demo/digits", *words]) == 0
    assert main(["export", "run", "--to", "tflite-int8", "--check", "all"]) == 0
    ladder = json.loads(Path("run-export/ladder.json").read_text(encoding="utf-8"))
    assert ladder["images"] == 359
    assert main(["extract", "run", "--widths", "widest", "--out", "widest.safetensors"]) == 0
    assert main(["export", "widest.safetensors", "--to", "micro", "--data.name", "digits"]) == 0
    wide = json.loads(Path("widest-export/ladder.json").read_text(encoding="utf-8"))
    assert wide["macs"] > ladder["macs"]
    page = Path("run-export/ladder.html").read_text(encoding="utf-8")
    assert "int8, NumPy reference" in page
    assert f"{ladder['macs']:,} MACs" in page.replace("\u00a0", " ")
    assert main(["report", "run"]) == 0
    links = re.findall(r'<a href="([^"]*)"', Path("run/report.html").read_text(encoding="utf-8"))
    assert links == ["../run-export/ladder.html"]  # the other export is of a weights file
    assert (Path("run") / links[0]).is_file()
    with Path("run/exports.jsonl").open("a") as file:
        file.write('{"folder": 3}\nnull\n{"folder": "../nowhere", "command": ""}\n\x00')
    assert main(["report", "run"]) == 0
    assert Path("run/report.html").read_text(encoding="utf-8").count("<a href=") == 1


def test_an_existing_folder_is_refused(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note").write_text("mine")
    message = _message(capsys, str(weights), "--out", str(tmp_path), "--data.name", "digits")
    assert "exists already; nothing is overwritten" in message
    assert [entry.name for entry in tmp_path.iterdir()] == ["note"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "tflit-int8"], "there is no format 'tflit-int8'(?s:.*)did you mean --to tflite-int8"),
        (["--calibrate", "0"], "--calibrate is out of range"),
        (["--range", "40"], "--range is out of range"),
        (["--range", "most"], "--range is out of range"),
        (["--check", "some"], "--check is out of range(?s:.*)or all"),
        (["--resolution", "-3"], "--resolution is out of range"),
        ([], "does not say what to evaluate on"),
    ],
)
def test_mistakes_are_named(
    weights: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert re.search(message, _message(capsys, str(weights), *words))


def test_a_network_that_does_not_fit_is_refused_before_it_is_converted(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(weights), "--out", str(tmp_path / "x"), "--data.name", "digits", "--resolution", "32"]
    message = _message(capsys, *words, "--sram", "2500")
    assert "does not fit, the network needs" in message
    assert "at stages.0" in message
    assert "--resolution 16 needs" in message
    assert "--board" not in _message(capsys, *words, "--sram", "4MB", "--flash", "500")
    assert "did you mean nucleo-f446re" in _message(capsys, *words, "--board", "nucleo-f446")
    assert not list(tmp_path.iterdir())


def test_a_resolution_that_the_network_cannot_take(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pixels"):
        netaug.export(weights, resolution=1, out=tmp_path / "x", data={"name": "digits"})
    assert not list(tmp_path.iterdir())


class _Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 3)
        self.strange = nn.Softsign()

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.strange(self.conv(images_NCHW)).mean((2, 3))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_an_unknown_operator_is_named_with_its_layer(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="strange"):
        deliver(conversion_of_images(_Odd()), ["tflite-int8"], tmp_path, "")


def test_float_formats_take_unknown_operators(tmp_path: Path) -> None:
    ladder = deliver(conversion_of_images(_Odd()), ["torch"], tmp_path, "")
    assert [rung.name for rung in ladder.rungs] == ["trained network, float32", "torch.export, float32"]


def test_a_runtime_with_other_sigmoids_is_said_and_others_must_be_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netaug.export.formats import tflite_int8

    class Runtime:
        name, module = "another runtime", "json"

        def run(self, file: bytes, images_NHWC: np.ndarray, count: int) -> np.ndarray:
            return np.full((len(images_NHWC), 10), 99, np.int8)

    monkeypatch.setattr(tflite_int8, "LITERT", Runtime())
    gated = nn.Sequential(nn.Conv2d(1, 10, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    ladder = deliver(conversion_of_images(gated), ["tflite-int8"], _made(tmp_path / "gated"), "")
    assert re.search(
        r"another runtime: \d+ of 40 values differ, by its rounding of sigmoids", str(ladder.checks)
    )
    with pytest.raises(ExportError, match="another runtime differs"):
        deliver(conversion_of_images(digits_network()), ["tflite-int8"], _made(tmp_path / "digits"), "")


@pytest.mark.parametrize("format_name", ["tflite-int8", "micro"])
def test_no_images_to_calibrate_on(tmp_path: Path, format_name: str) -> None:
    with pytest.raises(ExportError, match="no images to measure ranges on"):
        deliver(conversion_of_images(digits_network(), calibration=0), [format_name], tmp_path, "")


def test_no_images_to_check_on(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no images to check"):
        deliver(conversion_of_images(digits_network(), evaluation=0), ["tflite-int8"], tmp_path, "")


def test_ranges_that_are_not_finite_name_the_layer(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        next(network.parameters()).fill_(3e38)  # finite, but the sums of a convolution are not
    with pytest.raises(
        ExportError, match=r"layer '.*' gave a non-finite value(?s:.*)weights up to 3\.0e\+38(?s:.*)earlier"
    ):
        deliver(conversion_of_images(network), ["tflite-int8"], tmp_path, "")


def test_a_missing_compiler_and_runtime_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netaug.export.micro.generate.find_compiler", lambda: None)
    monkeypatch.setattr("netaug.export.formats.micro.find_compiler", lambda: None)
    for name in ("tflite_micro.python.tflite_micro.runtime", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    text = "\n".join(
        deliver(conversion_of_images(digits_network()), ["tflite-int8", "micro"], tmp_path, "").describe()
    )
    assert "generated C: not run, there is no C compiler" in text
    assert "not run in tflite-micro: not installed (pip install 'netaug[micro]')" in text
    assert "not run in LiteRT's reference kernels: not installed" in text


def test_a_missing_onnx_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"pip install 'netaug\[onnx\]'"):
        deliver(conversion_of_images(digits_network()), ["onnx"], tmp_path, "")


def test_a_failed_check_leaves_nothing_behind(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: Conversion, images_NCHW: Tensor) -> np.ndarray:
        return np.zeros((len(images_NCHW), 10), np.int8)

    monkeypatch.setattr(Conversion, "reference", wrong)
    with pytest.raises(NetaugError, match="differs from the"):
        netaug.export(weights, "tflite-int8", out=tmp_path / "new", check=8, data={"name": "digits"})
    assert not list(tmp_path.iterdir())


def test_another_process_at_the_same_folder(weights: Path, tmp_path: Path) -> None:
    from netaug.core.whole_folder import new_folder

    with (
        new_folder(tmp_path / "out", "exporting"),
        pytest.raises(RunFolderError, match="another process is exporting"),
    ):
        netaug.export(weights, "torch", out=tmp_path / "out", data={"name": "digits"})
