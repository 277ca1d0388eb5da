from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.batch import ClassificationBatch
from netaug.data.loading import TrainLoader


def equal(a: ClassificationBatch, b: ClassificationBatch) -> bool:
    pairs = [(a.images_NCHW, b.images_NCHW), (a.labels_N, b.labels_N), (a.indices_N, b.indices_N)]
    return all(torch.equal(x, y) for x, y in pairs)


def same(a: list[ClassificationBatch], b: list[ClassificationBatch]) -> bool:
    return len(a) == len(b) > 0 and all(equal(x, y) for x, y in zip(a, b, strict=True))


def config_for(kind: str, root: Path, workers: int) -> DataConfig:
    if kind == "memory":
        return DataConfig(limit=300, batch_size=32, workers=workers)
    return DataConfig(
        name="folder",
        root=str(root),
        batch_size=3,
        eval_batch_size=2,
        cache="none",
        image_size=8,
        augment="imagenet" if kind == "photos" else "small",
        workers=workers,
    )


@pytest.mark.parametrize("kind", ["memory", "files", "photos"])
def test_batches_are_the_same_to_the_bit_for_any_number_of_workers(two_classes: Path, kind: str):
    reference = build_data(config_for(kind, two_classes, 0), seed=1)
    train, val = [list(reference.train.epoch(epoch)) for epoch in (0, 1)], list(reference.val)
    assert not same(train[0], train[1])
    for workers in (1, 2, 4):
        data = build_data(config_for(kind, two_classes, workers), seed=1)
        assert same(list(data.train.epoch(0)), train[0])
        assert same(list(data.val), val)
        assert same(list(data.train.epoch(1)), train[1])  # the same workers, told the new epoch
        assert same(list(data.train.epoch(0)), train[0])


@pytest.mark.parametrize("together", [1, 64 * 100, 2**20])
def test_how_many_batches_are_made_at_once_changes_no_bit(together: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netaug.data.dataset._TOGETHER_BYTES", together)
    data = build_data(DataConfig(limit=300, batch_size=32, augment="small", pad=1, flip=True), seed=1)
    dataset, sampler = data.labeled._dataset, data.labeled._sampler
    sampler.epoch, sampler.skip = 3, 0
    alone = [dataset[key].batch for key in sampler]
    assert same(list(data.train.epoch(3)), [batch for batch in alone if batch is not None])
    assert same(list(data.train.epoch(3, skip=4)), list(data.train.epoch(3))[4:])
    assert list(data.train.epoch(3, skip=len(data.train))) == []


def test_evenly_spaced_images_are_prepared_as_evaluation_images_are(two_classes: Path):
    data = build_data(config_for("photos", two_classes, 0), seed=1)
    everything = torch.cat([batch.images_NCHW for batch in data.val])
    spaced = torch.cat([batch.images_NCHW for batch in data.val.evenly_spaced(2)])
    assert torch.equal(spaced, everything[[0, -1]])  # of both classes, though files are sorted by class
    assert len(list(data.val.evenly_spaced(10_000))) == len(data.val)
    train = list(data.labeled.unaugmented(data.val, 4))
    assert sum(map(len, train)) == 4
    assert {int(label) for batch in train for label in batch.labels_N} == {0, 1}
    assert same(train, list(data.labeled.unaugmented(data.val, 4)))  # nothing random is left


@pytest.mark.parametrize(("workers", "said"), [(1, False), (3, True)])
def test_more_workers_than_processors_are_said_once_in_our_words(
    workers: int, said: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("netaug.data.workers.default_jobs", lambda: 2)
    build_data(config_for("memory", Path(), workers), seed=0)
    assert ("data.workers 3 is more than the 2 processors" in caplog.text) is said
    assert caplog.text.count("processors") == said


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_left_early_does_not_leak_into_the_next(workers: int):
    data = build_data(config_for("memory", Path(), workers), seed=0)
    whole = list(data.train.epoch(1))
    next(data.train.epoch(0))
    assert same(list(data.train.epoch(1)), whole)


@pytest.mark.parametrize("kind", ["memory", "photos"])
def test_an_image_is_augmented_alike_in_batches_of_any_size(two_classes: Path, kind: str):
    def by_index(batch_size: int) -> dict[int, bytes]:
        config = config_for(kind, two_classes, 0)
        changed = DataConfig(**{**vars(config), "batch_size": batch_size})
        return {
            int(index): image.numpy().tobytes()
            for batch in build_data(changed, seed=0).train.epoch(4)
            for image, index in zip(batch.images_NCHW, batch.indices_N, strict=True)
        }

    few, many = by_index(1), by_index(5)
    assert len(many) >= 10
    assert all(few[index] == image for index, image in many.items())


@pytest.mark.parametrize("kind", ["memory", "photos"])
def test_an_image_is_augmented_anew_in_every_epoch(two_classes: Path, kind: str):
    data = build_data(config_for(kind, two_classes, 0), seed=0)
    first, second = (
        {int(i): im for b in data.train.epoch(e) for i, im in zip(b.indices_N, b.images_NCHW, strict=True)}
        for e in (0, 1)
    )
    shared = first.keys() & second.keys()
    assert sum(not torch.equal(first[i], second[i]) for i in shared) > len(shared) / 2


def test_the_run_seed_changes_order_and_augmentation():
    first, second = (list(build_data(DataConfig(), seed=seed).train.epoch(0)) for seed in (0, 1))
    assert not torch.equal(first[0].indices_N, second[0].indices_N)
    positions = {int(i): image for b in first for i, image in zip(b.indices_N, b.images_NCHW, strict=True)}
    batch = second[0]
    shared = [
        (positions[int(i)], im)
        for i, im in zip(batch.indices_N, batch.images_NCHW, strict=True)
        if int(i) in positions
    ]
    assert any(not torch.equal(a, b) for a, b in shared)


def test_lengths_are_those_of_the_iterators():
    data = build_data(DataConfig(batch_size=100, eval_batch_size=100), seed=0)
    train, val = list(data.train.epoch(0)), list(data.val)
    assert [len(batch) for batch in train] == [100] * 14 == [100] * len(data.train)
    assert [len(batch) for batch in val] == [100, 100, 100, 59]
    assert len(data.val) == 4
    assert torch.equal(torch.cat([batch.indices_N for batch in val]), torch.arange(359))


def test_evaluation_images_are_not_augmented():
    data = build_data(DataConfig(augment="small"), seed=0)
    plain = build_data(DataConfig(augment="none"), seed=0)
    assert same(list(data.val), list(plain.val))
    assert not same(list(data.train.epoch(0)), list(plain.train.epoch(0)))


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_random_state_alone(workers: int):
    data = build_data(DataConfig(augment="imagenet", limit=64, batch_size=32, workers=workers), seed=0)
    state = torch.get_rng_state()
    list(data.train.epoch(0))
    list(data.val)
    assert torch.equal(torch.get_rng_state(), state)


def test_fewer_images_than_a_batch_is_an_error():
    with pytest.raises(DataError) as caught:
        build_data(DataConfig(limit=20, batch_size=64), seed=0)
    assert "20 images, data.batch_size 64" in str(caught.value.got)
    assert "--data.batch_size 20" in str(caught.value.fix)


@pytest.mark.parametrize("kind", ["memory", "photos"])
def test_what_workers_receive_can_be_pickled(two_classes: Path, kind: str):
    """Where processes are not forked, the dataset travels to them."""
    loader = build_data(config_for(kind, two_classes, 0), seed=0).train
    assert isinstance(loader, TrainLoader)
    dataset = loader._batches._loader.dataset
    key = (0, next(loader.epoch(0)).indices_N.numpy())
    assert equal(pickle.loads(pickle.dumps(dataset))[key].batch, dataset[key].batch)


@pytest.mark.slow
def test_an_error_that_nobody_catches_ends_the_process_and_its_workers():
    """Workers ignore SIGTERM: without being told to end they would be waited for, for ever."""
    script = """
import torch
from netaug.config import DataConfig
from netaug.data import build_data

data = build_data(DataConfig(name="digits", workers=1), seed=0)
batches = data.train.epoch(0)
next(batches)
kept = batches  # as the traceback of an error does
raise SystemExit(7)
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=200, check=False)
    assert ended.returncode == 7
