"""Two processes with a teacher, the wider network's teaching, mixed and erased images train what one process trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from netaug.weights.metadata import load_weights
from tests.train.ranks import Job, run_jobs

WORDS = (
    *("train", "demo/digits", "--train.epochs=1", "--train.warmup_epochs=0", "--data.limit=128"),
    *("--data.batch_size=32", "--train.lr=0.02", "--train.accumulate=2", "--train.timeout_minutes=1"),
    *(
        "--train.device=cpu",
        "--train.threads=1",
        "--distill.teacher=micronet",
        "--distill.random_teacher=true",
    ),
    *("--distill.in_place=1", "--netaug.batch_share=0.5", "--regularize.mixup=0.4", "--regularize.cutmix=1"),
    *("--regularize.dropout=0.2", "--regularize.erasing=0.5"),
)


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.jsonl").read_text())
    return found


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    """Mixed partners are within a part, draws keyed by part; the teacher is measured on all evaluation images once."""
    sizes = (1, 2)
    jobs = [
        Job(str(tmp_path / f"watch{size}"), size, (*WORDS, "--out", str(tmp_path / f"run{size}")))
        for size in sizes
    ]
    assert run_jobs(jobs) == [[0], [0, 0]]
    one, two = (record(tmp_path / f"run{size}") for size in sizes)
    for name in ("train_loss", "train_top1", "val_loss", "val_top1"):
        assert two[name] == pytest.approx(one[name], rel=1e-4), name
    assert one["train_macs"] == two["train_macs"]
    first, second = (
        load_weights(tmp_path / f"run{size}/model.safetensors")[0].state_dict() for size in sizes
    )
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-3, atol=1e-4)
    tops = [json.loads((tmp_path / f"run{size}/summary.json").read_text())["teacher_top1"] for size in sizes]
    assert tops[0] == tops[1]
