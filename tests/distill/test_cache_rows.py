"""Packed rows give back what the teacher said: all of it, or the likeliest classes and the sum of the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netaug.distill.cache_rows import Packing

LOG_PROBS = (4 * torch.randn(50, 20, generator=torch.Generator().manual_seed(0))).log_softmax(1)
CPU = torch.device("cpu")


def there_and_back(packing: Packing) -> torch.Tensor:
    values, classes = packing.pack(LOG_PROBS)
    assert values.dtype == np.float16
    assert values.shape == (50, packing.values)
    assert classes.dtype == np.uint16
    assert classes.shape == (50, packing.indices)
    assert values[0].nbytes + classes[0].nbytes == packing.bytes
    return packing.unpack(values, classes, CPU)


@pytest.mark.parametrize("top", [20, 32])
def test_all_classes_are_kept_to_half_precision(top: int) -> None:
    assert torch.equal(there_and_back(Packing(20, top)), LOG_PROBS.half().float())


def test_the_rest_is_spread_evenly_and_nothing_is_lost() -> None:
    found = there_and_back(Packing(20, 3))
    top, classes = LOG_PROBS.topk(3, 1)
    assert torch.equal(found.gather(1, classes), top.half().float())
    others = found.scatter(1, classes, -torch.inf)
    rest = 1 - top.double().exp().sum(1)
    torch.testing.assert_close(others.exp().sum(1).double(), rest, rtol=0.02, atol=1e-9)
    assert all(len(set(row[row > -torch.inf].tolist())) == 1 for row in others)


def test_sure_teachers_and_many_classes() -> None:
    """Half precision ends at 65,504, the index of a class at 65,535."""
    logits = torch.zeros(1, 65536)
    logits[0, 65535] = 300.0
    packing = Packing(65536, 2)
    found = packing.unpack(*packing.pack(logits.log_softmax(1)), CPU)
    assert found.argmax().item() == 65535
    assert bool(found.isfinite().all())
