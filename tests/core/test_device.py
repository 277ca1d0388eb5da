"""Devices that cannot be used are a message; CUDA is set up to be repeatable."""

from __future__ import annotations

import os

import pytest
import torch

from netaug.core.device import choose_device, set_up
from netaug.core.errors import ConfigError


def test_a_device_without_float64_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics are added up in float64, which for example mps does not have."""
    real = torch.empty

    def empty(*size: int, dtype: torch.dtype = torch.float32, **options: object) -> torch.Tensor:
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return real(*size, dtype=dtype)

    monkeypatch.setattr(torch, "empty", empty)
    with pytest.raises(ConfigError, match=r"--device 'mps' cannot be used(?s:.*)float64"):
        choose_device("mps", "--device")


def test_deterministic_mode_sets_what_torch_and_cublas_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    set_up(torch.device("cpu"), None)
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    set_up(torch.device("cpu"), None, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    set_up(torch.device("cpu"), None, deterministic=True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "what the user has set stays"


def test_cuda_convolutions_are_made_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    set_up(torch.device("cpu"), None)
    assert not torch.backends.cudnn.deterministic
    set_up(torch.device("cuda"), None)
    assert torch.backends.cudnn.deterministic
