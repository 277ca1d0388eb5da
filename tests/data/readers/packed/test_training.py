"""Trainings on a packed copy that loses nothing are those on the original, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netaug.cli import main

FEW = ("--train.epochs=1", "--train.warmup_epochs=0", "--data.batch_size=32")
PLAIN = ("--data.limit=64", "--netaug.enabled=false")


@pytest.mark.slow
def test_training_and_fine_tuning_on_a_packed_copy_are_those_on_the_original(tmp_path: Path) -> None:
    packed = ("--data.name=packed", f"--data.root={tmp_path / 'packed'}")
    assert main(["data", "pack", "digits", "--out", str(tmp_path / "packed")]) == 0
    for kind, data in (("origin", ["--data.name=digits"]), ("packed", packed)):
        first, second = (str(tmp_path / f"{kind}{number}") for number in (1, 2))
        assert main(["train", "demo/digits", *data, *FEW, *PLAIN, "--out", first]) == 0
        some = ("--data.classes=3,5,8", "--data.shots=32")
        assert main(["finetune", "--from", first, *data, *FEW, *some, "--out", second]) == 0
    for number in (1, 2):
        runs = [tmp_path / f"{kind}{number}" for kind in ("origin", "packed")]
        weights = [(run / "model.safetensors").read_bytes() for run in runs]
        lines = [json.loads((run / "metrics.jsonl").read_text()) for run in runs]
        assert weights[0] == weights[1]
        assert lines[0]["val_loss"] == lines[1]["val_loss"]
        assert lines[0]["train_loss"] == lines[1]["train_loss"]
