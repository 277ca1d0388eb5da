"""Values on which every run, cache and resumed training depends: recorded once, compared to the last bit.

The digests of trainings hold for one torch version and one processor capability (other kernels round otherwise); where
these differ the comparison is skipped, and the rounded losses are compared instead. `python -m tests.test_pins` prints
the values of this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from netaug.cli import main
from netaug.core.seeding import generator, key, uniforms
from tests.data.detection.making import small_voc

RECORDED_FOR = ("2.14.1", "AVX512")
DIGITS = ("demo/digits", "--data.limit=192", "--train.epochs=2", "--train.threads=1")
VOC = (
    *(
        "demo/bccd",
        "--data.name=voc",
        "--data.image_size=96",
        "--data.batch_size=4",
        "--data.eval_batch_size=3",
    ),
    *("--detect.sizes=[96,128]", "--train.warmup_epochs=0", "--train.threads=1", "--train.epochs=2"),
    *("--model.name=yolov3:mobilenetv2-0.1", "--model.options={neck: [8, 8, 8]}"),
)


def test_keys_are_these_numbers() -> None:
    assert key(0) == KEYS[0]
    assert key(7, "widths", 12) == KEYS[1]
    assert key(-1, "augment", 3, 2.5) == KEYS[2]


def test_uniforms_are_these_numbers() -> None:
    drawn = uniforms(key(3, "augment", 1), np.array([0, 5, 1_281_166]), 2)
    assert drawn.tolist() == UNIFORMS


def test_generators_draw_these_numbers() -> None:
    assert torch.randint(0, 1_000_000, (3,), generator=generator(1, "order", 4)).tolist() == DRAWN


class Pin(NamedTuple):
    """What a short training gave: digests of its metrics and its weights, and the losses of its epochs."""

    metrics: str
    weights: str
    losses: tuple[float, ...]


def pin_of(run: Path) -> Pin:
    """Read the digests of a run folder; wall-clock times are left out."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [_untimed(line) for line in lines]
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
    tensors = load_file(run / "model.safetensors")
    weights = hashlib.sha256()
    for name in sorted(tensors):
        weights.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    losses = tuple(float(f"{line['train_loss']:.4g}") for line in lines)
    return Pin(digest, weights.hexdigest()[:16], losses)


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        # Top-5 is measured since a later version, beside everything that was measured before.
        dropped = [key for key in value if "second" in key or "time" in key or key == "top5"]
        return {key: _untimed(member) for key, member in value.items() if key not in dropped}
    return value


def classification(folder: Path) -> Path:
    """In-place distillation and averaged weights."""
    options = ("--distill.in_place=1", "--train.ema_decay=0.9")
    assert main(["train", *DIGITS, *options, "--out", str(folder / "run")]) == 0
    return folder / "run"


def detection(folder: Path) -> Path:
    """A small detector on generated images."""
    root = small_voc(folder / "voc")
    assert main(["train", *VOC, f"--data.root={root}", "--out", str(folder / "run")]) == 0
    return folder / "run"


def fine_tuning(folder: Path) -> Path:
    """Some classes, then fine-tuned to all with NetAug on."""
    first = ["train", *DIGITS, "--data.classes=0,1,2,3,4", "--out", str(folder / "first")]
    assert main(first) == 0
    words = ["finetune", "--from", str(folder / "first"), "--data.name=digits", "--data.limit=192"]
    settings = ["--data.batch_size=32", "--train.epochs=2", "--train.warmup_epochs=0", "--train.threads=1"]
    assert main([*words, *settings, "--netaug.enabled=true", "--out", str(folder / "run")]) == 0
    return folder / "run"


def two_processes(folder: Path) -> Path:
    """Two ranks under torchrun."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, "-m", "netaug", "train", *DIGITS, "--out", str(folder / "run")]
    variables = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=variables, capture_output=True, timeout=300)
    return folder / "run"


KINDS: dict[str, Callable[[Path], Path]] = {
    function.__name__: function for function in (classification, detection, fine_tuning, two_processes)
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_short_training_ends_with_these_bits(kind: str, tmp_path: Path) -> None:
    pin, recorded = pin_of(KINDS[kind](tmp_path)), PINS[kind]
    assert pin.losses == pytest.approx(recorded.losses, rel=0.01)
    machine = (torch.__version__.split("+")[0], torch.backends.cpu.get_cpu_capability())
    if machine != RECORDED_FOR:
        pytest.skip(f"digests are recorded for {RECORDED_FOR}, this is {machine}; losses were compared")
    assert pin == recorded


KEYS = (2631537505891389924, 4127812611612992204, 555531454977344971)
UNIFORMS = [
    [0.44397910797618056, 0.9632562893227177],
    [0.5097905923063757, 0.036443716495253575],
    [0.9790146196108557, 0.2288114699102054],
]
DRAWN = [796347, 983210, 277247]
PINS = {
    "classification": Pin("979c7688d8ab332d", "43c36e1cad9cc591", (2.302, 2.297)),
    "detection": Pin("8311ff554f2a2592", "855f8455620e3075", (12.77, 9.929)),
    "fine_tuning": Pin("8771472adc166782", "3728c40a487b8398", (2.303, 2.281)),
    "two_processes": Pin("8726cd808e42f0ea", "304d119054416b07", (2.302, 2.297)),
}


if __name__ == "__main__":
    import tempfile

    print("KEYS =", (key(0), key(7, "widths", 12), key(-1, "augment", 3, 2.5)))
    print("UNIFORMS =", uniforms(key(3, "augment", 1), np.array([0, 5, 1_281_166]), 2).tolist())
    print("DRAWN =", torch.randint(0, 1_000_000, (3,), generator=generator(1, "order", 4)).tolist())
    for name, function in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name!r}:", pin_of(function(Path(folder))))
