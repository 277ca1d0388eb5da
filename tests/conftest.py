"""What a training sets for its whole process is set back, so that no test depends on the one before it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _process_settings() -> Iterator[None]:
    environment = dict(os.environ)  # `main` keeps the working directory off the import path of later children
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    yield
    if dict(os.environ) != environment:
        os.environ.clear()
        os.environ.update(environment)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = deterministic


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Iterator[None]:
    """Set back what `main` sets for child processes in a fixture, of any scope: else it would stay for all tests."""
    before = os.environ.get("PYTHONSAFEPATH")
    try:
        return (yield)
    finally:
        if before is None:
            os.environ.pop("PYTHONSAFEPATH", None)
