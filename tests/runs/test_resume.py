"""A run that is stopped anywhere resumes to the same bits; what does not belong together is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from netaug import AugmentConfig, augment
from netaug.config import RunConfig, TrainConfig
from netaug.config.loading import load_config
from netaug.core.errors import RunFolderError
from netaug.core.lock import RunLock
from netaug.core.signals import Stopped, StopRequests
from netaug.data.decode.jpeg import decoder
from netaug.elastic.plain_network import BaseOnly, Network
from netaug.runs.checkpoints import Checkpoints
from netaug.runs.folder import RunFolder, read_config
from netaug.runs.records import EpochRecord
from netaug.runs.resume import differences, notice_decoder
from netaug.train.metrics import Tally
from netaug.train.run import RunResult, train
from netaug.train.trainer import Trainer
from tests import tiny
from tests.train.fakes import trainer

TIMES = ("seconds", "val_seconds", "images_per_second")
CONFIG = TrainConfig(epochs=4, lr=0.05, momentum=0.9, label_smoothing=0.0, warmup_epochs=1.0, eval_every=2)
WORDS = (
    *(
        "--train.epochs=3",
        "--train.warmup_epochs=1",
        "--data.limit=192",
        "--data.batch_size=32",
        "--train.threads=1",
        "--train.eval_every=2",
    ),
    "--model.options.channels=[4, 6]",
)


def small(*words: str) -> RunConfig:
    return load_config("demo/digits", (*WORDS, *words))


class _EnoughError(Exception):
    pass


def _trainer(arm: str, **settings: Any) -> Trainer:
    network: Network = BaseOnly(tiny.build("inverted"), 1)
    if arm == "netaug":
        network = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))
    return trainer(network, dataclasses.replace(CONFIG, **settings), steps=3, sort=True)


def _without_times(record: EpochRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in TIMES}


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second)


@pytest.mark.parametrize("arm", ["netaug", "baseline"])
@pytest.mark.parametrize("stop_after", [1, 3, 4, 8, 12])
def test_a_stop_after_any_step_changes_nothing(arm: str, stop_after: int) -> None:
    """In the middle of an epoch, at its last step, before and after sorting: same metrics, weights and momentum."""
    _assert_goes_on_exactly(stop_after, arm)


@pytest.mark.parametrize(
    "settings",
    [
        {"accumulate": 2, "clip_norm": 0.5},
        {"amp": "bf16"},
        {"ema_decay": 0.9},
        {"optimizer": "adamw", "schedule": "poly"},
        {"optimizer": "lamb", "schedule": "step"},
        {"optimizer": "rmsproptf", "schedule": "linear"},
    ],
    ids=str,
)
def test_a_stop_changes_nothing_with_other_kinds_of_updates(settings: dict[str, Any]) -> None:
    _assert_goes_on_exactly(5, "netaug", **settings)


def _assert_goes_on_exactly(stop_after: int, arm: str, **settings: Any) -> None:
    whole = _trainer(arm, **settings)
    expected = [_without_times(record) for record in whole.fit()]
    first, found = _trainer(arm, **settings), []
    state: dict[str, Any] = {}

    def stop(epoch: int, done: int, tally: Tally) -> None:
        if first.steps_done == stop_after:
            state.update(first.state_dict())
            raise _EnoughError

    with pytest.raises(_EnoughError):
        found += [_without_times(record) for record in first.fit(stop)]
    found = [one for one in expected if one["epoch"] < state["epochs"]]
    second = _trainer(arm, **settings)
    second.load_state_dict(state)
    found += [_without_times(record) for record in second.fit()]
    assert found == expected
    last, wanted = second.state_dict(), whole.state_dict()
    assert _equal(last["network"], wanted["network"])
    assert _equal(last["optimizer"], wanted["optimizer"])
    assert _equal(last["updates"], wanted["updates"])
    assert _equal(last["average"], wanted["average"])


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def _command(out: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "netaug", "train", "demo/digits", "--out", str(out), *WORDS, *words]


def _assert_same_result(out: Path, expected: RunResult) -> None:
    def lines(folder: RunFolder) -> list[dict[str, Any]]:
        return [_without_times(record) for record in folder.records()]

    assert lines(RunFolder(out)) == lines(expected.folder)
    assert (out / "model.safetensors").read_bytes() == expected.folder.weights.read_bytes()
    timed = ("train_seconds", "val_seconds")
    summary = json.loads((out / "summary.json").read_text())
    assert {k: v for k, v in summary.items() if k not in timed} == {
        k: v for k, v in expected.summary.items() if k not in timed
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return train(small(), tmp_path_factory.mktemp("runs") / "whole")


KILLS = int(os.environ.get("NETAUG_RANDOM_KILLS", "1"))


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(
    undisturbed: RunResult, tmp_path: Path
) -> None:
    """SIGKILL with two loader processes and a checkpoint after every step, so that many hit while one is written."""
    out, drawn = tmp_path / "run", random.Random(0)
    words = ("--train.checkpoint_minutes=0", "--data.workers=2")
    for _ in range(KILLS):
        _start_and_kill(_command(out, *words), out / "checkpoints", drawn.uniform(0, 0.1))
        if (out / "summary.json").exists():  # it was faster than we: let it lose its end
            (out / "summary.json").unlink()
            Checkpoints(out / "checkpoints").paths()[0].unlink()
    finished = subprocess.run(
        _command(out, *words), env=_environment(), capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    assert "resumes after step" in finished.stderr
    _assert_same_result(out, undisturbed)


def _start_and_kill(command: list[str], checkpoints: Path, delay: float) -> None:
    """Let a training write at least one checkpoint, then kill it a little later."""
    before, end = Checkpoints(checkpoints).paths()[:1], time.monotonic() + 120
    with subprocess.Popen(
        command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while Checkpoints(checkpoints).paths()[:1] == before and process.poll() is None:
            assert time.monotonic() < end, "no checkpoint in two minutes"
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]
)
def test_a_signal_stops_after_the_step_with_a_checkpoint(
    number: int, code: int, tmp_path: Path, undisturbed: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def signal_at_eight(self: Trainer, *args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 8:
            os.kill(os.getpid(), number)
        step(self, *args)

    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", signal_at_eight)
    with pytest.raises(Stopped, match="saved after step 8") as stopped:
        train(small(), tmp_path / "run")
    assert stopped.value.exit_code == code
    monkeypatch.setattr(Trainer, "step", step)
    again = train(small("--data.workers=1"), tmp_path / "run")
    _assert_same_result(again.folder.path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["save", "save_network"])
def test_an_end_right_after_the_last_writes_loses_nothing(
    writer: str, undisturbed: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last checkpoint and the network, whichever comes first, and before the summary."""
    write = getattr(RunFolder, writer)

    def write_and_end(self: RunFolder, *arguments: Any, **named: Any) -> None:
        write(self, *arguments, **named)
        raise _EnoughError

    monkeypatch.setattr(RunFolder, writer, write_and_end)
    with pytest.raises(_EnoughError):
        train(small(), tmp_path / "run")
    monkeypatch.setattr(RunFolder, writer, write)
    _assert_same_result(train(small(), tmp_path / "run").folder.path, undisturbed)


def test_a_second_interrupt_leaves_at_once() -> None:
    with StopRequests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt, match="at once"):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_other_settings_are_refused_with_the_difference(tmp_path: Path, undisturbed: RunResult) -> None:
    out = tmp_path / "run"
    train(small("--train.epochs=1"), out)
    with pytest.raises(RunFolderError, match="exists already"):
        train(small("--train.epochs=1"), out)
    (out / "summary.json").unlink()
    with pytest.raises(RunFolderError, match=r"train.lr 0\.\d+ at the start, 0\.3 now"):
        train(small("--train.epochs=1", "--train.lr=0.3"), out)
    with pytest.raises(RunFolderError, match="with --resume"):
        train(small("--train.epochs=2"), out)
    longer = train(small("--train.epochs=2"), out, resume=True)
    assert [record.epoch for record in longer.folder.records()] == [0, 1]
    assert read_config(out).train.epochs == 2


def test_what_may_change_is_no_difference() -> None:
    assert differences(small(), small("--data.workers=3", "--train.checkpoint_minutes=1")) == {}
    assert differences(small(), small("--netaug.alpha=0.5")) == {"netaug.alpha": (1.0, 0.5)}
    # images held in memory are scaled before they are cropped
    assert differences(small(), small("--data.cache=ram")) == {"data.cache": ("auto", "ram")}


def test_another_decoder_of_images_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = RunFolder(tmp_path)
    notice_decoder(folder)
    folder.environment.write_text(json.dumps({"decoder": decoder()}))
    notice_decoder(folder)
    assert not caplog.text
    folder.environment.write_text(json.dumps({"decoder": "simplejpeg 0.1"}))
    notice_decoder(folder)
    assert f"by simplejpeg 0.1 when the run was started and are now by {decoder()}" in caplog.text


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from netaug.core.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])):\n print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with (
            pytest.raises(RunFolderError, match=f"another process(?s:.*)process {other.pid} on"),
            RunLock(tmp_path / "run"),
        ):
            pass
        other.kill()
    with RunLock(tmp_path / "run"):
        pass


def _loaders(process: int) -> list[int]:
    """The loader processes of a training, which are copies of it; Linux only."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in children if b"netaug" in Path(f"/proc/{one}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds loader processes in /proc")
def test_a_killed_loader_process_is_one_message_and_the_run_goes_on(
    undisturbed: RunResult, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ("--train.checkpoint_minutes=0", "--data.workers=2")
    with subprocess.Popen(
        _command(out, *words),
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        end = time.monotonic() + 120
        while not Checkpoints(out / "checkpoints").paths():
            assert time.monotonic() < end, "no checkpoint in two minutes"
            assert process.poll() is None
            time.sleep(0.002)
        loaders = _loaders(process.pid)
        assert len(loaders) == 2
        os.kill(loaders[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert "a process that loads images has died" in errors
    assert "fewer data.workers" in errors
    assert "the last good checkpoint is" in errors
    assert "Traceback" not in errors
    _assert_same_result(train(small(*words[1:]), out).folder.path, undisturbed)


def test_a_process_that_a_training_starts_does_not_hold_its_folder(tmp_path: Path) -> None:
    """Else a killed training could not be started again until its loader processes notice."""
    code = (
        "import os, sys, time; from pathlib import Path; from netaug.core.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])):\n"
        " if os.fork() == 0:\n  print('ready', flush=True); sys.stdin.read(); os._exit(0)\n"
        " time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        other.kill()
        other.wait()
        with RunLock(tmp_path / "run"):
            pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB of its own, where the system lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no right to mount a small disk; a file size limit stands in: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(place: Path) -> Path:
    ballast = place / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while file.write(bytes(2**16)):
            file.flush()
    return ballast


@pytest.mark.slow
@pytest.mark.parametrize(
    ("writer", "noticed"),
    [
        ("log", "while writing"),
        ("save_network", "while writing"),
        ("save", "while writing"),
        ("save", "before"),
    ],
)
def test_a_full_disk_leaves_the_checkpoint_before_and_the_run_goes_on(
    writer: str, noticed: str, undisturbed: RunResult, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before = small_disk / "run", getattr(RunFolder, writer)
    if noticed == "while writing":
        monkeypatch.setattr("netaug.runs.checkpoints._require_space", lambda *_: None)

    def fill_first(self: RunFolder, *arguments: Any, **named: Any) -> None:
        if Checkpoints(out / "checkpoints").paths():
            _fill(small_disk)
        before(self, *arguments, **named)

    monkeypatch.setattr(RunFolder, writer, fill_first)
    config = small("--train.checkpoint_every=1")
    with pytest.raises(RunFolderError, match=r"cannot be written(?s:.*)free .* on this disk"):
        train(config, out)
    found = Checkpoints(out / "checkpoints").newest()
    assert found is not None
    assert found[1]["epochs"] == 1
    assert not list(out.rglob(".*.*.*")), "a part of a file is left"
    monkeypatch.setattr(RunFolder, writer, before)
    (small_disk / "ballast").unlink()
    _assert_same_result(train(config, out).folder.path, undisturbed)


def test_a_file_size_limit_is_a_full_disk_too(tmp_path: Path) -> None:
    """Without rights to mount; the limit is the process's, so another one has to hit it."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from netaug.core.io import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomic(Path(sys.argv[1]), bytes(2000))"
    )
    path = tmp_path / "x.ckpt"
    path.write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "RunFolderError" in ended.stderr
    assert "File too large" in ended.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.ckpt"]
    assert path.read_bytes() == b"old"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.options.channels=[6, 6]"], r"model.options .* at the start, .* now"),
        (["--model.name=mobilenetv2-tiny"], r"model.name 'micronet' at the start, 'mobilenetv2-tiny' now"),
        (["--data.name=folder", "--data.root=."], r"data.name 'digits' at the start, 'folder' now"),
    ],
)
def test_another_model_or_dataset_is_refused_before_it_is_looked_at(
    words: list[str], message: str, undisturbed: RunResult
) -> None:
    with pytest.raises(RunFolderError, match=message):
        train(small(*words, "--train.epochs=4"), undisturbed.folder.path, resume=True)


@pytest.mark.slow
def test_other_images_under_the_same_name_are_refused(tmp_path: Path) -> None:
    """The settings are the same, but the folder has another class, or other numbers of images."""
    words = ("--data.name=folder", "--data.image_size=8", "--data.limit=null", "--data.batch_size=4")
    several = tuple("ab"), tuple("abc"), tuple("ac")
    for number, classes in enumerate(several):
        for split in ("train", "val"):
            for name in classes:
                folder = tmp_path / str(number) / split / name
                folder.mkdir(parents=True)
                for image in range(8 // len(classes) + 1):
                    Image.new("L", (8, 8), image * 20).save(folder / f"{image}.png")

    def start(number: int, epochs: int) -> None:
        config = load_config(
            "demo/digits",
            (*WORDS, *words, f"--data.root={tmp_path / str(number)}", f"--train.epochs={epochs}"),
        )
        train(config, tmp_path / "run", resume=True)

    start(0, 1)
    with pytest.raises(
        RunFolderError, match=r"not what the run was started with(?s:.*)classes 2 at the start, 3 now"
    ):
        start(1, 2)
    with pytest.raises(RunFolderError, match=r"not what the run was started with(?s:.*)class_names"):
        start(2, 2)
    assert Checkpoints(tmp_path / "run" / "checkpoints").paths(), "the refused run is still there"
    start(0, 2)


@pytest.mark.slow
def test_a_run_of_a_version_before_a_setting_goes_on_as_it_began(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without sorting gates, whatever the present default is; a value that the user chose is not overruled."""
    out = tmp_path / "run"
    train(small("--train.epochs=1", "--data.limit=64"), out)
    path = out / "config.yaml"
    assert "  sort_gates: true\n" in path.read_text()
    recorded = path.read_text().replace("  sort_gates: true\n", "")
    path.write_text(recorded.replace("  recalibrate: 0\n", ""))
    assert not read_config(out).netaug.sort_gates
    with pytest.raises(RunFolderError, match=r"train\.recalibrate 0 at the start, 32 now"):
        train(small("--train.epochs=2", "--data.limit=64", "--train.recalibrate=32"), out, resume=True)
    caplog.clear()
    result = train(small("--train.epochs=2", "--data.limit=64"), out, resume=True)
    assert "resumes as that did: netaug.sort_gates False" in caplog.text
    assert len(result.folder.records()) == 2
