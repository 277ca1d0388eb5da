"""Whatever writes files can be killed at any of its changes: the same command again ends as if it had not been.

`NETAUG_KILLS` is the number of kills of all kinds together, or ``all`` for one at every change of every kind; `make
kill-test` sets it.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from netaug.runs.checkpoints import read_checkpoint
from netaug.weights.metadata import load_weights
from tests.data.detection.making import small_voc
from tests.killer import Job, Killer

pytestmark = pytest.mark.slow

KILLS = os.environ.get("NETAUG_KILLS", "6")
_IN_A_ROW = 3  # starts that are killed, before one may end
_TIMES = {"seconds", "val_seconds", "images_per_second", "train_seconds"}

_DIGITS = (
    *(
        "demo/digits",
        "--data.limit=64",
        "--data.batch_size=32",
        "--train.epochs=2",
        "--train.warmup_epochs=1",
    ),
    *("--train.threads=1", "--model.options.channels=[4, 6]", "--train.keep_checkpoints=1"),
)
_VOC = (
    *(
        "demo/bccd",
        "--data.root={base}/voc",
        "--data.name=voc",
        "--data.image_size=96",
        "--data.batch_size=4",
    ),
    *("--data.eval_batch_size=3", "--data.workers=0", "--detect.sizes=[96,128]", "--train.warmup_epochs=0"),
    *(
        "--train.threads=1",
        "--train.epochs=1",
        "--train.checkpoint_minutes=0",
        "--model.name=yolov3:mobilenetv2-0.1",
    ),
    "--model.options={{neck: [8, 8, 8]}}",
    "--netaug.enabled=false",
)
_FEW = ("--images=32",)
_FIVE = ("--data.name=digits", "--data.classes=5,6,7,8,9", "--data.shots=8", "--data.batch_size=20")

KINDS: dict[str, tuple[str, ...]] = {
    "training": ("train", *_DIGITS, "--out={out}"),
    "cache": ("distill-cache", *_DIGITS, "--distill.teacher={base}/run", "--top=3", "--out={out}"),
    "pack": ("data", "pack", "digits", "--out={out}"),
    "fine-tuning": ("finetune", "--from={base}/run", *_FIVE, "--train.epochs=2", "--out={out}"),
    "import": (
        *("import-weights", "{base}/w.pth", "--model=micronet", "--model.in_chans=1", "--image-size=8"),
        *("--mean=0.5", "--std=0.5", "--model.options={options}", "--out={out}.safetensors"),
    ),
    "comparison": ("fake-compare", "{out}"),
    "detection": ("train", *_VOC, "--out={out}"),
    "two-ranks": ("train", *_DIGITS, "--out={out}"),
    "family": ("extract", "{base}/run", "--family=2", *_FEW, "--out={out}"),
    "network": ("extract", "{base}/run", "--widths=widest", *_FEW, "--out={out}.safetensors"),
    "page": ("eval", "{base}/detector", "--report={out}"),
    "report": ("report", "{out}"),
}
"""The command of each kind, those that always run first; each has a folder of its own for all that it writes."""
_EXIST_THEN = {"network", "import"}
"""Their one file is whole from the moment that it is there, and then the same command says so."""


class Arena:
    """Commands of all kinds, what each leaves undisturbed, and how many changes it makes."""

    def __init__(self, base: Path, killer: Killer) -> None:
        self._base, self._killer = base, killer
        self._whole: dict[str, tuple[dict[str, Any], int]] = {}
        self._options = ""
        self._train("run", _DIGITS)
        network, card = load_weights(base / "run" / "model.safetensors")
        torch.save(network.state_dict(), base / "w.pth")
        self._options = json.dumps(card.options)

    def _train(self, name: str, words: tuple[str, ...]) -> None:
        """Make what commands read."""
        if name == "detector":
            small_voc(self._base / "voc")
        if not (self._base / name).exists():
            self.start(self._job(self._base, ("train", *words, f"--out={self._base / name}")), {0})

    def job(self, kind: str, kill_at: int = 0) -> Job:
        """The command of a kind, with its folder made."""
        folder = self._base / "arena" / kind
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "report" and not (folder / "out").exists():
            shutil.copytree(self._base / "run", folder / "out")
        return replace(self._job(folder, KINDS[kind]), kill_at=kill_at, ranks=1 + (kind == "two-ranks"))

    def _job(self, folder: Path, words: tuple[str, ...]) -> Job:
        values = {"base": self._base, "out": folder / "out", "options": self._options}
        return Job(tuple(word.format(**values) for word in words), str(folder))

    def start(self, job: Job, codes: set[int]) -> tuple[int, int]:
        """The exit code of the first process, one of ``codes``, and the number of changes."""
        found, count, printed = self._killer.run(job)
        assert found[0] in codes, printed
        return found[0], count

    def whole(self, kind: str) -> tuple[dict[str, Any], int]:
        """What the command leaves that nobody disturbs, by file, and the number of its changes."""
        if kind not in self._whole:
            if kind in ("detection", "page"):
                self._train("detector", _VOC)
            job = self.job(kind)
            _, count = self.start(job, {0})
            self._whole[kind] = content(Path(job.watch)), count
            shutil.rmtree(job.watch)
        return self._whole[kind]

    def check(self, kind: str, kills: list[int]) -> None:
        """Kill the command at each of these changes, a few starts in a row before one may end, and look at that."""
        self.whole(kind)
        waiting, tried = list(kills), list[int]()
        while waiting:
            if not tried:
                shutil.rmtree(self.job(kind).watch)
            tried.append(waiting[0])
            code = self._start_of(kind, waiting[0])
            if code == -signal.SIGKILL:
                waiting.pop(0)  # else it had fewer changes left: this one is tried from the beginning
            if code != -signal.SIGKILL or len(tried) == _IN_A_ROW or not waiting:
                if code == -signal.SIGKILL:
                    self._start_of(kind)
                self._look(kind, tried)
                tried = []

    def _start_of(self, kind: str, kill_at: int = 0) -> int:
        ends = {0, 2} if kind in _EXIST_THEN else {0}
        return self.start(self.job(kind, kill_at), {-signal.SIGKILL, *ends} if kill_at else ends)[0]

    def _look(self, kind: str, kills: list[int]) -> None:
        whole, _ = self.whole(kind)
        found = content(Path(self.job(kind).watch))
        assert sorted(found) == sorted(whole), f"killed at {kills}"
        for name, one in whole.items():
            assert found[name] == one, f"{name}, killed at {kills}"


def content(folder: Path) -> dict[str, Any]:
    """What a folder holds by relative path, without times and what all starts printed."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else _of_file(path) for path in folder.rglob("*")
    }


def _of_file(path: Path) -> Any:
    if path.suffix == ".ckpt":
        return _plain(read_checkpoint(path))
    if path.name == "metrics.jsonl":
        return [_plain(json.loads(line)) for line in path.read_text().splitlines()]
    if path.name == "summary.json":
        return _plain(json.loads(path.read_text()))
    return None if path.suffix == ".log" else path.read_bytes()


def _plain(value: Any) -> Any:
    """Nested values without times, tensors as their bytes."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if name not in _TIMES}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, torch.Tensor):
        buffer = io.BytesIO()
        torch.save(value.clone(), buffer)
        return buffer.getvalue()
    return value


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Killer() as killer:
        yield Arena(tmp_path_factory.mktemp("kills"), killer)


@pytest.mark.parametrize("kind", list(KINDS)[: None if KILLS == "all" else int(KILLS)])
def test_killed_at_any_change_the_same_command_ends_as_undisturbed(arena: Arena, kind: str) -> None:
    """To the bit, in every file, and no other file is there."""
    _, changes = arena.whole(kind)
    assert changes > 2
    if KILLS == "all":
        for kill_at in range(1, changes + 1):
            arena.check(kind, [kill_at])
        return
    place, drawn = list(KINDS).index(kind), random.Random(kind)
    arena.check(kind, [drawn.randint(1, changes) for _ in range(place, int(KILLS), len(KINDS))])
