"""`netaug models`: every network with its size, timm's by pattern, and the way to one's own."""

import re
import shlex
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.models import list_models


def _lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["models", *words]) == 0
    return capsys.readouterr().out.splitlines()


def _mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["models", *words]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


@pytest.mark.slow
def test_every_network_is_listed_with_the_paper_s_size(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _lines(capsys)
    listed = [line.split()[0] for line in lines if re.match(r"\S+ +\d", line)]
    assert listed == list_models()
    sizes = {tuple(line.split()[:4]) for line in lines if line}
    assert {
        ("mobilenetv2-tiny", "144", "0.750", "23.50"),
        ("mcunet", "176", "0.737", "81.79"),
        ("mobilenetv3-0.35", "160", "2.110", "19.50"),
        ("proxylessnas-0.35", "160", "1.781", "35.72"),
        ("mobilenetv2-0.35", "160", "1.677", "30.87"),
        ("resnet50", "224", "25.557", "4089.18"),
    } <= sizes
    assert re.match(r"timm:NAME +any of the \d{3,} networks of timm \d", lines[-3])
    assert re.match(r"yolov3:BACKBONE +YOLOv3", lines[-2])
    assert re.match(r"package.module:function +your own", lines[-1])


def test_a_limit_leaves_the_larger_ones_out_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("mcunet", 176, 737_408, 81_785_520), ("micronet", 32, 740_000, 1), ("resnet50", 224, 740_001, 1)]
    monkeypatch.setattr("netaug.commands.models._own_rows", lambda: iter(rows))
    lines = _lines(capsys, "--max-params", "740k")
    assert [line.split()[0] for line in lines if re.match(r"\S+ +\d", line)] == ["mcunet", "micronet"]
    assert "1 more have more parameters" in lines


def test_timm_names_fit_a_pattern_or_contain_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    everything = _lines(capsys, "--timm")
    assert {"timm:resnet18", "timm:mobilenetv3_small_050"} <= set(everything)
    fitting = _lines(capsys, "--timm", "mobilenetv3_small*")
    assert fitting == [name for name in everything if name.startswith("timm:mobilenetv3_small")]
    containing = _lines(capsys, "--timm", "mobilenetv3_small")
    assert containing == [name for name in everything if "mobilenetv3_small" in name]
    assert len(fitting) < len(containing) < len(everything)


def test_timm_networks_are_counted_against_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _lines(capsys, "--timm", "mobilenetv3_small_0*", "--max-params", "2M")
    rows = [line.split() for line in lines if line.startswith("timm:")]
    assert rows == [["timm:mobilenetv3_small_050", "1.593"]]
    assert lines[-1] == "1 of 2 networks have at most 2,000,000 parameters"


def test_a_network_that_cannot_be_counted_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    def fails(name: str, **options: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(timm, "create_model", fails)
    lines = _lines(capsys, "--timm", "mobilenetv3_small_0*", "--max-params", "2M")
    assert lines[-1] == "could not be counted: timm:mobilenetv3_small_050, timm:mobilenetv3_small_075"


def test_no_weights_are_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    create, seen = timm.create_model, []

    def record(name: str, **options: object) -> object:
        seen.append(options.get("pretrained", False))
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", record)
    _lines(capsys, "--timm", "mobilenetv3_small_0*", "--max-params", "2M")
    assert seen == [False, False]


@pytest.mark.parametrize("text", ["5X", "-1", "0", "nan", "M", "1e999"])
def test_a_limit_must_be_a_number(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert "--max-params is not a number" in _mistake(capsys, f"--max-params={text}")


def test_a_pattern_that_fits_nothing_is_a_mistake_with_the_nearest_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = _mistake(capsys, "--timm", "resnet81")
    assert "'resnet81'" in text
    assert "resnet18" in text


NETS = """
from torch import nn

def build(*, num_classes: int, in_chans: int, channels: int = 32) -> nn.Module:
    middle = nn.Conv2d(in_chans, channels, 3), nn.BatchNorm2d(channels), nn.ReLU()
    return nn.Sequential(*middle, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
"""


@pytest.mark.slow
def test_help_teaches_how_to_bring_your_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function and the commands that the help shows work."""
    text = _lines(capsys, "--help")
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    assert (
        "  def build(*, num_classes: int, in_chans: int, channels: int = 32) -> torch.nn.Module: ..." in text
    )
    inspect, train = (shlex.split(line)[1:] for line in text if " nets:build" in line)
    assert main(inspect) == 0
    quick = ["--train.epochs", "1", "--train.warmup_epochs", "0", "--data.limit", "64", "--out", "run"]
    assert main([*train, *quick]) == 0
    assert (tmp_path / "run" / "model.safetensors").exists()
