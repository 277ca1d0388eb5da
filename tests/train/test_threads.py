"""The number of CPU threads of a training: one for small networks, within what the process may use."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import netaug
from netaug.train import threads
from netaug.train.threads import SMALL_STEP, available_threads, choose_threads, faster, threads_at_start

NETWORK = nn.Conv2d(3, 4, 1)
IMAGE = torch.zeros(1, 3, 4, 4)


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "default_jobs", lambda: 8)


def test_a_small_step_has_one_thread_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "faster", lambda step, most: pytest.fail("measured"))
    assert choose_threads(NETWORK, IMAGE, 64, SMALL_STEP / 65) == 1


def test_a_large_step_has_what_was_measured_to_be_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def measured(step: object, most: int) -> int:
        step()  # type: ignore[operator]
        seen.append(most)
        return most

    monkeypatch.setattr(threads, "faster", measured)
    assert choose_threads(NETWORK, IMAGE, 64, SMALL_STEP) == 8
    assert seen == [8]


def test_the_environment_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    monkeypatch.setattr(threads, "faster", lambda step, most: pytest.fail("measured"))
    assert available_threads() == 3
    assert choose_threads(NETWORK, IMAGE, 64, SMALL_STEP) == 3
    assert choose_threads(NETWORK, IMAGE, 64, SMALL_STEP / 65) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "100")
    assert available_threads() == 8


def test_a_resumed_run_keeps_its_threads(tmp_path: Path) -> None:
    file = tmp_path / "environment.json"
    assert threads_at_start(file) is None
    file.write_text(json.dumps({"threads": 2}))
    assert threads_at_start(file) == 2
    assert choose_threads(NETWORK, IMAGE, 64, 1.0, earlier=2) == 2
    assert choose_threads(NETWORK, IMAGE, 64, 1.0, earlier=100) == 8


@pytest.mark.parametrize(
    ("seconds", "chosen"), [({1: 1.0, 4: 0.5}, 4), ({1: 1.0, 4: 0.95}, 1), ({1: 1.0, 4: 8.0}, 1)]
)
def test_more_threads_have_to_pay(
    seconds: dict[int, float], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    before = torch.get_num_threads()

    def step() -> None:
        nonlocal now
        now += seconds[torch.get_num_threads()]

    monkeypatch.setattr("netaug.train.threads.time.perf_counter", lambda: now)
    assert faster(step, 4) == chosen
    assert torch.get_num_threads() == before


def test_a_trial_leaves_the_network_as_it_is() -> None:
    network = netaug.create_model("micronet", num_classes=3, in_chans=3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    choose_threads(network, torch.randn(1, 3, 16, 16), 8, SMALL_STEP)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
