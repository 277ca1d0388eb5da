"""Processes of one attempt agree on a name, whatever earlier attempts left in the store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from netaug.processes import Place
from netaug.train.meeting import agree_on_name


def test_attempts_that_share_a_store_get_names_of_their_own() -> None:
    store = dist.HashStore()
    store.set("hello/1", "of a process that is dead")
    names = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(agree_on_name, store, Place(rank, 3), 30) for rank in order]
            found = {one.result() for one in waiting}
        assert len(found) == 1
        names += found
    assert len(set(names)) == 3


def test_who_is_missing_is_named() -> None:
    store = dist.HashStore()
    with pytest.raises(RuntimeError, match="rank 1, 2"):
        agree_on_name(store, Place(0, 3), 0.1)
    with pytest.raises(RuntimeError):
        agree_on_name(store, Place(1, 3), 0.1)
