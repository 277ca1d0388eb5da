"""A cache says what the teacher says on the same draws, and is refused for everything else."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import netaug
from netaug.config import DataConfig, RunConfig
from netaug.config.loading import default_config
from netaug.core.errors import CheckpointError, ConfigError, RunFolderError
from netaug.core.signals import Stopped
from netaug.data import Data, Normalizer, build_data
from netaug.distill import cache_writer as writing
from netaug.distill.cache import Cache, CacheFiles
from netaug.distill.cache_check import AugmentedImages, open_cache
from netaug.distill.cache_writer import cache_card, write_cache
from netaug.distill.teacher import Feed, Teacher, Teachers

CPU = torch.device("cpu")
SETTINGS = ("--data.limit=100", "--data.flip=false", "--data.batch_size=32", "--data.distinct_epochs=3")


def config(*words: str) -> RunConfig:
    return default_config([*SETTINGS, "--distill.teacher=t", *words])


def data_of(settings: RunConfig) -> Data:
    return build_data(settings.data, seed=settings.train.seed, regularize=settings.regularize)


def normalizer(data: Data) -> Normalizer:
    return Normalizer(data.info.mean, data.info.std, CPU, channels_last=False)


def teachers(data: Data, seed: int = 0) -> Teachers:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = netaug.create_model("micronet", num_classes=10, in_chans=1)
        for parameter in network.parameters():
            parameter.data.mul_(3)  # opinions that differ from image to image
    return Teachers([Teacher("t", network, Feed.of(data.info), Feed.of(data.info))], "probabilities")


def images_of(settings: RunConfig) -> AugmentedImages:
    seed, epochs = settings.train.seed, settings.train.epochs
    return AugmentedImages.of(settings.data, settings.regularize, seed=seed, epochs=epochs)


def write(
    folder: Path,
    settings: RunConfig,
    *,
    top: int = 32,
    on_rows: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    data = data_of(settings)
    said = teachers(data)
    card = cache_card(images_of(settings), data, said, top, 50.0)
    folder.mkdir(exist_ok=True)
    write_cache(folder, card, data, said, normalizer(data), batch_size=16, on_rows=on_rows)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "said"
    write(folder, config())
    return folder


def opened(folder: Path, *words: str, live: int | None = None) -> Cache:
    """The cache for a run; with a live teacher of this seed."""
    settings = config(f"--distill.cache={folder}", *words)
    data = data_of(settings)
    live_teachers = None if live is None else teachers(data, live)
    return open_cache(str(folder), images_of(settings), data, normalizer(data), live_teachers)


@pytest.mark.parametrize("epoch", [0, 2, 4])
def test_it_is_the_live_teacher_to_half_precision_on_the_batches_of_every_epoch(
    written: Path, epoch: int
) -> None:
    settings = config()
    data = data_of(settings)
    said, normalize, cache = teachers(data), normalizer(data), Cache(written)
    differing = set()
    for batch in data.train.epoch(epoch):
        live = said(normalize(batch.images_NCHW))
        found = cache.log_probs(data.train.draw(epoch), batch.indices_N.numpy(), CPU)
        torch.testing.assert_close(found, live.half().float(), rtol=2e-3, atol=1e-4)
        differing.add(float(live.std()))
    assert len(differing) == 3, "the teacher says something else about each batch"


def test_epochs_repeat_their_draws_in_turn_and_others_differ(written: Path) -> None:
    data, cache = data_of(config()), Cache(written)
    assert [data.train.draw(epoch) for epoch in range(5)] == [0, 1, 2, 0, 1]
    first, fourth = (
        {
            int(index): image
            for batch in data.train.epoch(epoch)
            for index, image in zip(batch.indices_N, batch.images_NCHW, strict=True)
        }
        for epoch in (0, 3)
    )
    both = set(first) & set(fourth)
    assert all(torch.equal(first[index], fourth[index]) for index in both)
    assert list(first) != list(fourth), "the order is another one"
    rows = np.arange(100)
    assert not torch.equal(cache.log_probs(0, rows, CPU), cache.log_probs(1, rows, CPU))


def test_the_few_files_are_as_large_as_they_have_to_be(written: Path, tmp_path: Path) -> None:
    assert (written / "values.bin").stat().st_size == 3 * 100 * 10 * 2
    assert {entry.name for entry in written.iterdir()} == {".lock", "cache.json", "samples.npy", "values.bin"}
    write(tmp_path / "top", config(), top=3)
    assert (tmp_path / "top/values.bin").stat().st_size == 3 * 100 * 4 * 2
    assert (tmp_path / "top/classes.bin").stat().st_size == 3 * 100 * 3 * 2
    full, few = (
        Cache(written).log_probs(1, np.arange(100), CPU),
        Cache(tmp_path / "top").log_probs(1, np.arange(100), CPU),
    )
    assert torch.equal(full.topk(3, 1).values, few.topk(3, 1).values)
    torch.testing.assert_close(few.exp().sum(1), torch.ones(100), rtol=2e-3, atol=0)


@pytest.mark.parametrize("stop_at", [48, 116, 250])
def test_stopped_writing_goes_on_to_the_same_bits(written: Path, tmp_path: Path, stop_at: int) -> None:
    def stop(done: int, total: int) -> None:
        if done >= stop_at:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped, match=r"of 300 rows are in .* resumes from there") as caught:
        write(tmp_path, config(), on_rows=stop)
    assert caught.value.exit_code == 143
    with pytest.raises(CheckpointError, match="not finished"):
        Cache(tmp_path)
    asked: list[int] = []
    write(tmp_path, config(), on_rows=lambda done, total: asked.append(done))
    assert stop_at < asked[0] <= stop_at + 48
    assert (tmp_path / "values.bin").read_bytes() == (written / "values.bin").read_bytes()
    write(tmp_path, config(), on_rows=lambda done, total: pytest.fail("it is finished"))


def test_it_opens_for_the_run_it_is_of_and_for_runs_that_differ_elsewhere(written: Path) -> None:
    """It opens, and what it says of the images of such a run is what the teacher says of them."""
    others = [
        ("--train.lr=0.3", "--train.epochs=7", "--data.batch_size=10", "--netaug.enabled=false"),
        ("--train.seed=5", "--data.augment_seed=0"),
        ("--data.distinct_epochs=null", "--train.epochs=3"),
    ]
    for words, live in zip(others, (0, None, None), strict=True):
        cache = opened(written, *words, live=live)
        data = data_of(config(*words))
        batch = next(iter(data.train.epoch(1)))
        expected = teachers(data)(normalizer(data)(batch.images_NCHW)).half().float()
        found = cache.log_probs(data.train.draw(1), batch.indices_N.numpy(), CPU)
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--data.pad=2",), "data.pad 1 then, 2 now"),
        (("--data.augment=none",), "data.augment 'small' then, 'none' now"),
        (("--train.seed=1",), "data.augment_seed 0 then, 1 now"),
        (("--data.limit=90",), "train_size 100 then, 90 now"),
        (("--data.classes=0,1,2", "--data.limit=90"), "data's classes 10 then, 3 now"),
        (("--data.image_size=9",), "image_size 8 then, 9 now"),
        (("--regularize.erasing=0.5",), "regularize.erasing 0.0 then, 0.5 now"),
        (("--data.distinct_epochs=4",), "3 augmentations of each image, and 4 are needed"),
        (("--data.distinct_epochs=null",), "and 10 are needed"),
    ],
)
def test_a_cache_of_other_images_is_refused_with_the_difference(
    written: Path, words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError, match="teacher outputs in") as caught:
        opened(written, *words)
    assert says in str(caught.value)
    assert caught.value.fix


def test_images_that_changed_behind_the_same_settings_are_noticed(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netaug.data import loading

    plain = loading.BatchDataset._images

    def other(self: Any, draw: int, indices: Any) -> Any:
        images, kept, skipped = plain(self, draw, indices)
        return images.flip(3), kept, skipped

    monkeypatch.setattr(loading.BatchDataset, "_images", other)
    with pytest.raises(ConfigError, match="of other pixels, though all settings agree") as caught:
        opened(written)
    assert "of 255 levels on average" in str(caught.value)


def test_another_teacher_is_refused(written: Path) -> None:
    with pytest.raises(ConfigError, match="of another teacher") as caught:
        opened(written, live=1)
    assert "nats on a sampled image" in str(caught.value)


def test_rows_that_are_not_what_the_teacher_says_are_noticed(written: Path, tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    shutil.copytree(written, stale)
    values = np.fromfile(stale / "values.bin", np.float16).reshape(300, 10)
    values[::-1].tofile(stale / "values.bin")
    files = CacheFiles(stale)
    card = files.read_card()
    files.write_card(replace(card, checksums=tuple(files.checksums(card))))
    with pytest.raises(ConfigError, match="no longer gives the outputs that are in"):
        opened(stale, live=0)


def flip(path: Path, byte: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "row", "byte", "rows"),
    [
        ("values.bin", 0, 0, "0 to 31"),
        ("values.bin", 299, 7, "288 to 299"),
        ("classes.bin", 131, 3, "128 to 159"),
    ],
)
def test_a_flipped_bit_is_found_before_training_and_its_rows_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, row: int, byte: int, rows: str
) -> None:
    monkeypatch.setattr(writing, "BLOCK_ROWS", 32)
    write(tmp_path / "top", config(), top=3)
    assert len(Cache(tmp_path / "top").card.checksums) == 10
    path = tmp_path / "top" / name
    flip(path, row * path.stat().st_size // 300 + byte)
    with pytest.raises(CheckpointError, match="are damaged") as caught:
        opened(tmp_path / "top")
    assert f"rows {rows} of 300 do not match" in str(caught.value)
    with pytest.raises(CheckpointError, match="are damaged"):  # neither is it counted as finished
        write(tmp_path / "top", config(), top=3)


def without_checksums(folder: Path) -> None:
    card = json.loads((folder / "cache.json").read_text())
    del card["block"], card["checksums"]
    (folder / "cache.json").write_text(json.dumps(card))


def test_a_cache_of_an_earlier_version_is_read_and_said_to_have_no_checksums(
    written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = tmp_path / "old"
    shutil.copytree(written, old)
    without_checksums(old)
    found = opened(old, live=0)
    assert "without checksums" in caplog.text
    caplog.clear()
    rows = np.arange(100)
    assert torch.equal(found.log_probs(1, rows, CPU), opened(written).log_probs(1, rows, CPU))
    assert not caplog.text


@pytest.mark.parametrize("old", [False, True])
def test_a_cache_goes_on_after_a_full_disk_which_is_a_message(
    monkeypatch: pytest.MonkeyPatch, written: Path, tmp_path: Path, old: bool
) -> None:
    """One that an earlier version began has its whole size from the start, in a file with holes."""

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if offset >= 3000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, data[:100], offset)

    def stop(done: int, total: int) -> None:
        if done >= 48:
            signal.raise_signal(signal.SIGTERM)

    pwrite = os.pwrite
    with pytest.raises(Stopped):
        write(tmp_path, config(), on_rows=stop)
    if old:
        without_checksums(tmp_path)
        os.truncate(tmp_path / "values.bin", 6000)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RunFolderError, match=r"values.bin' cannot be written(?s:.*)resumes from there"):
        write(tmp_path, config())
    monkeypatch.setattr(os, "pwrite", pwrite)
    write(tmp_path, config())
    assert (tmp_path / "values.bin").read_bytes() == (written / "values.bin").read_bytes()
    assert bool(Cache(tmp_path).card.checksums) is not old


def test_a_disk_too_full_for_the_rest_is_refused_before_the_teacher_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped):
        write(tmp_path, config(), on_rows=stop)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1000))  # type: ignore[attr-defined]
    with pytest.raises(RunFolderError, match="there is no room"):
        write(tmp_path, config(), on_rows=lambda *_: pytest.fail("the teacher was asked"))


def cut(folder: Path) -> None:
    with (folder / "values.bin").open("r+b") as file:
        file.truncate(5999)


def future(folder: Path) -> None:
    card = json.loads((folder / "cache.json").read_text())
    (folder / "cache.json").write_text(json.dumps({**card, "version": 2}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, "5,999 bytes"),
        (future, "other fields than this version"),
        (lambda folder: (folder / "cache.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "cache.json").unlink(), "no cache.json"),
        (lambda folder: (folder / "values.bin").unlink(), "no file"),
        (lambda folder: (folder / "samples.npy").write_bytes(b"x"), "samples.npy' cannot be read"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_damage_is_named(written: Path, tmp_path: Path, damage: Callable[[Path], object], says: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(written, folder)
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        opened(folder)
    assert says in str(caught.value)


def test_folders_of_something_else_and_full_disks_are_refused(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunFolderError, match="holds other teacher outputs") as caught:
        write(written, config("--data.pad=2"))
    assert "data.pad 1 in the cache, 2 now" in str(caught.value)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty"):
        write(tmp_path, config())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1000))  # type: ignore[attr-defined]
    with pytest.raises(RunFolderError, match="there is no room") as caught:
        write(tmp_path / "new", config())
    assert "3 draws of 100 images, 20 bytes each" in str(caught.value)


def test_draws_can_be_keyed_by_a_seed_of_their_own() -> None:
    def pixels(seed: int, augment_seed: int | None) -> torch.Tensor:
        data = build_data(
            DataConfig(limit=100, batch_size=32, augment_seed=augment_seed, flip=False), seed=seed
        )
        return data.train.make(0, np.arange(20)).images_NCHW

    assert torch.equal(pixels(1, 7), pixels(2, 7))
    assert torch.equal(pixels(7, None), pixels(2, 7))
    assert not torch.equal(pixels(1, None), pixels(2, None))


@pytest.mark.parametrize("files", ["1:other", None])
def test_a_cache_knows_the_files_of_its_images_unless_it_is_of_an_earlier_version(
    written: Path, tmp_path: Path, files: str | None
) -> None:
    """Swapped images are other teacher outputs, also where none of the sampled ones is among them."""
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    card = json.loads((copy / "cache.json").read_text())
    assert card["dataset"].pop("files").startswith("1:")
    if files is not None:
        card["dataset"]["files"] = files
    (copy / "cache.json").write_text(json.dumps(card))
    if files is None:
        opened(copy)
        write(copy, config())  # it goes on, since it is of the same images
        return
    with pytest.raises(ConfigError, match="the data's files '1:other' then"):
        opened(copy)
    with pytest.raises(RunFolderError, match="holds other teacher outputs"):
        write(copy, config())
