"""A part of a dataset: some of its classes, a few images of each."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Literal, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.core.seeding import key, uniforms
from netaug.core.suggest import did_you_mean, nearest
from netaug.data.registry import Source, Split

_SHOWN = 12
_log = logging.getLogger("netaug")


class Selectable(Protocol):
    """The images of a split, whatever their labels are."""

    def __len__(self) -> int: ...

    def select(self, indices: npt.NDArray[np.int64]) -> Self:
        """Return the images at ``indices``, in that order."""


AnySplit = TypeVar("AnySplit", bound=Selectable)
SplitOf_co = TypeVar("SplitOf_co", bound=Selectable, covariant=True)


class HasSplits(Protocol[SplitOf_co]):
    """A dataset as its reader returns it."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names in label order."""

    @property
    def train(self) -> SplitOf_co:
        """Return the training split."""

    @property
    def val(self) -> SplitOf_co | None:
        """Return the evaluation split; None when ``holdout`` asks for a part of the training split instead."""

    @property
    def val_split(self) -> str:
        """Return where ``val`` comes from."""


def select_images(source: HasSplits[AnySplit], config: DataConfig) -> tuple[AnySplit, AnySplit, str]:
    """Select training and evaluation images by ``holdout`` and ``tune_holdout``, then ``shots`` or ``limit``.

    The selection is the same for every run's seed.

    Returns:
        Training images, evaluation images, and where the latter come from: ``val``, ``test`` or ``holdout``.

    Raises:
        DataError: A selection leaves nothing, or a class has fewer images than ``shots``.
    """
    train, val, val_split = source.train, source.val, source.val_split
    chosen = np.arange(len(train))
    # First of all: limit and shots must not change which images are evaluated on.
    if config.holdout > 0:
        held, chosen = held_out(chosen, config.holdout, "holdout")
        if config.tune_holdout > 0:
            held, chosen = held_out(chosen, config.tune_holdout, "tune_holdout")
        val, val_split = train.select(held), "holdout"
    assert val is not None, "a source leaves out its evaluation split only when holdout is set"
    if config.shots is not None:
        assert isinstance(train, Split), "images with boxes are refused with shots before they are read"
        labels_M = train.labels_N[chosen]
        chosen = few_of_each(chosen, labels_M, config.shots, source.class_names, config.subset_seed)
    elif config.limit is not None:
        chosen = limited(chosen, config.limit, config.subset_seed)
    return train if len(chosen) == len(train) else train.select(chosen), val, val_split


def keep_classes(source: Source, names: Sequence[str]) -> Source:
    """Keep only the images of these classes, in both splits; labels are then positions in ``names``.

    Raises:
        DataError: A name is not a class of the dataset or is named twice, or fewer than two are named.
    """
    relabel_C = chosen_classes(source.class_names, names, least=2)
    train = _relabeled(source.train, relabel_C)
    val = None if source.val is None else _relabeled(source.val, relabel_C)
    return dataclasses.replace(source, class_names=tuple(names), train=train, val=val)


def chosen_classes(known: Sequence[str], names: Sequence[str], *, least: int) -> npt.NDArray[np.int64]:
    """Return the new label of each class when only some are kept: its position in ``names``, or -1.

    Args:
        known: All classes in label order.
        names: Those that are kept.
        least: How many there must be.

    Raises:
        DataError: A name is not a class of the dataset or is named twice, or there are fewer than ``least``.
    """
    number = {name: label for label, name in enumerate(known)}
    for name in names:
        if name not in number:
            raise _unknown(name, known)
    if len(set(names)) < len(names):
        repeated = next(name for name in names if list(names).count(name) > 1)
        raise DataError("data.classes names a class twice.", got=repeated, allowed="different classes")
    if len(names) < least:
        raise DataError(
            "data.classes leaves nothing to tell apart.",
            got=f"{len(names)} class: {', '.join(names)}",
            allowed="two classes or more; none named keeps all",
        )
    relabel_C = np.full(len(number), -1, np.int64)
    relabel_C[[number[name] for name in names]] = np.arange(len(names))
    return relabel_C


def few_of_each(
    positions_M: npt.NDArray[np.int64],
    labels_M: npt.NDArray[np.int64],
    shots: int,
    class_names: Sequence[str],
    seed: int,
) -> npt.NDArray[np.int64]:
    """Choose ``shots`` images of each class by keyed draws; fewer shots choose a part of what more shots do.

    Args:
        positions_M: Positions in the training split to choose from.
        labels_M: Their classes.
        shots: Images of each class.
        class_names: In label order.
        seed: Keys the choice.

    Returns:
        The positions chosen, ascending.

    Raises:
        DataError: A class has fewer images.
    """
    counts_C = np.bincount(labels_M, minlength=len(class_names))
    if counts_C.min() < shots:
        least = int(counts_C.argmin())
        raise DataError(
            "data.shots asks for more images than a class has.",
            got=f"{shots}; {class_names[least]!r} has {counts_C[least]} to train on",
            allowed=f"1 to {counts_C[least]}",
        )
    draws_M = uniforms(key(seed, "shots"), positions_M, 1)[:, 0]
    ranked_M = positions_M[np.lexsort((draws_M, labels_M))]  # class by class, in drawn order
    starts_C = np.cumsum(counts_C) - counts_C
    return np.sort(ranked_M[(starts_C[:, None] + np.arange(shots)).ravel()])


def _relabeled(split: Split, relabel_C: npt.NDArray[np.int64]) -> Split:
    kept = split.select(np.flatnonzero(relabel_C[split.labels_N] >= 0))
    return Split(kept.images, relabel_C[kept.labels_N])


def _unknown(name: str, known: Sequence[str]) -> DataError:
    close = nearest(name, known, count=1)
    more = f", and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return DataError(
        "data.classes names a class that the dataset does not have.",
        got=repr(name),
        allowed=", ".join(known[:_SHOWN]) + more,
        fix=did_you_mean(map(repr, close)),
    )


def held_out(
    positions: np.ndarray, fraction: float, setting: Literal["holdout", "tune_holdout"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a fraction of some positions, drawn by a key, and the others; the same for every run's seed.

    Args:
        positions: Positions in the training split.
        fraction: How many of them are held out.
        setting: The setting of `data` that asks for it, which keys the draw.

    Raises:
        DataError: None would be left, or none held out.
    """
    count = len(positions)
    held = round(count * fraction)
    if not 0 < held < count:
        raise DataError(
            f"data.{setting} leaves no images to train on or none to evaluate.",
            got=f"{fraction} of {count} training images",
            allowed=f"at least {1 / count:.2g}, and less than 1",
        )
    order = ranked(positions, setting)  # not keyed by a seed: runs of all seeds are comparable
    return np.sort(order[:held]), np.sort(order[held:])


def limited(chosen: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Return so many of these positions, in order, drawn by the seed; all, with a warning, if there are no more."""
    if limit >= len(chosen):
        _log.warning("data.limit %d changes nothing: there are %d images.", limit, len(chosen))
    return np.sort(ranked(chosen, "limit", seed)[:limit])


def ranked(positions: np.ndarray, purpose: str, seed: int = 0) -> np.ndarray:
    """Return positions in an order of (what, seed) alone."""
    draws = uniforms(key(seed, purpose), positions, 1)[:, 0]
    ranked: np.ndarray = positions[np.argsort(draws)]
    return ranked
