"""What torch says when something breaks becomes a message with the way out; real failures, where a CPU has them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from netaug.config import TrainConfig
from netaug.core.errors import TrainingError
from netaug.train.compile import check_compiler
from netaug.train.torch_errors import explain, explained

CONFIG = TrainConfig()


def failing(action: Callable[[], object], config: TrainConfig = CONFIG, batch: int = 64) -> str:
    with pytest.raises(TrainingError) as caught, explained(config, batch):
        action()
    assert caught.value.__cause__ is not None
    return caught.value.report()


def test_memory_that_runs_out_on_the_cpu() -> None:
    message = failing(lambda: torch.empty(10**15))
    assert "data.batch_size 64, train.accumulate 1; " in message
    assert "--train.accumulate 2 takes the same batch" in message


def test_memory_that_runs_out_on_a_gpu_or_in_python() -> None:
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has")

    def python() -> None:
        raise MemoryError

    message = failing(full, TrainConfig(accumulate=4), batch=12)
    assert "CUDA out of memory. Tried to allocate 2.00 GiB." in message
    assert "GPU 0" not in message
    assert "train.accumulate 8" not in message  # parts of less than two images
    assert "lower data.batch_size" in message
    assert "memory ran out" in failing(python)


def test_an_operation_without_a_deterministic_form_is_named() -> None:
    def unpool() -> None:
        torch.use_deterministic_algorithms(True)
        pooled, places = F.max_pool2d(torch.randn(1, 1, 4, 4), 2, return_indices=True)
        F.max_unpool2d(pooled, places, 2)

    message = failing(unpool)
    assert "max_unpooling2d" in message
    assert "--train.deterministic false" in message


def test_a_dead_loader_process_says_that_the_run_goes_on() -> None:
    for text in (
        "DataLoader worker (pid(s) 12, 13) exited unexpectedly",
        "DataLoader worker (pid 12) is killed by signal: Killed. ",
        "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's workers are out "
        "of shared memory. Please try to raise your shared memory limit.",
    ):
        error = explain(RuntimeError(text), CONFIG, 64)
        assert error is not None
        assert "resumes from the last checkpoint" in error.report()
        assert ("memory is short" in error.report()) == ("Killed" in text)


def test_a_process_that_dies_while_it_sends_is_a_dead_loader_too() -> None:
    """Half of a message from it is an end of file; such errors of files and images are not."""
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    assert "a process that loads images has died" in failing(ours.recv)
    with pytest.raises(FileNotFoundError), explained(CONFIG, 64):
        Path("no such file").read_bytes()
    with pytest.raises(EOFError), explained(CONFIG, 64):
        raise EOFError


def test_a_network_that_cannot_be_compiled() -> None:
    def confusing(x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return x

    def run() -> None:
        torch.compile(confusing, fullgraph=True, backend="eager")(torch.zeros(2))

    assert "--train.compile false" in failing(run, TrainConfig(compile=True))
    with pytest.raises(torch._dynamo.exc.TorchDynamoException), explained(CONFIG, 64):
        run()


@pytest.mark.slow
def test_a_missing_compiler_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.config as settings

    monkeypatch.setattr(settings, "fx_graph_cache", False)  # what was compiled before would be found
    monkeypatch.setattr(settings.cpp, "cxx", ("no-such-compiler",))
    torch._dynamo.reset()
    with pytest.raises(
        TrainingError, match=r"cannot compile(?s:.*)no-such-compiler(?s:.*)train.compile false"
    ):
        check_compiler(torch.device("cpu"))


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes") as caught, explained(CONFIG, 64):
        raise RuntimeError("shapes differ")
    assert caught.type is RuntimeError
