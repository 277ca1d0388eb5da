"""Whole trainings through the public API: stopped and resumed, with loader workers, by two processes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch.nn import functional as F
from torchvision.io import write_jpeg

import netaug
from benchmarks.gpu.cases import CLASSES, gradients_of, images, labels, require_same, supernet_of
from benchmarks.gpu.parts import CheckFailed, Figures, NotPossible, Setting, require
from netaug.api.settings import words_of
from netaug.config import DataConfig
from netaug.core.signals import Stopped
from netaug.data import build_data
from netaug.distributed.all_reduce import AllReduce, StepFlags
from netaug.distributed.world import World
from netaug.runs.folder import RunFolder
from netaug.train.trainer import Trainer

RANKS = 2
_JOIN_SECONDS = _COMMAND_SECONDS = 90


def resume(setting: Setting) -> Figures:
    """Check that a training that is stopped and resumed ends with the bits of the undisturbed one."""
    with tempfile.TemporaryDirectory() as folder:
        whole = train(setting, Path(folder) / "whole", deterministic=True)
        original, steps = Trainer.step, 0

        def step(self: Trainer, *arguments: Any) -> None:
            nonlocal steps
            steps += 1
            if steps == 4:  # in the middle of the second epoch of three steps
                signal.raise_signal(signal.SIGTERM)
            original(self, *arguments)

        try:
            with patch.object(Trainer, "step", step):
                train(setting, Path(folder) / "stopped", deterministic=True)
        except Stopped:
            resumed = train(setting, Path(folder) / "stopped", deterministic=True)
        else:
            raise CheckFailed("SIGTERM did not stop the training")
        require_same(_weights(whole), _weights(resumed), "weights")
        require(_metrics(whole) == _metrics(resumed), "metrics differ")
        return {"epochs": float(len(whole.records())), "stopped after step": float(steps)}


def train(setting: Setting, out: Path, *, deterministic: bool = False, **settings: Any) -> RunFolder:
    """Train on the built-in digits for two epochs of three steps; return the run folder."""
    words: dict[str, Any] = {
        "data.limit": 192,
        "train.epochs": 2,
        "train.eval_every": 1,
        "train.deterministic": deterministic,
        "train.device": str(setting.device),
        **settings,
    }
    return netaug.train("demo/digits", out=out, **words).folder


def _weights(run: RunFolder) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(run.weights)
    return tensors


def _metrics(run: RunFolder) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def loader_workers(setting: Setting) -> Figures:
    """Check that two loader workers give the same training as none, from files, in page-locked memory on CUDA."""
    with tempfile.TemporaryDirectory() as folder:
        root = write_images(Path(folder) / "images", 24, 40)
        config = DataConfig(name="folder", root=str(root), image_size=32, batch_size=8)
        data = build_data(config, seed=0, pin_memory=setting.is_cuda)
        pinned = {batch.images_NCHW.is_pinned() for batch in data.train.epoch(0)}
        require(pinned == {setting.is_cuda}, f"page-locked: {pinned}")
        settings = {"data.root": str(root), "data.image_size": 32, "data.batch_size": 8, "data.cache": "none"}
        runs = [
            train_by_command(setting, Path(folder) / f"run{workers}", {**settings, "data.workers": workers})
            for workers in (0, 2)
        ]
        require_same(_weights(runs[0]), _weights(runs[1]), "weights without and with workers")
    return {"workers": 2.0, "pinned": str(setting.is_cuda)}


def train_by_command(setting: Setting, out: Path, settings: dict[str, Any]) -> RunFolder:
    """Train on a folder of images by the command line, in a process of its own, which its workers end with."""
    common = {"data.name": "folder", "train.epochs": 2, "train.device": str(setting.device)}
    words = ["demo/digits", f"--out={out}", *words_of({**common, **settings})]
    command = [sys.executable, "-m", "netaug", "train", *words]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{out.name}: a training was not done after {_COMMAND_SECONDS} s") from None
    lines = done.stderr.strip().splitlines() or ["no message"]
    require(done.returncode == 0, f"{out.name}: exit code {done.returncode}, {lines[-1]}")
    return RunFolder(out)


def write_images(root: Path, per_class: int, side: int) -> Path:
    """Write class folders of JPEGs of colored noise, ``train`` and a smaller ``val``; return the root."""
    drawn = torch.Generator().manual_seed(0)
    for split, count in (("train", per_class), ("val", max(2, per_class // 4))):
        for label in range(2):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=drawn)
                pixels[label] //= 4
                write_jpeg(pixels, str(folder / f"{number:05d}.jpg"))
    return root


def two_processes(setting: Setting) -> Figures:
    """Check that the gradients that two processes all-reduce are those of one process with both halves.

    NCCL connects two devices. On one device Gloo does, which takes CUDA tensors; a training refuses to share a device,
    but what it sends is the same.
    """
    if not dist.is_available():
        raise NotPossible("torch was built without torch.distributed")
    devices = torch.cuda.device_count() if setting.is_cuda else 0
    backend = "nccl" if devices >= RANKS else "gloo"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("spawn")  # CUDA does not survive a fork
    results = context.SimpleQueue()
    ranks = [
        context.Process(target=_rank, args=(rank, port, backend, setting, results)) for rank in range(RANKS)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(_JOIN_SECONDS)
    codes = [process.exitcode for process in ranks]
    for process in ranks:
        if process.is_alive():
            process.kill()
    require(codes == [0] * RANKS, f"exit codes with {backend}: {codes}")
    most = max(results.get() for _ in range(RANKS))
    require(most < 1e-10, f"gradients differ by up to {most:.3g}")
    return {"backend": backend, "devices": float(max(devices, 1)), "largest difference": float(most)}


def _rank(rank: int, port: int, backend: str, setting: Setting, results: Any) -> None:
    device = setting.device
    if backend == "nccl":
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    here = Setting(device, setting.small)
    dist.init_process_group(backend, f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    # In evaluation mode batch norms use running statistics: halves of the batch then add up to all of it.
    _, supernet = supernet_of(here, double=True)
    x, y = images(here, 4).double(), labels(here, 4)
    supernet.eval()
    F.cross_entropy(supernet(x), y).backward()
    expected = gradients_of(supernet)
    supernet.zero_grad()
    exchange = AllReduce(supernet, World(rank, RANKS, rank), 1)
    mine = slice(2 * rank, 2 * rank + 2)
    (F.cross_entropy(supernet(x[mine]), y[mine]) / RANKS).backward()
    exchange.run(StepFlags(), widens=False)
    found = gradients_of(supernet)
    assert found.keys() == expected.keys()
    assert len(found) > CLASSES
    results.put(max(float((found[name] - expected[name]).abs().max()) for name in found))
    dist.barrier()
    dist.destroy_process_group()
