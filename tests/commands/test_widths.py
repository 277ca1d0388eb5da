"""From a run to networks of other widths on the command line: measured, written, read again; mistakes are messages."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from netaug.cli import main
from netaug.commands.widths import choose, split_words
from netaug.core.errors import CheckpointError, ConfigError, RunFolderError, ShapeError
from netaug.runs.checkpoints import Checkpoints
from netaug.train.reopen import open_supernet
from netaug.weights.metadata import load_weights

TRAIN = ["train", "demo/digits", "--data.limit", "192", "--train.epochs", "2", "--train.threads", "1"]
# 192 training images are three batches of 64: fewer than are asked for, so all of them


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "netaug"
    assert main([*TRAIN, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "baseline"
    assert main([*TRAIN, "--netaug.enabled", "false", "--out", str(folder)]) == 0
    return folder


def out(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 0
    return capsys.readouterr().out


def rows(text: str) -> dict[str, list[str]]:
    """The cells of the table by its first column."""
    lines = text[text.index("network ") :].splitlines()[1:]
    return {cells[0]: cells[1:] for cells in (re.split(r"  +", line.strip()) for line in lines)}


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


@pytest.mark.slow
def test_the_supernet_of_a_run_comes_back_to_the_bit(run: Path) -> None:
    supernet, card = open_supernet(run)
    found = Checkpoints(run / "checkpoints").newest()
    assert found is not None
    state = found[1]["network"]
    assert set(supernet.state_dict()) == set(state)
    for name, tensor in supernet.state_dict().items():
        assert torch.equal(tensor, state[name])
    network, own = load_weights(run / "model.safetensors")
    assert card == own
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(supernet(images), network(images))


@pytest.mark.slow
def test_eval_shows_base_widest_and_draws(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    text = out(capsys, "eval", str(run), "--widths", "base,widest", "draws:2", "macs:2.0x", "stem.conv=6")
    assert "top-1 on test of digits, n 359" in text
    assert "base with its own statistics; others: statistics re-estimated on 192 training images" in text
    table = rows(text)
    assert list(table) == ["base", "widest", "draw:0", "draw:1", "macs:2.0x", "stem.conv=6"]
    (alone,) = re.findall(r"top-1 (\S+) % .* loss (\S+)", out(capsys, "eval", str(run)))
    assert table["base"] == ["x1.00", "331", "4,672", "1.00", *alone]
    assert table["widest"][1:4] == ["3,781", "64,272", "13.76"]
    assert table["macs:2.0x"][3] == "2.00"
    assert table["stem.conv=6"][0] == "x1.00 to 2.00"
    assert out(capsys, "eval", str(run), "--widths", "widest").endswith("  ".join(table["widest"][4:]) + "\n")


@pytest.mark.slow
def test_fewer_images_are_what_is_said(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    words = ["eval", str(run), "--widths", "widest"]
    few, all_ = (out(capsys, *words, *more) for more in (["--images", "65"], []))
    assert "re-estimated on 128 training images" in few
    assert rows(few)["widest"] != rows(all_)["widest"]


@pytest.mark.slow
def test_an_extracted_network_evaluates_and_predicts_like_any_other(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    file, picture = tmp_path / "new" / "wide.safetensors", str(tmp_path / "x.png")
    words = ["extract", str(run), "--widths", "widest", "--out", str(file), "--measure"]
    made = rows(out(capsys, *words))["widest"]
    assert made == [*rows(out(capsys, "eval", str(run), "--widths", "widest"))["widest"], str(file)]
    text = out(capsys, "eval", str(file), "--data.name", "digits")
    assert text.startswith(f"top-1 {made[4]} %")
    assert f"loss {made[5]}  n 359" in text
    network, card = load_weights(file)
    supernet, _ = open_supernet(run)
    assert card.widths == supernet.plan.widest
    assert sum(parameter.numel() for parameter in network.parameters()) == 3781
    assert card.top1 == pytest.approx(float(made[4]), abs=0.005)
    Image.effect_noise((8, 8), 90).save(picture)
    assert picture in out(capsys, "predict", str(file), picture)
    assert "exists already" in fails(capsys, *words)


@pytest.mark.slow
def test_base_is_extracted_as_the_factory_builds_it(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    """Recalibrated like the others; its weights are those of the run."""
    file = tmp_path / "base.safetensors"
    out(capsys, "extract", str(run), "--widths", "base", "--out", str(file))
    (network, card), (own, _) = load_weights(file), load_weights(run / "model.safetensors")
    assert (card.widths, card.sizes, card.top1) == ({}, {}, None)
    for name, parameter in own.named_parameters():
        assert torch.equal(network.get_parameter(name), parameter)
    moved = [name for name, value in own.named_buffers() if not torch.equal(value, network.get_buffer(name))]
    assert any(name.endswith("running_mean") for name in moved)


@pytest.mark.slow
def test_a_family_lies_between_base_and_widest(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "family"
    table = rows(out(capsys, "extract", str(run), "--family", "3", "--out", str(folder), "--images", "64"))
    assert [table[number][-1] for number in "123"] == [str(folder / f"{n}.safetensors") for n in "123"]
    assert [float(table[number][3]) for number in "123"] == pytest.approx([1, 7.38, 13.76], abs=0.1)
    assert sorted(entry.name for entry in folder.iterdir()) == [f"{n}.safetensors" for n in "123"]
    load_weights(folder / "2.safetensors")
    even = ["extract", str(run), "--family", "3", "--images", "64", "--round", "4", "--out"]
    text = out(capsys, *even, str(tmp_path / "even"), "--sram", "1MB", "--flash", "8KB")
    _, card = load_weights(tmp_path / "even" / "3.safetensors")
    assert all(channels % 4 == 0 for channels in card.widths.values())
    assert f"the largest network that fits is '{tmp_path / 'even' / '2.safetensors'}'" in text
    text = out(capsys, *even, str(tmp_path / "none"), "--sram", "20")
    assert "no network of the family fits; the first one: the given memory: does not fit" in text
    words = ["extract", str(run), "--family", "3", "--out", str(folder)]
    assert "a new or an empty folder" in fails(capsys, *words)
    (tmp_path / "empty").mkdir()
    words = ["extract", str(run), "--family", "1", "--out", str(tmp_path / "empty")]
    assert "2 or more" in fails(capsys, *words)


@pytest.mark.slow
def test_runs_without_a_supernet_are_messages(
    capsys: pytest.CaptureFixture[str], run: Path, baseline: Path, tmp_path: Path
) -> None:
    message = fails(capsys, "eval", str(baseline), "--widths", "widest")
    assert "is a baseline: its network has one width only" in message
    assert "one network; networks of other widths come from a whole run" in fails(
        capsys, "eval", str(run / "model.safetensors"), "--widths", "widest"
    )
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(RunFolderError, match=r"no checkpoint in (?s:.*)which holds them"):
        open_supernet(copy)
    shutil.copytree(baseline / "checkpoints", copy / "checkpoints")
    with pytest.raises(CheckpointError, match="does not fit Supernet"):
        open_supernet(copy)
    with pytest.raises(RunFolderError, match="there is no run folder"):
        open_supernet(tmp_path / "nowhere")


@pytest.mark.slow
def test_other_base_weights_are_noticed(
    run: Path, baseline: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.copy(baseline / "model.safetensors", copy)
    open_supernet(copy)
    assert "holds other base weights than" in caplog.text


@pytest.mark.slow
def test_widths_that_cannot_be_are_messages(run: Path) -> None:
    supernet, _ = open_supernet(run)
    with pytest.raises(ShapeError, match="'nowhere' is not a width group"):
        choose(supernet, ["nowhere=6"])
    with pytest.raises(ShapeError, match="3 to 9 channels"):
        choose(supernet, ["stem.conv=10"])
    with pytest.raises(ConfigError, match=r"1 to 13\.76 times"):
        choose(supernet, ["macs:14x"])
    assert choose(supernet, ["draw:1"])[0] == choose(supernet, ["draws:2"])[1]


def test_words_name_networks() -> None:
    words = ["base,widest", "draws:4", "macs:2.0x,macs:.5", "a.b=3,c=4"]
    assert split_words(words) == ["base", "widest", "draws:4", "macs:2.0x", "macs:.5", "a.b=3,c=4"]
    for wrong in ("bas", "draws:", "draw:x", "macs:x", "a=", "=3", "a=3,", "a=3,b", ","):
        with pytest.raises(ConfigError, match="--widths"):
            split_words([wrong])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("eval run --widths wide", r"--widths does not name a network(?s:.*)base, widest"),
        ("eval run --images 5", "--images has no effect without --widths"),
        ("eval run --widths base --images 0", "--images is out of range"),
        ("extract run --out x.safetensors", "neither --widths nor --family"),
        ("extract run --widths base --family 3 --out x.safetensors", "both --widths and --family"),
        ("extract run --widths base --round 8 --out x.safetensors", "--round 8 without --family"),
        ("extract run --family 3 --round 0 --out x", "at least 1"),
        ("extract run --widths base,widest --out x.safetensors", "names several networks"),
        ("extract run --widths draws:2 --out x.safetensors", "names several networks"),
        ("extract run --widths base --out x.pt", r"allowed: FILE\.safetensors"),
        ("extract run --widths base", "required: out"),
        ("extract no/such/run --widths base --out x.safetensors", "there is no run folder"),
        ("extract no/such/run --family 3 --out x", "there is no run folder"),
    ],
)
def test_mistakes_are_messages(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    message: str,
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert re.search(message, fails(capsys, *words.split()))
