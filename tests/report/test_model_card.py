"""A model card says what the file and the run say, in the form that the Hub reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import netaug
from netaug.cli import main
from netaug.report.model_card import MARK, model_card
from netaug.weights.metadata import read_card


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "run"
    netaug.train("demo/digits", out=folder, epochs=1, data={"limit": 64})
    return folder


def front_matter(text: str) -> dict[str, object]:
    _, front, _ = text.split("---\n", 2)
    values = yaml.safe_load(front)
    assert isinstance(values, dict)
    return values


def test_the_front_matter_is_what_the_hub_reads(run: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(model_card(run, hub_name="me/tiny-digits", license="mit"))
    assert card.data.library_name == "netaug"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.license == "mit"
    (result,) = card.data.eval_results
    saved = read_card(run / "model.safetensors")
    assert saved is not None
    assert saved.top1 is not None
    assert result.metric_value == round(saved.top1, 2)
    assert (result.dataset_name, result.dataset_split) == ("digits", saved.val_split)


def test_a_card_names_network_training_and_how_to_load(run: Path) -> None:
    text = model_card(run, hub_name="me/tiny-digits")
    assert "netaug.load('hf:me/tiny-digits')" in text
    assert "331 parameters" in text
    assert "| train.epochs | 1 |" in text
    assert "license" not in front_matter(text)
    assert str(run) not in text, "paths of this machine are nobody's business"


def test_a_weights_file_alone_has_a_card(run: Path) -> None:
    text = model_card(run / "model.safetensors")
    assert "netaug.load('model.safetensors')" in text
    assert "model-index" not in front_matter(text), "the file does not say which data it was measured on"


def test_the_command_writes_again_but_over_no_other_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", str(run)]) == 0
    assert main(["card", str(run)]) == 0
    assert MARK in (run / "README.md").read_text(encoding="utf-8")
    other = tmp_path / "README.md"
    other.write_text("mine", encoding="utf-8")
    assert main(["card", str(run), "--out", str(other)]) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert other.read_text(encoding="utf-8") == "mine"


def test_a_wrong_name_of_the_hub_is_a_mistake(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(run), "--hub", "no name"]) == 2
    assert "hf:USER/NAME" in capsys.readouterr().err
