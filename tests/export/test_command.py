"""`netaug export`: from a weights file or a run to checked folders, programs that need no netaug, and messages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import netaug
from netaug.cli import main
from netaug.core.errors import ConfigError, ModelError, NetaugError, RunFolderError
from netaug.export.conversion import Conversion
from netaug.export.delivery import deliver
from netaug.export.formats import find_format
from netaug.export.graph import ExportError
from netaug.export.micro.evaluator import find_compiler
from netaug.weights.metadata import ModelCard, save_weights

NAMES = tuple(str(digit) for digit in range(10))
CARD = ModelCard(
    name="micronet",
    options={},
    num_classes=10,
    in_chans=1,
    class_names=NAMES,
    image_size=8,
    mean=(0.3,),
    std=(0.37,),
    crop_ratio=1.0,
    top1=None,
    val_split="test",
    netaug_version=netaug.__version__,
)
needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler on this machine")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for digits with fresh weights and moved statistics."""
    torch.manual_seed(0)
    network = netaug.create_model("micronet", num_classes=10, in_chans=1).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_weights(path, network, CARD)
    return path


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


def _probabilities(folder: Path, picture: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, folder / "predict.py", picture],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder.parent,
    )
    rows = [line.split(" %  ") for line in done.stdout.splitlines()]
    return {label: float(percent) for percent, label in rows}


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
    assert rungs["torch.export, float32"]["same"] == 100
    if find_compiler():
        assert rungs["int8, generated C"]["values"] == 1000
        assert rungs["int8, generated C"]["top1"] == rungs["int8, NumPy reference"]["top1"]
    readme = (exported / "README.md").read_text(encoding="utf-8")
    assert "Written by `netaug export " in readme
    assert all(name in readme for name in rungs)


def test_the_memory_is_that_of_the_files(exported: Path) -> None:
    ladder = json.loads((exported / "ladder.json").read_text(encoding="utf-8"))
    memory = {item["name"]: item for item in ladder["memory"]}
    assert memory["tflite-micro"]["flash"] == (exported / "tflite-int8" / "model.tflite").stat().st_size
    header = (exported / "micro" / "net.h").read_text(encoding="utf-8")
    assert f" {memory['generated C']['sram']}" in header


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "onnx", "onnx-int8"])
def test_predict_answers_as_netaug_does(exported: Path, weights: Path, tmp_path: Path, name: str) -> None:
    if name not in _installed():
        pytest.skip("onnxruntime is not installed")
    picture = tmp_path / "picture.png"
    Image.effect_noise((8, 8), 90).save(picture)
    (prediction,) = netaug.predict(weights, picture)
    ours = {label: 100 * probability for label, probability in prediction.classes}
    theirs = _probabilities(exported / name, picture)
    tolerance = 5 if name == "onnx-int8" else 0.06  # percent are printed with one decimal
    assert all(abs(theirs.get(label, 0) - percent) < tolerance for label, percent in list(ours.items())[:3])


@needs_compiler
def test_predict_of_both_int8_formats_agree(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    picture = tmp_path / "picture.png"
    Image.effect_noise((30, 20), 90).save(picture)
    assert _probabilities(exported / "micro", picture) == _probabilities(exported / "tflite-int8", picture)


@pytest.mark.parametrize(("crop_ratio", "size"), [(1.0, (40, 31)), (0.875, (40, 31)), (0.875, (24, 50))])
def test_the_preprocessing_of_predict_is_that_of_netaug(
    tmp_path: Path, crop_ratio: float, size: tuple[int, int]
) -> None:
    from netaug.data import load_image
    from netaug.data.batch import Normalizer
    from netaug.export.delivery import _PREDICT, preprocessing

    card = replace(
        CARD, in_chans=3, image_size=16, mean=(0.4, 0.5, 0.6), std=(0.2,) * 3, crop_ratio=crop_ratio
    )
    picture = tmp_path / "picture.png"
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(picture)
    (tmp_path / "preprocessing.json").write_text(json.dumps(preprocessing(card)), encoding="utf-8")
    script = _PREDICT.format(needs="numpy", load="")
    space: dict[str, object] = {"__file__": str(tmp_path / "predict.py"), "__name__": "predict"}
    exec(compile(script, "predict.py", "exec"), space)
    theirs_HWC = space["read_image"](picture)  # type: ignore[operator]
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


class _Images:
    """A loader of random images, or of none."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self):  # type: ignore[no-untyped-def]
        from netaug.data.batch import ClassificationBatch

        for _ in range(self.count):
            pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
            yield ClassificationBatch(pixels, torch.zeros(4, dtype=torch.int64), torch.arange(4))


def _conversion(network: nn.Module, calibration: int = 1, evaluation: int = 1) -> Conversion:
    return Conversion(network.eval(), CARD, _Images(calibration), _Images(evaluation), "test", "digits")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _digits_network() -> nn.Module:
    return netaug.create_model("micronet", num_classes=10, in_chans=1)


def test_an_unknown_operator_is_named_with_its_layer(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="strange"):
        deliver(_conversion(_Odd()), ["tflite-int8"], tmp_path, "")


def test_float_formats_take_unknown_operators(tmp_path: Path) -> None:
    ladder = deliver(_conversion(_Odd()), ["torch"], tmp_path, "")
    assert [rung.name for rung in ladder.rungs] == ["trained network, float32", "torch.export, float32"]


def test_a_runtime_with_other_sigmoids_is_said_and_others_must_be_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netaug.export.formats import tflite_int8

    class Runtime:
        name, module = "another runtime", "json"

        def run(self, file: bytes, images_NHWC: np.ndarray) -> np.ndarray:
            return np.full((len(images_NHWC), 10), 99, np.int8)

    monkeypatch.setattr(tflite_int8, "_LITERT", Runtime())
    gated = nn.Sequential(nn.Conv2d(1, 10, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    ladder = deliver(_conversion(gated), ["tflite-int8"], _made(tmp_path / "gated"), "")
    assert re.search(
        r"another runtime: \d+ of 40 values differ, by its rounding of sigmoids", str(ladder.checks)
    )
    with pytest.raises(ExportError, match="another runtime differs"):
        deliver(_conversion(_digits_network()), ["tflite-int8"], _made(tmp_path / "digits"), "")


@pytest.mark.parametrize("format_name", ["tflite-int8", "micro"])
def test_no_images_to_calibrate_on(tmp_path: Path, format_name: str) -> None:
    with pytest.raises(ExportError, match="no images to measure ranges on"):
        deliver(_conversion(_digits_network(), calibration=0), [format_name], tmp_path, "")


def test_no_images_to_check_on(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no images to check"):
        deliver(_conversion(_digits_network(), evaluation=0), ["tflite-int8"], tmp_path, "")


def test_ranges_that_are_not_finite_name_the_layer(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        next(network.parameters()).fill_(3e38)  # finite, but the sums of a convolution are not
    with pytest.raises(ExportError, match=r"layer '.*' gave a non-finite value"):
        deliver(_conversion(network), ["tflite-int8"], tmp_path, "")


def test_a_missing_compiler_and_runtime_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netaug.export.micro.generate.find_compiler", lambda: None)
    monkeypatch.setattr("netaug.export.formats.micro.find_compiler", lambda: None)
    for name in ("tflite_micro.python.tflite_micro.runtime", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    text = "\n".join(
        deliver(_conversion(_digits_network()), ["tflite-int8", "micro"], tmp_path, "").describe()
    )
    assert "generated C: not run, there is no C compiler" in text
    assert "not run in tflite-micro: not installed (pip install 'netaug[micro]')" in text
    assert "not run in LiteRT's reference kernels: not installed" in text


def test_a_missing_onnx_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"pip install 'netaug\[onnx\]'"):
        deliver(_conversion(_digits_network()), ["onnx"], tmp_path, "")


def test_a_failed_check_leaves_nothing_behind(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: Conversion, images_NCHW: Tensor) -> np.ndarray:
        return np.zeros((len(images_NCHW), 10), np.int8)

    monkeypatch.setattr(Conversion, "reference", wrong)
    with pytest.raises(NetaugError, match="differs from the"):
        netaug.export(weights, "tflite-int8", out=tmp_path / "new", check=8, data={"name": "digits"})
    assert not list(tmp_path.iterdir())


def test_detectors_are_refused(tmp_path: Path, weights: Path) -> None:
    from netaug.api.evaluation import TrainedNetwork
    from netaug.api.export import ExportOptions, conversion_of
    from netaug.config import RunConfig

    card = replace(CARD, task="detect", name="yolov3:mobilenetv2-0.35")
    network = TrainedNetwork(nn.Identity(), card, RunConfig(), torch.device("cpu"))
    with pytest.raises(ConfigError, match="task 'detect'"):
        conversion_of(network, ExportOptions())


def test_another_process_at_the_same_folder(weights: Path, tmp_path: Path) -> None:
    from netaug.core.whole_folder import new_folder

    with (
        new_folder(tmp_path / "out", "exporting"),
        pytest.raises(RunFolderError, match="another process is exporting"),
    ):
        netaug.export(weights, "torch", out=tmp_path / "out", data={"name": "digits"})
