"""What is wrong with annotations: the first problem is raised, or all are repaired or left out, and counted."""

from __future__ import annotations

import logging
from collections import Counter

from netaug.core.errors import DataError

_log = logging.getLogger("netaug")

KINDS = {
    "unreadable": "annotation files that cannot be read, left out with their images",
    "no_image": "images that are not on disk, left out",
    "ambiguous": "images of which it cannot be told which file is meant, left out",
    "misnamed": "images whose label file has another name, left out",
    "no_annotation": "images without an annotation file, left out",
    "repeated": "images that are listed again, left out the second time",
    "undecodable": "images that do not decode, left out",
    "other_size": "images of another size than their annotation says, left out",
    "incomplete": "objects of which something is missing, left out",
    "unknown_class": "objects of an unknown class, left out",
    "unknown_image": "objects of an unknown image, left out",
    "not_finite": "boxes with a non-finite number, left out",
    "fractions": "boxes in fractions of the image's sides where pixels belong, left out",
    "swapped": "boxes with swapped corners, turned round",
    "no_size": "boxes of zero or negative size, left out",
    "outside": "boxes outside of their image, left out",
    "beyond": "boxes that reach beyond their image, cut at its edge",
}
"""What can be wrong, and what is done about it when asked."""

_ADVICE = "correct the annotation; `--data.on_error skip` mends or leaves out such things and counts them"


class Problems:
    """Takes note of what is wrong.

    Args:
        skip: Whether problems are counted; else the first is raised.
        keep: How many of each kind are kept word for word.
    """

    def __init__(self, *, skip: bool, keep: int = 1) -> None:
        self.skip, self._keep = skip, keep
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def note(self, kind: str, where: str, *, got: object = None, allowed: object = None) -> None:
        """Count a problem, or raise it.

        Args:
            kind: One of :data:`KINDS`.
            where: One sentence that names the file and the object.
            got: What is there.
            allowed: What may be there.

        Raises:
            DataError: Problems are not to be skipped.
        """
        assert kind in KINDS, kind  # else it would be counted and never shown
        if not self.skip:
            raise DataError(where, got=got, allowed=allowed, fix=_ADVICE)
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < self._keep:
            examples.append(where if got is None else f"{where} Got: {got}")

    def pass_on(self, kind: str, error: DataError) -> None:
        """Note an error that is about one file; raise it if problems are not to be skipped."""
        if not self.skip:
            raise error
        self.note(kind, error.where, got=error.got)

    def copy(self) -> Problems:
        """Return another one of the same content."""
        other = Problems(skip=self.skip, keep=self._keep)
        other.counts.update(self.counts)
        other.examples = {kind: list(texts) for kind, texts in self.examples.items()}
        return other

    def take_over(self, others: Problems) -> bool:
        """Add what was noted of the same files before; returns whether nothing more has to be looked for.

        Nothing is added where problems would be raised, or where fewer were kept word for word than are asked for.
        """
        if not others.counts:
            return True
        if not self.skip or self._keep > others._keep:
            return False
        self.counts.update(others.counts)
        for kind, texts in others.examples.items():
            self.examples.setdefault(kind, []).extend(texts[: self._keep])
        return True

    def first(self) -> str | None:
        """Return the first thing that was wrong, word for word; None if nothing was."""
        return next((examples[0] for kind in KINDS if (examples := self.examples.get(kind))), None)

    def say(self) -> None:
        """Log how many there were of each kind, with the first of each."""
        for kind, text in KINDS.items():
            if self.counts[kind]:
                _log.warning("%d %s; the first: %s", self.counts[kind], text, self.examples[kind][0])
