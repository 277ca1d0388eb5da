"""Detection from the command line on a few generated images: trained, stopped and gone on with, measured, compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from netaug.cli import main
from netaug.config.loading import load_config
from netaug.config.recipes import recipe_names
from netaug.data import Normalizer, build_data
from netaug.tasks.registry import choose_task
from netaug.train.build import build_model, build_network
from netaug.train.trainer import Trainer
from netaug.weights.metadata import load_weights
from tests.data.detection.making import make_voc, small_voc

pytestmark = pytest.mark.slow
DETECTION = [name for name in recipe_names() if name.startswith("detection/")]
SMALL = (
    "--data.name=voc",
    "--data.image_size=96",
    "--data.batch_size=4",
    "--data.eval_batch_size=3",
    "--data.workers=0",
    "--detect.sizes=[96,128]",
    "--train.warmup_epochs=0",
    "--train.threads=1",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_voc(tmp_path_factory.mktemp("voc"))


@pytest.fixture(scope="module")
def words(root: Path) -> list[str]:
    """A detector of small backbone that trains in seconds."""
    options = "{channels: [4, 6, 8, 8], blocks: [1, 1, 1, 2], strides: [2, 2, 2, 2], neck: [8, 8, 8]}"
    small = ["--model.name=yolov3:micronet", f"--model.options={options}"]
    return ["demo/bccd", f"--data.root={root}", *SMALL, *small]


@pytest.fixture(scope="module")
def run(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "netaug"
    assert main(["train", *words, "--train.epochs=3", "--train.eval_every=1", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("name", DETECTION)
def test_a_recipe_trains_for_two_steps(name: str, root: Path) -> None:
    config = load_config(name, [f"--data.root={root}", *SMALL, "--train.epochs=1"])
    data = build_data(config.data, seed=0, detect=config.detect)
    model = build_model(config.model, data.info, 0)
    network = build_network(model, config.model, config.netaug, data.info, seed=config.train.seed)
    normalizer = Normalizer(data.info.mean, data.info.std, torch.device("cpu"), channels_last=False)
    (record,) = Trainer(network, data, choose_task(config, data), normalizer, config.train).fit()
    assert record.steps == 2
    assert record.train_loss == pytest.approx(sum(record.train_metrics.values()))
    assert record.score == ("ap" if "coco" in name else "ap50")
    assert record.val_score is not None
    assert bool(record.widths) is config.netaug.enabled


def test_a_run_folder_tells_parts_of_the_loss_and_precision(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert set(lines[-1]["train_metrics"]) == {"box_loss", "objectness_loss", "class_loss"}
    assert 0 <= lines[-1]["val_metrics"]["ap50"] <= 100
    assert lines[-1]["train_top1"] is lines[-1]["val_top1"] is None
    summary = json.loads((run / "summary.json").read_text())
    assert summary["score"] == "ap50"
    assert summary["val_metrics"] == lines[-1]["val_metrics"]
    _, card = load_weights(run / "model.safetensors")
    assert card.task == "detect"
    assert len(card.anchors) == 9
    assert card.scores == {"ap50": summary["val_metrics"]["ap50"]}


def test_multiply_accumulates_follow_the_side_of_each_step(run: Path) -> None:
    """Steps are drawn at 96 and 128 pixels: between what either alone would cost."""
    summary = json.loads((run / "summary.json").read_text())
    least = summary["macs"] * 8 * 3  # base passes alone, all at 96 pixels
    assert summary["train_macs"] > least


def test_a_stopped_run_goes_on_to_the_same_bits(words: list[str], run: Path, tmp_path: Path) -> None:
    out = tmp_path / "resumed"
    common = [*words, "--train.eval_every=1", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netaug.train.trainer.Trainer._validate", _stop_in_the_second_epoch())
        assert main(["train", *common, "--train.epochs=3"]) == 130
    assert not (out / "summary.json").exists()
    assert main(["train", *common, "--train.epochs=3"]) == 0
    assert (out / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def _stop_in_the_second_epoch():
    validate = Trainer._validate

    def stopping(self: Trainer, epoch: int) -> dict[str, float]:
        if epoch == 1:
            raise KeyboardInterrupt
        return validate(self, epoch)

    return stopping


def test_loader_processes_do_not_change_a_bit(words: list[str], run: Path, tmp_path: Path) -> None:
    out = tmp_path / "workers"
    more = ["--data.workers=2", "--train.epochs=3", "--train.eval_every=1", "--out", str(out)]
    assert main(["train", *words, *more]) == 0
    assert (out / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_run_is_measured_as_it_was_in_training(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run)]) == 0
    score = json.loads((run / "summary.json").read_text())["val_metrics"]["ap50"]
    assert f"AP50 {score:.2f} %" in capsys.readouterr().out


def test_a_run_is_measured_at_other_sides(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--resolution", "96", "128"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    macs = {int(row[0]): int(row[1].replace(",", "")) for row in rows}
    assert macs[128] / macs[96] == pytest.approx((128 / 96) ** 2, rel=1e-6)


def test_a_report_is_a_page_with_cocos_results(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "page"
    assert main(["eval", str(run), "--report", str(out)]) == 0
    score = json.loads((run / "summary.json").read_text())["val_metrics"]["ap50"]
    page = (out / "detection.html").read_text()
    assert f"AP50 {score:.1f}\u00a0% on val of voc, 5 images" in page
    assert page.count("data:image/jpeg") >= 1
    assert f"netaug eval {run} --report {out}" in page
    assert all(entry["score"] > 0 for entry in json.loads((out / "detections.json").read_text()))
    capsys.readouterr()
    assert main(["eval", str(run), "--report", str(out), "--resolution", "96"]) == 2
    assert "--report is a page about one measurement" in capsys.readouterr().err


def test_a_side_that_no_detector_can_have_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--resolution", "100"]) == 2
    assert "multiples of 32 from 96 to 608" in capsys.readouterr().err


def test_a_comparison_is_measured_at_several_sides(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "compare"
    words = [word for word in words if not word.startswith("--train.threads")]
    given = ["--seeds", "1", "--jobs", "2", "--out", str(out), "--train.epochs=1"]
    assert main(["compare", *words, *given]) == 0
    assert "AP50" in (out / "table.txt").read_text()
    capsys.readouterr()
    assert main(["eval", str(out), "--resolution", "96", "128"]) == 0
    text = capsys.readouterr().out
    assert "matches the baseline" in text or "does not match the baseline" in text
    lines = (out / "resolutions.csv").read_text().splitlines()
    assert lines[0] == "arm,seed,resolution,macs,ap50"
    assert len(lines) == 1 + 3 * 2, "three arms (the longer baseline too), two sides"
    assert "xmlns" in (out / "resolutions.svg").read_text()
    assert main(["eval", str(out)]) == 2
    assert "add --resolution" in capsys.readouterr().err


def test_network_and_data_must_be_of_one_kind(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "demo/bccd", f"--data.root={root}", *SMALL, "--model.name=mobilenetv2-0.35"]) == 2
    assert "--model.name yolov3:mobilenetv2-0.35 finds objects with it" in capsys.readouterr().err
    assert main(["train", "demo/digits", "--model.name=yolov3:mobilenetv2-0.35"]) == 2
    assert "--model.name mobilenetv2-0.35 classifies whole images" in capsys.readouterr().err


def test_networks_of_other_widths_are_measured_and_extracted(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(run), "--widths", "base", "widest", "--images", "8"]) == 0
    rows = {row[0]: row for row in map(str.split, capsys.readouterr().out.splitlines()) if row}
    summary = json.loads((run / "summary.json").read_text())
    assert f"{summary['val_metrics']['ap50']:.2f}" in rows["base"]
    assert f"{summary['macs']:,}" in rows["base"]
    assert float(rows["widest"][-3]) > 1, "MACs of the widest network over those of the base network"
    wide = tmp_path / "wide.safetensors"
    assert main(["extract", str(run), "--widths", "widest", "--out", str(wide), "--measure"]) == 0
    _, card = load_weights(wide)
    assert card.top1 is None
    assert set(card.scores) == {"ap50"}
    capsys.readouterr()
    data = ["--data.name", "voc", "--data.root", str(root)]
    assert main(["eval", str(wide), *data]) == 0
    assert f"AP50 {card.scores['ap50']:.2f} %" in capsys.readouterr().out
    assert main(["eval", str(run / "model.safetensors"), *data, "--resolution", "96", "128"]) == 0
    capsys.readouterr()
    large = tmp_path / "large.safetensors"
    side = ["--images", "8", "--data.image_size", "128"]
    assert main(["extract", str(run), "--widths", "base", "--out", str(large), *side]) == 0
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("base")]
    assert row[3] == f"{summary['macs'] * 16 // 9:,}"  # counted at the side whose statistics the file has
    assert load_weights(large)[1].image_size == 128
    assert main(["eval", str(run), "--widths", "base", "--data.image_size", "100"]) == 2
    assert "cannot be a side of a detector's input" in capsys.readouterr().err


def test_a_family_of_detectors_is_written(run: Path, tmp_path: Path, root: Path) -> None:
    out = tmp_path / "family"
    assert main(["extract", str(run), "--family", "2", "--out", str(out), "--measure", "--images", "8"]) == 0
    assert [path.name for path in sorted(out.iterdir())] == ["1.safetensors", "2.safetensors"]
    assert load_weights(out / "2.safetensors")[1].scores.keys() == {"ap50"}
    image = next((root / "JPEGImages").iterdir())
    assert main(["predict", str(out / "2.safetensors"), str(image)]) == 0


def test_a_detector_is_fine_tuned_on_few_images_that_are_recognized(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    more = ["--data.workers", "0", "--data.limit", "6", "--train.epochs", "1", "--train.threads", "1"]
    weights = str(run / "model.safetensors")
    assert main(["finetune", "--from", weights, "--data", str(root), *more, "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert f"the data in '{root}' is read as voc" in said
    assert "batches have 6 images instead of 32" in said
    config = load_config(str(out / "config.yaml"))
    assert (config.data.augment, config.train.optimizer, config.data.batch_size) == ("detection", "adamw", 6)
    assert config.train.lr == pytest.approx(0.002 * 6 / 32)
    assert config.train.label_smoothing == 0
    assert main(["eval", str(out / "model.safetensors"), "--recalibrate", "4"]) == 0
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((out / "model.safetensors").read_bytes())
    assert (
        main(["eval", str(alone), "--data", str(root), "--recalibrate", "4"]) == 0
    )  # the batch of a run is unknown
    assert "AP50" in capsys.readouterr().out


def test_a_detector_is_not_fine_tuned_on_images_without_boxes(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", "--from", str(run), "--data.name", "digits"]) == 2
    assert "finds objects, and the data has no boxes" in capsys.readouterr().err


def test_the_page_of_a_detectors_run_shows_boxes(run: Path) -> None:
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert page.count('<svg class="picture"') >= 4
    assert "Augmented training images" in page
    assert "not found" in page


def test_a_run_is_not_measured_on_images_without_objects(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = make_voc(tmp_path / "bare", {"train": ["a", "b", "c", "d"], "val": ["e"]}, {"e": []})
    there = ["--data.root", str(bare)]
    for more in ([], ["--resolution", "96"], ["--report", str(tmp_path / "page")], ["--widths", "widest"]):
        assert main(["eval", str(run), *there, *more]) == 2
        assert "none of the 1 evaluation images has an object that counts" in capsys.readouterr().err
