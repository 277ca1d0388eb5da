from __future__ import annotations

import numpy as np
import pytest

from netaug.data.sampler import OrderedBatches, ShuffledBatches


def epoch_of(sampler: ShuffledBatches, epoch: int) -> np.ndarray:
    sampler.epoch = epoch
    keys = list(sampler)
    assert {key[0] for key in keys} == {epoch}
    return np.stack([key[1] for key in keys])


def test_every_position_appears_once_when_batches_fill_the_split():
    order = epoch_of(ShuffledBatches(24, 4, seed=0), epoch=3)
    assert order.shape == (6, 4)
    assert sorted(order.ravel()) == list(range(24))


def test_incomplete_batch_is_left_out_and_changes_with_the_epoch():
    sampler = ShuffledBatches(10, 4, seed=0)
    left_out = [set(range(10)) - set(epoch_of(sampler, epoch).ravel()) for epoch in range(5)]
    assert {len(positions) for positions in left_out} == {2}
    assert len({frozenset(positions) for positions in left_out}) > 1


def test_order_depends_on_seed_and_epoch_alone():
    first = epoch_of(ShuffledBatches(64, 8, seed=1), epoch=2)
    walked = ShuffledBatches(64, 8, seed=1)
    epoch_of(walked, 0)
    assert np.array_equal(epoch_of(walked, 2), first)
    assert not np.array_equal(epoch_of(walked, 3), first)
    assert not np.array_equal(epoch_of(ShuffledBatches(64, 8, seed=2), 2), first)


@pytest.mark.parametrize(("size", "lengths"), [(8, [4, 4]), (9, [4, 4, 1]), (3, [3])])
def test_evaluation_visits_everything_in_order(size: int, lengths: list[int]):
    sampler = OrderedBatches(size, 4)
    batches = [positions for _, positions in sampler]
    assert [len(positions) for positions in batches] == lengths
    assert len(sampler) == len(lengths)
    assert np.array_equal(np.concatenate(batches), np.arange(size))
