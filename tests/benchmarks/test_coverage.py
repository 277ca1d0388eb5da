"""What the page about coverage counts, and the workers that collect it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.coverage.__main__ import append, read
from benchmarks.coverage.catalogue import Entry, all_names, convolutional_macs, look_at, macs_by_module
from benchmarks.coverage.causes import cause, widened_macs
from benchmarks.coverage.page import page
from benchmarks.coverage.probe import Record, probe
from benchmarks.coverage.workers import run_all
from netaug import AugmentConfig, augment
from tests import tiny


def test_share_of_convolutions() -> None:
    """A patch embedding does not count, a linear layer on a channels-last map does."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 5, 4, stride=4)
            self.conv = nn.Conv2d(5, 5, 3, padding=1)
            self.map = nn.Linear(5, 7)
            self.classes = nn.Linear(7, 2)

        def forward(self, images: Tensor) -> Tensor:
            return self.classes(self.map(self.conv(self.patches(images)).permute(0, 2, 3, 1)).mean((1, 2)))

    parts = {"patches": 4 * 5 * 3 * 16, "conv": 4 * 5 * 5 * 9, "map": 4 * 5 * 7, "classes": 7 * 2}
    assert convolutional_macs(Mixed(), torch.zeros(1, 3, 8, 8)) == (
        sum(parts.values()),
        parts["conv"] + parts["map"],
    )
    assert macs_by_module(Mixed(), 3, 8) == {"": sum(parts.values()), **parts}


def test_macs_of_layers_that_widen_and_what_holds_the_others() -> None:
    network = tiny.build("plain")
    supernet = augment(network, tiny.images(), AugmentConfig(width=(1.0, 2.0), keep=("second",)))
    macs = macs_by_module(network, 3, 8)
    share, held = widened_macs(supernet, macs)
    assert share == pytest.approx((macs["first.0"] + macs["second"]) / macs[""], abs=1e-4)
    assert held == {"kept by 'second'": pytest.approx(1 - share, abs=2e-4)}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("'a.0' uses 'unfold', which has no rule", "no rule for 'unfold'"),
        ("'b.12.conv' is a convolution in 32 groups", "is a convolution in N groups"),
        ("output of the network", "output of the network"),
    ],
)
def test_causes_are_free_of_places_and_numbers(reason: str, expected: str) -> None:
    assert cause(reason) == expected


def test_models_are_found_and_counted() -> None:
    names = all_names()
    assert {"timm:resnet18", "torchvision:squeezenet1_1"} <= set(names)
    assert not any("segmentation" in name or "quantized" in name for name in names)
    entry = look_at("torchvision:squeezenet1_1")
    assert (entry.params, entry.size) == (1_235_496, 224)  # torchvision's own documentation says so
    assert entry.small
    assert entry.convolutional
    transformer = look_at("timm:test_vit")
    assert transformer.small
    assert not transformer.convolutional
    assert look_at("torchvision:regnet_y_400mf").convolutional  # its factory does not work on the meta device


@pytest.mark.slow
def test_one_model_from_its_name_to_its_row() -> None:
    entry = look_at("timm:test_resnet")
    record = probe(entry)
    assert record.exact, record.notes
    assert record.widened == 1.0
    assert record.growth > 1.0
    row = next(
        line
        for line in page([entry], {entry.name: record}, jobs=1).splitlines()
        if line.startswith("| test_resnet |")
    )
    assert row.count("yes") == 3


def test_page_counts_what_fails() -> None:
    entries = [
        Entry(f"timm:net{i}", 10**6, 224, 10**8, share) for i, share in enumerate((1.0, 0.9, 0.5, 0.1))
    ]
    good = {"exact_base": True, "exact_extract": True, "gradients": True, "widened": 1.0}
    held = {"no rule for 'unfold'": 0.6}
    records = {
        "timm:net0": Record("timm:net0", seconds=1.0, **good),
        "timm:net1": Record("timm:net1", seconds=2.0, **{**good, "widened": 0.4}, held=held),
        "timm:net2": Record("timm:net2", error="ModelError: it fails"),
        "timm:net3": Record("timm:net3", seconds=9.0, **good),
    }
    too_large = Entry("timm:large", 10**8)
    text = page([*entries, too_large], records, jobs=2)
    assert "| models | 3 | 1 |" in text
    assert "| both exact | 2 (66.7%) | 1 (100.0%) |" in text
    assert "| half of the MACs or more widen | 1 (33.3%) | 1 (100.0%) |" in text
    assert "| slowest `augment` | 2.0 s, net1 | 9.0 s, net3 |" in text
    assert "| no rule for 'unfold' | 1 | 1 | net1 60% |" in text
    assert "ModelError: it fails" in text
    assert "large |" not in text


def test_cache_keeps_the_last_line_of_each_name(tmp_path: Any) -> None:
    file = tmp_path / "cache.jsonl"
    assert read(file) == {}
    for line in ({"name": "a", "n": 1}, {"name": "b", "n": 2}, {"name": "a", "n": 3}):
        append(file, line)
    assert read(file) == {"a": {"name": "a", "n": 3}, "b": {"name": "b", "n": 2}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "thing", "result", "problem"),
    [
        (sorted, (3, 1), [1, 3], ""),
        (int, "x", None, "ValueError: invalid literal for int() with base 10: 'x'"),
        (sum, range(10**12), None, "takes more than 2 s"),
        (bytes, 4 * 2**30, None, "MemoryError: no message"),
        (os._exit, 3, None, "its process ended with exit code 3"),
        (signal.raise_signal, signal.SIGKILL, None, "its process ended with exit code -9"),
    ],
)
def test_a_worker_cannot_harm_the_others(
    function: Callable[[Any], Any], thing: Any, result: Any, problem: str
) -> None:
    """Errors, endless loops, too much memory and crashes end one worker alone, with the reason."""
    found = list(run_all(function, [thing], jobs=1, seconds=2.0, gib=1.0, preload=()))
    assert found == [(thing, result, problem)]
