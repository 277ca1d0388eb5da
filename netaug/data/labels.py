"""Labels as tables and shards write them, numbers or names of classes, into class indices."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from netaug.core.errors import DataError

_MISSING = frozenset({"nan", "none", "null", "na", "n/a", "<na>"})
_SHOWN = 5
_MANY = 50

_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class RawLabels:
    """The labels of one split as they are written.

    Args:
        texts: One per image; numbers are written out.
        origin: Where they come from, for messages: a file, or a folder of shards.
        place: The place of one label in it, for messages: ``place(3) == "line 5"``.
    """

    texts: Sequence[str]
    origin: str
    place: Callable[[int], str]


class Labels(NamedTuple):
    """Class names in label order; int64 class indices of both splits."""

    class_names: tuple[str, ...]
    train_N: npt.NDArray[np.int64]
    val_N: npt.NDArray[np.int64] | None


class _Coded(NamedTuple):
    """Each label as a position in the distinct ones, which are in the order of their first occurrence."""

    raw: RawLabels
    distinct: list[str]
    codes_N: npt.NDArray[np.int64]

    def where(self, code: int) -> str:
        """Return the first place of one of the distinct labels."""
        return self.raw.place(int(np.argmax(self.codes_N == code)))


def resolve_labels(train: RawLabels, val: RawLabels | None, names: tuple[str, ...] | None) -> Labels:
    """Turn written labels into class indices.

    Args:
        train: Labels of the training split, not empty.
        val: Labels of the evaluation split.
        names: Names of all classes in label order. Without them whole numbers count from 0 to the largest one in
            ``train``, and names are sorted.

    Returns:
        The classes and both splits' indices.

    Raises:
        DataError: A label is missing, not a whole number among numbers, out of range, or in ``val`` only.
    """
    coded = [_coded(raw) for raw in (train, val) if raw is not None]
    are_names = names is not None and set(coded[0].distinct) <= set(names)  # even if they look like numbers
    values = None if are_names else _numbers(coded[0])
    if values is not None:
        class_names = names or _numbered(coded[0], values)
        tables = [_by_number(split, len(class_names), names is not None) for split in coded]
    else:
        class_names = names or tuple(sorted(coded[0].distinct))
        number = {name: label for label, name in enumerate(class_names)}
        tables = [[number.get(text, -1) for text in split.distinct] for split in coded]
        _refuse_unknown(coded[0], tables[0], class_names)
        _warn_of_captions(coded[0])
    if len(coded) > 1:
        _check_val(coded[1], tables[0], tables[1], class_names)
    _warn_of_gaps(coded[0].raw.origin, set(tables[0]), class_names)
    indices = [np.array(table, np.int64)[split.codes_N] for split, table in zip(coded, tables, strict=True)]
    return Labels(class_names, indices[0], indices[1] if len(indices) > 1 else None)


def _coded(raw: RawLabels) -> _Coded:
    positions: dict[str, int] = {}
    codes = (positions.setdefault(text.strip(), len(positions)) for text in raw.texts)
    coded = _Coded(raw, [], np.fromiter(codes, np.int64, len(raw.texts)))
    coded.distinct.extend(positions)
    if "" in positions:
        raise DataError(
            f"a label is missing in {raw.origin}.",
            got=f"nothing in {coded.where(positions[''])}",
            allowed="a class index from 0, or a class name, for every image",
        )
    return coded


def _numbers(coded: _Coded) -> list[int] | None:
    """Return the distinct labels as whole numbers; None when they are names."""
    floats = [_float(text) for text in coded.distinct]
    written = [text for text, value in zip(coded.distinct, floats, strict=True) if value is None]
    if len(written) == len(floats) or any(text.lower() not in _MISSING for text in written):
        return None
    for code, value in enumerate(floats):
        if value is None or not value.is_integer():
            raise DataError(
                f"a label in {coded.raw.origin} is not a whole number, as the others are.",
                got=f"{coded.distinct[code]} in {coded.where(code)}",
                allowed="a class index from 0, or a class name, for every image",
            )
    return [int(value) for value in floats if value is not None]


def _float(text: str) -> float | None:
    """Return the number a text stands for; None for names, missing numbers, and codes such as '007'."""
    # float() reads "1_0" as 10; leading zeros mark codes, which are names.
    digits = text.lstrip("-")
    if "_" in text or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return None if value != value else value


def _numbered(train: _Coded, values: list[int]) -> tuple[str, ...]:
    """Return the names 0, 1, ... up to the largest label, which must be plausible."""
    largest = max(values)
    if largest >= len(train.codes_N):
        raise DataError(
            f"labels out of range in {train.raw.origin}.",
            got=f"{largest} in {train.where(values.index(largest))}, "
            f"with {len(values)} different labels on {len(train.codes_N)} images",
            allowed="class indices from 0, one less than the number of classes at most",
            fix="number the classes from 0, or give the names of all classes, one per line: --data.class_names FILE",
        )
    return tuple(str(label) for label in range(largest + 1))


def _by_number(coded: _Coded, count: int, named: bool) -> list[int]:
    """Return class indices of the distinct labels, in [0, count) unless they are of the evaluation split."""
    values = _numbers(coded)
    if values is None:
        code = next(code for code, text in enumerate(coded.distinct) if _float(text) is None)
        raise DataError(
            f"a label in {coded.raw.origin} is a name, though those of the training split are numbers.",
            got=f"'{coded.distinct[code]}' in {coded.where(code)}",
            allowed=f"whole numbers from 0 to {count - 1}",
        )
    for code, value in enumerate(values):
        if value < 0 or (named and value >= count):
            raise DataError(
                f"labels out of range in {coded.raw.origin}.",
                got=f"{value} in {coded.where(code)}",
                allowed=f"class indices from 0 to {count - 1}",
                fix="leave out images without a label" if value == -1 else None,
            )
    return values


def _refuse_unknown(train: _Coded, labels: list[int], class_names: tuple[str, ...]) -> None:
    if -1 not in labels:
        return
    code = labels.index(-1)
    raise DataError(
        f"a label in {train.raw.origin} is not among the names of the classes.",
        got=f"'{train.distinct[code]}' in {train.where(code)}",
        allowed=f"one of {len(class_names)} names: {shown(class_names)}",
        fix="add it to the file of data.class_names, or correct the label",
    )


def _warn_of_captions(train: _Coded) -> None:
    """Warn of texts that hardly repeat: they are captions rather than classes."""
    images, different = len(train.codes_N), len(train.distinct)
    if different > max(_MANY, images // 2):
        example = train.distinct[0][:60]
        _log.warning(
            "%s has %d different labels on %d images, such as '%s': are these classes?",
            train.raw.origin,
            different,
            images,
            example,
        )


def _check_val(val: _Coded, trained: list[int], labels: list[int], class_names: tuple[str, ...]) -> None:
    known = set(trained)
    unknown = [code for code, label in enumerate(labels) if label not in known]
    if unknown:
        raise DataError(
            f"{val.raw.origin} has {len(unknown)} of its {len(labels)} classes that the training split lacks.",
            got=f"{shown([val.distinct[code] for code in unknown])}; the first in {val.where(unknown[0])}",
            allowed="for evaluation, only classes that are trained",
            fix="add training images of these classes, or leave these rows out",
        )
    absent = [class_names[label] for label in sorted(known - set(labels))]
    if absent:
        _log.warning("%s lacks %d classes (%s); not evaluated.", val.raw.origin, len(absent), shown(absent))


def _warn_of_gaps(origin: str, present: set[int], class_names: tuple[str, ...]) -> None:
    gaps = [name for label, name in enumerate(class_names) if label not in present]
    if gaps:
        hint = " Labels count from 0." if 0 not in present else ""
        _log.warning("%s has no images of %d classes (%s).%s", origin, len(gaps), shown(gaps), hint)


def shown(names: Iterable[object]) -> str:
    """Return the first few names, for messages."""
    listed = list(names)
    return ", ".join(f"'{name}'" for name in listed[:_SHOWN]) + ", ..." * (len(listed) > _SHOWN)
