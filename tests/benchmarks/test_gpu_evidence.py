"""The comparison for GPUs: what it plans fits the time, and its table is that of its rows."""

import argparse
import csv
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_evidence, regime, regime_job
from tests.benchmarks.test_regime import pictures  # noqa: F401

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    network = {"kind": "micronet", "stem": 4, "channels": [4], "blocks": [1], "strides": [1], "expand": 2}
    networks = {"resnet8": {"network": network, "lr": 0.1}}
    monkeypatch.setattr(gpu_evidence, "NETWORKS", networks)


def test_as_many_epochs_as_fit_are_planned() -> None:
    measured = {("resnet8", "baseline"): (0.01, 100), ("resnet8", "netaug"): (0.03, 100)}
    epochs, ratios = gpu_evidence.epochs_that_fit(measured, 12.0, seeds=3, workers=4)
    assert ratios == {"resnet8": pytest.approx(3.0)}
    of_one_seed = 1 + 3 + 3 + 2 + 4  # baseline, as long as NetAug, NetAug, distillation, both
    seconds = epochs * 100 * 0.01 * (3 * of_one_seed + 2) / 4
    assert 12 * 60 * 0.8 < seconds < 12 * 60 * 0.9
    assert gpu_evidence.epochs_that_fit(measured, 0.0, seeds=3, workers=4)[0] == 1


def test_a_step_of_each_arm_is_timed(pictures: Path, tmp_path: Path) -> None:  # noqa: F811
    for arm in ("baseline", "netaug"):
        job = gpu_evidence.arms_of("resnet8", 1, 2.0, 8, batch_size=8)[arm]
        seconds, steps = gpu_evidence.seconds_per_step(job, pictures, tmp_path, CPU, steps=3)
        assert seconds > 0
        assert steps == 4


def test_the_table_compares_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arguments = argparse.Namespace(seeds=2, side=8, batch_size=8)
    work, out = tmp_path / "w", tmp_path / "out.csv"
    work.mkdir()
    gpu_evidence.write_plan(arguments, work / "plan.jsonl", 10, {"resnet8": 3.0})
    plan = gpu_evidence.read_plan(work / "plan.jsonl")
    assert [(arm, job.epochs) for _, arm, job in plan[:3]] == [
        ("baseline", 10),
        ("baseline-long", 30),
        ("netaug", 10),
    ]

    def pretend(
        arguments: argparse.Namespace, plan: list[tuple[str, str, regime_job.Job]], deadline: float
    ) -> None:
        for _, arm, job in plan:
            regime.append(
                out, job, {"name": job.name, "top1": 50.0 + job.seed + (arm == "kd") * (2 + job.seed)}
            )

    monkeypatch.setattr(gpu_evidence, "run", pretend)
    gpu_evidence.main(["--data", "x", "--out", str(out), "--work", str(work), "--device", "cpu"])
    table = capsys.readouterr().out
    assert "kd" in table
    assert "+2.5 [" in table
    with out.open() as file:
        assert len(list(csv.DictReader(file))) == 10
