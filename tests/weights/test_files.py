"""A file of weights is untrusted: it is read whole or refused with the reason, and nothing in it runs."""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from netaug.core.errors import CheckpointError
from netaug.weights import WeightsFile, load_weights, read_weights
from netaug.weights.matching import match

STATE = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([0.5, -0.5])}


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


def save(path: Path, content: object, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def linear() -> nn.Module:
    return nn.Linear(3, 2)


def assert_loads(path: Path, part: str | None = None) -> None:
    model = linear()
    load_weights(model, path, part=part)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, STATE[name])


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("content", "part"),
    [
        (STATE, ""),
        (
            {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
            "state_dict",
        ),
        ({"model": STATE, "args": argparse.Namespace(lr=0.1)}, "model"),
        ({"model": {"state_dict": STATE}}, "model.state_dict"),
        ({"state_dict": prefixed("module.")}, "state_dict"),
        (prefixed("_orig_mod.module."), ""),
        ({"state_dict": prefixed("model."), "pytorch-lightning_version": "2.0"}, "state_dict"),
    ],
)
def test_a_state_dict_is_found_where_programs_put_it(
    content: dict[str, Any], part: str, legacy: bool, tmp_path: Path
) -> None:
    path = save(tmp_path / "x.pt", content, legacy=legacy)
    assert read_weights(path).part == part
    assert_loads(path)


def test_averaged_weights_are_taken_first_and_it_is_said(tmp_path: Path) -> None:
    other = {name: tensor + 1 for name, tensor in STATE.items()}
    path = save(tmp_path / "x.pt", {"state_dict": other, "state_dict_ema": STATE, "epoch": 1})
    assert_loads(path)
    model = linear()
    assert str(load_weights(model, path)).endswith("from its 'state_dict_ema' (it also has state_dict)")
    assert load_weights(model, path, part="state_dict").part == "state_dict"
    assert torch.equal(model.state_dict()["bias"], other["bias"])
    with pytest.raises(CheckpointError, match=r"no part 'ema'(?s:.*)state_dict \(dict\), state_dict_ema"):
        read_weights(path, "ema")


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    safetensors.torch.save_file(prefixed("module."), tmp_path / "x.bin")
    assert_loads(tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match="no part 'model'"):
        read_weights(tmp_path / "x.bin", "model")


def test_a_prefix_that_is_the_networks_own_stays() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = linear()

    for_it = Wrapped()
    path = Path("unused")
    found = match(for_it, WeightsFile(path, prefixed("model.")))
    assert set(found.tensors) == {"model.weight", "model.bias"}
    assert set(match(for_it, WeightsFile(path, prefixed("module.model."))).tensors) == set(found.tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_converted(dtype: torch.dtype, tmp_path: Path) -> None:
    assert_loads(save(tmp_path / "x.pt", {name: tensor.to(dtype) for name, tensor in STATE.items()}))


@pytest.mark.parametrize(
    "bias", [torch.tensor([1, 2]), torch.zeros(2, dtype=torch.complex64), torch.zeros(2).to_sparse()]
)
def test_other_kinds_of_tensors_are_refused(bias: torch.Tensor, tmp_path: Path) -> None:
    path = save(tmp_path / "x.pt", {**STATE, "bias": bias})
    with pytest.raises(CheckpointError, match=r"another kind: bias(?s:.*)allowed: torch\.float32"):
        load_weights(linear(), path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_counted_and_named(value: float, tmp_path: Path) -> None:
    weight = STATE["weight"].clone()
    weight[1, :2] = value
    path = save(tmp_path / "x.pt", {**STATE, "weight": weight})
    model = linear()
    before = model.state_dict()["bias"].clone()
    with pytest.raises(CheckpointError, match="2 of 6 are NaN or infinite in weight"):
        load_weights(model, path)
    assert torch.equal(model.state_dict()["bias"], before)


def test_counters_of_batch_norms_may_be_absent_and_nothing_else(tmp_path: Path) -> None:
    state = nn.BatchNorm2d(2).state_dict()
    del state["num_batches_tracked"]
    model = nn.Sequential(nn.BatchNorm2d(2))
    assert load_weights(model, save(tmp_path / "x.pt", {f"0.{k}": v for k, v in state.items()})).tensors == 4
    del state["running_var"]
    with pytest.raises(CheckpointError, match=r"1 missing: 0\.running_var \(2,\)"):
        load_weights(model, save(tmp_path / "x.pt", {f"0.{k}": v for k, v in state.items()}))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("content", [{"state_dict": STATE, "x": _Evil()}, _Evil()])
def test_code_in_a_file_does_not_run(
    content: object, legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "x.pt", content, legacy=legacy)
    with pytest.raises(CheckpointError, match="would run code") as caught:
        read_weights(path)
    assert not (tmp_path / "owned").exists()
    assert caught.value.got == f"it asks for {os.mkdir.__module__}.mkdir"
    assert "torch.save(checkpoint['state_dict']" in str(caught.value.fix)


def test_a_pickled_network_is_refused_with_the_class_it_asks_for(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pt", {"model": linear()})
    with pytest.raises(CheckpointError, match=r"it asks for torch\.nn\.modules\.linear\.Linear"):
        read_weights(path)


def test_a_torchscript_program_is_refused_as_one(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        torch.jit.save(torch.jit.script(linear()), tmp_path / "x.pt")  # type: ignore[no-untyped-call]
    with pytest.raises(CheckpointError, match="TorchScript, which is a program"):
        read_weights(tmp_path / "x.pt")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / "x"
    state = {"weight": torch.randn(60, 50)}
    if kind == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        save(path, state, legacy=kind == "legacy")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"is empty|cannot be read|not a file of weights"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00" * 200, "is not a file of weights"),
        (b"hello", r"not a file of weights(?s:.*)5 bytes that start with b'hello'"),
        (b"\n<!DOCTYPE html><html>sign in", "a web page, so the download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PK\x03\x04" + b"\x00" * 100, "truncated, damaged, or another kind"),
        (b"\x80\x02garbage", "truncated, damaged, or another kind"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{not json at all", "truncated, damaged, or another kind"),
    ],
)
def test_what_is_no_weights_file_is_refused_for_what_it_is(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "got: +nothing"),
        ({"state_dict": {}}, "under 'state_dict'"),
        ([torch.zeros(1)], "got: +a list"),
        (torch.zeros(3), "got: +a Tensor"),
        ({"epoch": 3, "lr": 0.1}, r"epoch \(int\), lr \(float\)"),
        ({"weight": torch.zeros(1), "epoch": 3}, r"weight \(Tensor\), epoch \(int\)"),
        ({"epoch": 3, "network": STATE, "optimizer": {}, "config": {}}, "'model.safetensors' beside it"),
        ({0: torch.zeros(1)}, "holds no network's tensors"),
    ],
)
def test_a_file_without_a_state_dict_says_what_it_holds(
    content: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_weights(save(tmp_path / "x.pt", content))


def test_a_checkpoint_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"epoch": 1}
    content["model"] = content
    with pytest.raises(CheckpointError, match="holds no network's tensors"):
        read_weights(save(tmp_path / "x.pt", content))


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"fix: +give '.*model\.safetensors'"):
        read_weights(tmp_path)
    with pytest.raises(CheckpointError, match="there is no weights file"):
        read_weights(tmp_path / "none.pt")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is not a regular file"):
        read_weights(tmp_path / "pipe")


def test_what_is_kept_is_named_and_stays(tmp_path: Path) -> None:
    model = linear()
    before = model.state_dict()["bias"].clone()
    loaded = load_weights(model, save(tmp_path / "x.pt", {"weight": STATE["weight"]}), keep=["b*"])
    assert loaded.kept == ("bias",)
    assert torch.equal(model.state_dict()["bias"], before)
    assert torch.equal(model.state_dict()["weight"], STATE["weight"])
    load_weights(model, save(tmp_path / "x.pt", {**STATE, "bias": torch.zeros(99)}), keep=["bias"])
    with pytest.raises(CheckpointError, match=r"keep='head\.\*' is the name of no tensor"):
        load_weights(model, save(tmp_path / "x.pt", STATE), keep=["head.*"])
