"""Figures of a step: kernels, time on the device and on the host, images per second from memory and from files."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks import operations
from benchmarks.gpu.parts import Figures, Setting, require
from benchmarks.gpu.runs import train_by_command, write_images
from benchmarks.step import ARMS, CASES, STAGES, Case, Step, measure, peak_bytes

NETWORK = "mobilenetv2-tiny"
PALETTE = 16


def _case(setting: Setting, palette: int | None = None) -> Case:
    batch, side = (2, 32) if setting.small else (256, CASES[NETWORK][0])
    return Case(NETWORK, batch, setting.device, side, palette=palette)


def step_times(setting: Setting) -> Figures:
    """Return what ``benchmarks/step.py`` measures: medians in milliseconds, and ratios to the plain step."""
    arms = ("plain", "NetAug") if setting.small else ARMS
    outcome = measure(_case(setting), rounds=1 if setting.small else 15, arms=arms)
    figures = {"plain ms": outcome.median("plain") * 1e3}
    for arm in arms[1:]:
        figures[f"{arm} / plain"] = statistics.median(outcome.ratios(arm))
        figures[f"{arm} MACs"] = statistics.median(outcome.mac_ratios[arm])
    return figures


def peak_memory(setting: Setting) -> Figures:
    """Return the peak memory of the steps in MiB, beside weights and the optimizer's states."""
    arms = ("plain",) if setting.small else ("plain", "NetAug", "NetAug from stage")
    rounds = 1 if setting.small else 10
    return {f"{arm} MiB": peak_bytes(_case(setting), arm, rounds) / 2**20 for arm in arms}


def kernels(setting: Setting) -> Figures:
    """Return kernels per step, and per step milliseconds of the device and of the host that launches them."""
    figures: dict[str, float] = {}
    rounds = 1 if setting.small else 10
    for name, arm, palette in _forms(setting):
        step = Step(_case(setting, palette), arm)
        for number in range(1 if setting.small else PALETTE + 3):  # a palette's index arrays are made once
            step(number)
        setting.wait()
        start = time.perf_counter()
        for number in range(rounds):
            step(number)
        figures[f"{name} host ms"] = (time.perf_counter() - start) / rounds * 1e3
        setting.wait()
        if setting.is_cuda:
            count, milliseconds = _profiled(step, rounds)
            figures[f"{name} kernels"], figures[f"{name} device ms"] = count, milliseconds
    return figures


def _forms(setting: Setting) -> list[tuple[str, str, int | None]]:
    """Return the name of each form of a step, its arm, and its palette."""
    forms: list[tuple[str, str, int | None]] = [
        ("plain", "plain", None),
        ("NetAug", "NetAug", None),
        ("from stage", "NetAug from stage", None),
        ("palette", "NetAug", PALETTE),
    ]
    return forms[:2] if setting.small else forms


def _profiled(step: Step, rounds: int) -> tuple[float, float]:
    """Return the kernels and copies of a step on the device, and the milliseconds that they take together."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for number in range(rounds):
            step(number)
        torch.cuda.synchronize()
    events = [event for event in profiler.events() or () if event.device_type == DeviceType.CUDA]
    require(bool(events), "the profiler saw no kernel")
    microseconds = sum(event.time_range.elapsed_us() for event in events)
    return len(events) / rounds, microseconds / rounds / 1e3


def dispatches(setting: Setting) -> Figures:
    """Return what ``benchmarks/operations.py`` counts on the host: working operations of a step."""
    row = operations.measure(NETWORK, 1 if setting.small else 15)
    figures = {
        "plain": float(row.plain.working),
        "NetAug": float(row.trainer.working),
        "ratio": row.ratios[1],
    }
    return {**figures, "assemble ms": row.assemble_ms, "take apart ms": row.take_apart_ms}


def throughput(setting: Setting) -> Figures:
    """Return images per second of trainings from images in memory and from JPEG files."""
    figures: dict[str, float] = {}
    stage = STAGES[NETWORK]
    forms: dict[str, dict[str, Any]] = {
        "plain": {"netaug.enabled": False},
        "NetAug": {},
        "from stage": {"netaug.from_stage": stage},
        "palette": {"netaug.palette": PALETTE},
    }
    with tempfile.TemporaryDirectory() as folder:
        per_class, side = (8, 40) if setting.small else (2048, 192)
        root = write_images(Path(folder) / "images", per_class, side)
        for source, cache in (("memory", "ram"), ("files", "none")):
            for name in list(forms)[: 1 if setting.small else len(forms)]:
                out = Path(folder) / f"{source}-{name.replace(' ', '-')}"
                settings = {"data.root": str(root), "data.cache": cache, **forms[name]}
                figures[f"{name} from {source}"] = _images_per_second(setting, out, settings)
    return figures


def _images_per_second(setting: Setting, out: Path, settings: dict[str, Any]) -> float:
    """Train for three epochs, and return the figure of the last one, which starts with everything loaded."""
    side, batch = (32, 4) if setting.small else (CASES[NETWORK][0], 256)
    common: dict[str, Any] = {
        "model.name": "micronet" if setting.small else NETWORK,
        "model.options": {},
        "data.image_size": side,
        "data.batch_size": batch,
        "data.workers": 0 if setting.small else min(12, os.cpu_count() or 1),
        **{"train.epochs": 3, "train.warmup_epochs": 1, "train.eval_every": 3, "train.checkpoint_every": 3},
        "netaug.width_until": 1.0,
    }
    if setting.small:
        common["train.epochs"] = 1
    return train_by_command(setting, out, {**common, **settings}).records()[-1].images_per_second
