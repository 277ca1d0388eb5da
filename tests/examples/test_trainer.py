"""Hugging Face's Trainer trains as our own loop does, to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import netaug
from tests.examples.watching import assert_like_our_loop, load, watched

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # they are of others


def test_hugging_face_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with watched() as watch:
        network = load("hugging_face_trainer").main(4, 100)
    assert_like_our_loop(watch, F.cross_entropy, steps=8)
    (orders,) = watch.orders
    assert any(not torch.equal(order, torch.arange(len(order))) for order in orders.values())
    like = netaug.create_model("micronet", num_classes=10, in_chans=1).state_dict()
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == {
        name: tensor.shape for name, tensor in like.items()
    }
