"""The generated C compiles without a warning and answers what the reference answers, value by value."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netaug.export.int8 import GraphInt8
from netaug.export.micro.evaluator import find_compiler
from netaug.export.micro.folder import Interface, write_folder
from netaug.export.micro.generate import generate
from netaug.export.micro.lower import lower
from tests.export.random_graphs import KINDS, int8_case, random_graph

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler on this machine")
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
needs_qemu = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="arm-none-eabi-gcc and qemu-system-arm are not installed",
)


def _make(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["make", "-C", str(folder), *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _write(folder: Path, seed: int, kinds: Sequence[str], *, overlap: bool = True) -> GraphInt8:
    """Write the C of a network that has all of these kinds of operators, with its images as test cases."""
    graph, images_NHWC, answers_NK = int8_case(*random_graph(seed, kinds, None))
    interface = Interface((0.5,) * images_NHWC.shape[3], (0.25,) * images_NHWC.shape[3], LABELS)
    program = lower(graph, "a random network")
    write_folder(
        program, folder, inputs_NHWC=images_NHWC, outputs_NK=answers_NK, interface=interface, overlap=overlap
    )
    return graph


@needs_compiler
@settings(
    max_examples=int(os.environ.get("NETAUG_EXAMPLES", "8")), deadline=None, derandomize=True, database=None
)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_c_answers_what_the_reference_answers(seed: int, overlap: bool) -> None:
    graph, images_NHWC, answers_NK = int8_case(*random_graph(seed))
    with tempfile.TemporaryDirectory() as folder:
        written = generate(
            graph,
            Path(folder),
            title="a random network",
            inputs_NHWC=images_NHWC,
            outputs_NK=answers_NK,
            cases=1,
            overlap=overlap,
        )
    assert written.values == answers_NK.size > 0


LABELS = ["cat", 'a "dog"??!', "Fuß\\"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a network with every kernel."""
    path = tmp_path_factory.mktemp("micro")
    graph = _write(path, 24, KINDS)
    assert len(graph.nodes) >= len(KINDS)
    return path


@needs_compiler
@needs_make
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_sanitizers_find_nothing(tmp_path: Path, seed: int) -> None:
    _write(tmp_path, seed, KINDS)
    assert "mismatches 0" in _make(tmp_path, "sanitize")


@needs_compiler
@needs_make
def test_a_wrong_value_fails_the_check(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    text = (folder / "net.c").read_text()
    (tmp_path / "copy" / "net.c").write_text(text.replace(".output_zero = ", ".output_zero = 1 + "))
    done = subprocess.run(
        ["make", "-C", str(tmp_path / "copy"), "host"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "mismatches 0," not in done.stdout


@needs_compiler
@needs_make
@needs_qemu
@pytest.mark.slow
def test_emulated_microcontrollers_give_the_same_hash(folder: Path) -> None:
    lines = [line for line in _make(folder, "check").splitlines() if line.startswith("cases ")]
    assert len(lines) == 4  # this machine, Cortex-M4, M7, M33
    assert len(set(lines)) == 1
    assert "mismatches 0" in lines[0]


@pytest.mark.slow
@pytest.mark.skipif(
    "NETAUG_CMSIS" not in os.environ, reason="NETAUG_CMSIS names no folder with cmsis_nn and cmsis_core"
)
@needs_qemu
@pytest.mark.parametrize("seed", range(3))
def test_emulated_cmsis_nn_gives_the_same_bits(tmp_path: Path, seed: int) -> None:
    kinds = ["conv", "depthwise", "conv", "add", "depthwise", "conv", "mean", "conv"]
    _write(tmp_path, seed, kinds, overlap=False)
    cmsis = Path(os.environ["NETAUG_CMSIS"])
    places = [f"CMSIS_NN={cmsis / 'cmsis_nn'}", f"CMSIS_CORE={cmsis / 'cmsis_core' / 'Include'}"]
    lines = [line for line in _make(tmp_path, "qemu", *places).splitlines() if line.startswith("cases ")]
    assert len(lines) == 3
    assert all("mismatches 0" in line for line in lines)


@needs_compiler
def test_vendor_kernels_are_refused_where_outputs_overlap(folder: Path) -> None:
    command = [str(find_compiler()), "-std=c99", "-DNET_CMSIS_NN", "-fsyntax-only", str(folder / "net.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "--no-overlap" in done.stderr
