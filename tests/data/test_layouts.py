"""Each dataset is read from its official layout: counts, labels, class names, and every file with its label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netaug.config import DataConfig
from netaug.data import build_data, list_datasets, load_image, published
from netaug.data.registry import Source, load_source
from netaug.data.store import FileImages
from tests.data.layout_kit import Expected
from tests.data.layouts import LAYOUTS, VARIANTS, accept_checksums

EVERY = {**LAYOUTS, **VARIANTS}


@pytest.fixture(autouse=True)
def _checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    accept_checksums(monkeypatch)


def write(name: str, root: Path) -> tuple[Expected, DataConfig]:
    config = DataConfig(
        name=name.partition("_")[0] if name in VARIANTS else name,
        root=str(root),
        image_size=8,
        batch_size=2,
        augment="none",
    )
    return EVERY[name](root), config


def listed(source: Source, split: str, root: Path) -> dict[str, int]:
    """Labels by file as the source has them; by position where images share a file."""
    part = source.train if split == "train" else source.val
    assert part is not None
    if not isinstance(part.images, FileImages):
        return {str(i): int(label) for i, label in enumerate(part.labels_N)}
    paths = [Path(part.images.path(i)).relative_to(root).as_posix() for i in range(len(part))]
    return dict(zip(paths, part.labels_N.tolist(), strict=True))


def test_every_published_dataset_has_a_layout_here():
    assert set(LAYOUTS) == {name for name in list_datasets() if published(name) is not None}


@pytest.mark.parametrize("name", EVERY)
def test_files_labels_and_names_are_those_of_the_official_layout(name: str, tmp_path: Path):
    expected, config = write(name, tmp_path)
    source = load_source(config)
    assert list(listed(source, "train", tmp_path).items()) == list(expected.train.items())
    assert list(listed(source, "val", tmp_path).items()) == list(expected.val.items())
    assert len(source.class_names) == expected.num_classes == len(set(source.class_names))
    assert {label: source.class_names[label] for label in expected.classes} == expected.classes
    facts = published(config.name)
    assert facts is not None
    assert (source.val_split, source.in_chans, source.image_size) == (
        facts.val_split,
        facts.in_chans,
        facts.image_size,
    )


@pytest.mark.parametrize("name", EVERY)
def test_batches_hold_the_images_of_the_files(name: str, tmp_path: Path):
    expected, config = write(name, tmp_path)
    data = build_data(config, seed=0)
    batches = list(data.val)
    labels = np.concatenate([batch.labels_N.numpy() for batch in batches])
    assert sorted(labels.tolist()) == sorted(expected.val.values())
    first = next(iter(expected.val))
    if not first.isdigit():
        (image,) = [
            batch.images_NCHW[i]
            for batch in batches
            for i in range(len(batch))
            if batch.indices_N[i] == list(listed(load_source(config), "val", tmp_path)).index(first)
        ]
        assert np.array_equal(image, load_image(tmp_path / first, data.info)[0])


@pytest.mark.parametrize("name", EVERY)
def test_holding_out_training_images_needs_no_evaluation_images(name: str, tmp_path: Path):
    expected, config = write(name, tmp_path)
    for file in expected.val:
        (tmp_path / file).unlink(missing_ok=True)
    held = DataConfig(name=config.name, root=config.root, image_size=8, batch_size=1, holdout=0.3)
    info = build_data(held, seed=0).info
    assert info.val_split == "holdout"
    assert info.train_size + info.val_size == len(expected.train)


@pytest.mark.parametrize("name", LAYOUTS)
def test_fewer_images_than_published_are_said(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    expected, config = write(name, tmp_path)
    build_data(config, seed=0)
    facts = published(config.name)
    assert facts is not None
    assert f"{name} is not as published: " in caplog.text
    assert f"{len(expected.train)} training images, published are {facts.train:,}" in caplog.text


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_facts_are_sound(name: str):
    facts = published(name)
    assert facts is not None
    for total, per_class in ((facts.train, facts.train_per_class), (facts.val, facts.val_per_class)):
        if per_class is not None:
            assert per_class[0] * facts.num_classes <= total <= per_class[1] * facts.num_classes
    assert facts.source
    assert facts.obtain
    assert facts.metric == ("mean_per_class" if name in ("flowers102", "pets") else "top1")


def test_the_page_about_datasets_says_what_the_code_knows():
    page = Path("docs/datasets.md").read_text(encoding="utf-8")
    for name in LAYOUTS:
        facts = published(name)
        assert facts is not None
        counts = f"| `{name}` | {facts.num_classes:,} | {facts.train:,} | {facts.val:,} ({facts.val_split}) |"
        for text in (counts, "\n".join(facts.tree), facts.obtain, facts.source):
            assert text in page
