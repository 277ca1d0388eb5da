"""Several processes train the network that one process trains; what happens to one of them happens to all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from netaug.config.loading import load_config
from netaug.core.errors import ConfigError
from netaug.distributed.world import World, check_divides
from tests.train.ranks import Job, run_jobs

pytestmark = pytest.mark.slow

SIZES = (1, 2, 4)
WORDS = (
    *("train", "demo/digits", "--train.epochs=2", "--train.warmup_epochs=1", "--data.limit=192"),
    *(
        "--data.batch_size=32",
        "--data.eval_batch_size=64",
        "--train.eval_every=1",
        "--train.timeout_minutes=1",
    ),
    *("--train.device=cpu", "--train.threads=1"),
)
IN_PARTS = (
    *("--train.accumulate=4", "--netaug.batch_norm=shared", "--netaug.draws=2"),
    "--netaug.conflict=project",  # of sums over all parts, in any number of processes
)
WITHOUT_NORM = ("--model.name=tests.train.ranks:without_norm", "--model.options={}")


def job(folder: Path, name: str, size: int, *words: str, **happens: Any) -> Job:
    """A training into ``folder/name``, watched into ``folder/name-watch``."""
    return Job(str(folder / f"{name}-watch"), size, (*WORDS, "--out", str(folder / name), *words), **happens)


class Runs:
    """Trainings that are done, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.codes: dict[str, list[int]] = {}

    def do(self, *jobs: Job) -> None:
        names = [Path(one.folder).name.removesuffix("-watch") for one in jobs]
        self.codes.update(zip(names, run_jobs(list(jobs)), strict=True))

    def seen(self, name: str) -> list[dict[str, Any]]:
        """What was watched, by ranks."""
        files = sorted((self.folder / f"{name}-watch").glob("rank*.pt"))
        return [torch.load(file) for file in files]

    def said(self, name: str) -> list[str]:
        """What was printed, by ranks."""
        return [file.read_text() for file in sorted((self.folder / f"{name}-watch").glob("rank*.txt"))]

    def metrics(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / name / "metrics.jsonl").read_text().splitlines()
        times = ("seconds", "val_seconds", "images_per_second")
        return [{k: v for k, v in json.loads(line).items() if k not in times} for line in lines]

    def global_batches(self, name: str) -> list[tuple[int, list[int]]]:
        """The images of each step, those of all ranks one after the other."""
        ranks = [rank["ids"] for rank in self.seen(name)]
        return [(steps[0][0], [i for _, ids in steps for i in ids]) for steps in zip(*ranks, strict=True)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("ranks")
    found = Runs(folder)
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_text("mine")
    found.do(
        *(job(folder, f"plain{size}", size, *WITHOUT_NORM, "--netaug.augment_every=2") for size in SIZES),
        *(job(folder, f"parts{size}", size, *IN_PARTS) for size in SIZES),
        job(folder, "three", 3),
        job(folder, "taken", 2),
    )
    return found


def test_batches_do_not_depend_on_the_number_of_processes(runs: Runs) -> None:
    one = runs.global_batches("plain1")
    assert [step for step, _ in one] == list(range(12))
    assert all(len(set(ids)) == 32 for _, ids in one)
    for size in SIZES[1:]:
        assert runs.global_batches(f"plain{size}") == one
        shares = {len(ids) for rank in runs.seen(f"plain{size}") for _, ids in rank["ids"]}
        assert shares == {32 // size}


def test_gradients_are_those_of_one_process_and_the_same_on_all(runs: Runs) -> None:
    """Of both passes, without batch norm; later steps start from weights that differ by rounding."""
    (one,) = runs.seen("plain1")
    assert any(len(step) > 4 for step in one["gradients"]), "nothing is widened"
    for size in SIZES[1:]:
        ranks = runs.seen(f"plain{size}")
        for step, expected in enumerate(one["gradients"]):
            torch.testing.assert_close(ranks[0]["gradients"][step], expected, rtol=1e-5, atol=1e-5)
            same = ranks[0]["gradients"][step]
            for rank in ranks[1:]:
                torch.testing.assert_close(rank["gradients"][step], same, rtol=0, atol=0)


@pytest.mark.parametrize("size", SIZES[1:])
def test_metrics_are_those_of_one_process(runs: Runs, size: int) -> None:
    for one, other in zip(runs.metrics("plain1"), runs.metrics(f"plain{size}"), strict=True):
        assert other["val_top1"] == one["val_top1"]
        assert other["train_top1"] == one["train_top1"]
        assert other["val_loss"] == pytest.approx(one["val_loss"], rel=1e-5)
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
        for exact in ("epoch", "steps", "lr", "train_macs", "widths"):
            assert other[exact] == one[exact]


def test_there_is_one_reduction_a_step(runs: Runs) -> None:
    for size in SIZES[1:]:
        assert all(rank["reduces"] == [1] * 12 for rank in runs.seen(f"plain{size}"))
    assert runs.seen("plain1")[0]["reduces"] == [0] * 12


def test_parts_of_a_batch_are_the_same_in_any_number_of_processes(runs: Runs) -> None:
    """With batch norm: the first step's gradients, and the running statistics that three passes moved."""
    (one,) = runs.seen("parts1")
    for size in SIZES[1:]:
        for rank in runs.seen(f"parts{size}"):
            for what in ("gradients", "statistics"):
                torch.testing.assert_close(rank[what][0], one[what][0], rtol=1e-5, atol=1e-5)
            assert one["statistics"][0], "no batch norm"


def test_rank_0_alone_prints(runs: Runs) -> None:
    first, *others = runs.said("plain4")
    assert "4 processes with 8 of the 32 images of each step" in first
    assert "next:" in first
    assert others == ["", "", ""]


def test_a_number_of_processes_that_does_not_divide_is_refused(runs: Runs) -> None:
    assert runs.codes["three"] == [2, 2, 2]
    first, *others = runs.said("three")
    assert "cannot be divided among 3 processes" in first
    assert "1, 2, 4, 8, 16 processes" in first
    assert others == ["", ""]
    assert not (runs.folder / "three").exists()


def test_an_error_of_rank_0_before_training_ends_all_with_one_message(runs: Runs) -> None:
    assert runs.codes["taken"] == [2, 2]
    first, second = runs.said("taken")
    assert "exists already" in first
    assert second == ""


def test_a_batch_norm_sees_as_many_images_on_any_number_of_processes() -> None:
    """``data.norm_batch`` cuts a batch of 2,048 into 16 microbatches: 16 on one process, one on each of 16."""
    config = load_config("imagenet/mobilenetv2-tiny")
    for size in (1, 2, 8, 16):
        world = World(size=size)
        mine = check_divides(world, config.data.batch_size, config.microbatches, most=config.data.norm_batch)
        assert config.data.batch_size // size // mine == 128
    with pytest.raises(
        ConfigError, match=r"32 processes would leave each batch norm less than .* 128 images"
    ):
        check_divides(World(size=32), 2048, config.microbatches, most=128)


@pytest.mark.parametrize("words", [["--train.accumulate=2"], ["--train.sync_batchnorm=true"]])
def test_settings_that_contradict_norm_batch_are_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"data.norm_batch 64, train\.\w+ (2|true)"):
        load_config("imagenet/mcunet", words)
    assert load_config("imagenet/mcunet", ["--data.norm_batch=null", *words]).data.norm_batch is None
