"""Other converters get environments of their own, on request only; here their maker is a local one, without network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from netaug.core.errors import ConfigError, ResourceError
from netaug.export import environments
from netaug.export.delivery import deliver
from netaug.export.environments import EXECUTORCH, LITERT, Environment, ensure, run_job
from netaug.export.formats import check_via
from tests.export.conversions import conversion_of_images, digits_network

FAKE_JOB = """\
import sys, numpy, torch
job, model, images, pte, answers = sys.argv[1:]
assert job.endswith("executorch_pte.py")
network = torch.export.load(model).module()
rows = [network(torch.from_numpy(image[None])).detach().numpy() + ADDED for image in numpy.load(images)]
numpy.savez(answers, numpy.concatenate(rows))
open(pte, "wb").write(b"pte")
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _makes(monkeypatch: pytest.MonkeyPatch, script: str) -> list[tuple[str, ...]]:
    """Let environments be made of one interpreter that runs a script; returns the pins of those that were made."""
    made: list[tuple[str, ...]] = []

    def install(pins: tuple[str, ...], folder: Path) -> None:
        made.append(pins)
        (folder / "bin").mkdir()
        (folder / "job.py").write_text(script)
        python = folder / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$(dirname "$0")/../job.py" "$@"\n')
        python.chmod(0o755)

    monkeypatch.setattr(environments, "install", install)
    return made


def test_nothing_is_fetched_without_being_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _makes(monkeypatch, "")
    with pytest.raises(
        ResourceError, match=r"--to pte needs(?s:.*)executorch==1\.5\.1(?s:.*)GB(?s:.*)--fetch"
    ):
        ensure(EXECUTORCH, fetch=False, needed_by="--to pte")
    assert not made
    assert ensure(EXECUTORCH, fetch=True, needed_by="--to pte") == EXECUTORCH.python
    assert ensure(EXECUTORCH, fetch=False, needed_by="--to pte") == EXECUTORCH.python
    assert made == [EXECUTORCH.pins]
    assert LITERT.folder.parent == EXECUTORCH.folder.parent
    assert LITERT.folder != EXECUTORCH.folder


def test_an_environment_that_cannot_be_made_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def install(pins: tuple[str, ...], folder: Path) -> None:
        environments._run([sys.executable, "-c", "print('half'); raise SystemExit('no such version')"])

    monkeypatch.setattr(environments, "install", install)
    with pytest.raises(ResourceError, match="no such version"):
        ensure(LITERT, fetch=True, needed_by="--via litert")
    assert not list(LITERT.folder.parent.iterdir())


def test_torch_is_linked_into_an_environment(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    environments._link_torch(tmp_path)
    linked = {path.name for path in (tmp_path / "linked").iterdir()}
    assert {"torch", "sympy"} <= linked
    assert any(name.startswith("torch-") and name.endswith(".dist-info") for name in linked)
    (line,) = (site / "netaug_linked.pth").read_text().splitlines()
    assert os.path.samefile(site / line, tmp_path / "linked")


@pytest.mark.slow
def test_a_pte_is_compared_with_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _makes(monkeypatch, FAKE_JOB.replace("ADDED", "0"))
    (tmp_path / "out").mkdir()
    conversion = conversion_of_images(digits_network())
    with pytest.raises(ResourceError, match="--fetch"):
        deliver(conversion, ["pte"], tmp_path / "out", "")
    ensure(EXECUTORCH, fetch=True, needed_by="")
    (tmp_path / "again").mkdir()
    ladder = deliver(conversion, ["pte"], tmp_path / "again", "")
    assert "model.pte: answers to 4 images differ from torch by at most" in ladder.checks[0]
    assert (tmp_path / "again" / "pte" / "model.pte").read_bytes() == b"pte"


def test_a_converter_that_would_write_nothing_is_refused() -> None:
    check_via(None, ["onnx"])
    check_via("litert", ["onnx", "tflite"])
    with pytest.raises(ConfigError, match="no effect"):
        check_via("litert", ["onnx"])
    with pytest.raises(ConfigError, match="does not know"):
        check_via("onnx2tf", ["tflite"])


@pytest.mark.skipif(
    "NETAUG_FETCH" not in os.environ, reason="NETAUG_FETCH is not set: fetches up to 3 GB of packages"
)
@pytest.mark.parametrize("environment", [EXECUTORCH, LITERT], ids=lambda environment: environment.name)
def test_the_pinned_packages_can_be_had(environment: Environment) -> None:
    python = ensure(environment, fetch=True, needed_by="this test")
    with pytest.raises(ResourceError, match="missing"):
        run_job(python, "executorch_pte" if environment is EXECUTORCH else "litert_tflite", [])
