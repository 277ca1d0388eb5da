"""Whether a teacher's classes are those of the data, compared by name."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from netaug.core.errors import ConfigError

_log = logging.getLogger("netaug")
_SHOWN = 3


def order_of_classes(
    teacher: str, theirs: Sequence[str] | None, count: int, ours: Sequence[str]
) -> list[int] | None:
    """Where each class of the data is among the teacher's.

    Args:
        teacher: Its name, for messages.
        theirs: Names of its classes in the order of its outputs; None if it does not say.
        count: How many classes it has.
        ours: Names of the data's classes in label order.

    Returns:
        Positions in label order; None if the order is the same, or cannot be compared, which is logged.

    Raises:
        ConfigError: It has another number of classes, or others.
    """
    if count != len(ours):
        raise ConfigError(
            f"the teacher '{teacher}' has other classes than the data.",
            got=f"{count} classes",
            allowed=f"the {len(ours)} classes of the data, {_few(ours)}",
            fix="fine-tune it on this data first, with `netaug finetune` or `netaug train --model.weights`, and give "
            "that run as distill.teacher",
        )
    if theirs is not None and tuple(theirs) == tuple(ours):
        return None
    if theirs is not None and set(theirs) == set(ours) and len(set(ours)) == count:
        _log.warning(
            "the classes of the teacher '%s' are in another order; they are matched by name", teacher
        )
        return [list(theirs).index(name) for name in ours]
    if theirs is None or _numbered(theirs) != _numbered(ours):
        _log.warning(
            "the classes of the teacher '%s' have no names to compare; their order is taken to be that of the data",
            teacher,
        )
        return None
    missing = sorted(set(ours) - set(theirs))
    raise ConfigError(
        f"the teacher '{teacher}' knows other classes than those of the data.",
        got=f"{len(missing)} of {count} classes are not among its own, such as {_few(missing)}",
        allowed=f"the classes of the data, in any order; it knows {_few(theirs)}",
        fix="train or fine-tune it on this data first",
    )


def _numbered(names: Sequence[str]) -> bool:
    """Whether these are no names, but positions."""
    return all(name.isdigit() or name.rpartition(" ")[2].isdigit() for name in names)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown
