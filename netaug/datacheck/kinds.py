"""The kinds of things that are found in a dataset, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Args:
        name: As in the JSON report.
        title: As in the table.
        problem: Whether it makes the dataset unsound; else it is worth knowing.
        advice: What to do about it.
    """

    name: str
    title: str
    problem: bool
    advice: str


_BROKEN = "fetch them again or delete them; `--data.on_error skip` trains without them"

KINDS = {
    kind.name: kind
    for kind in (
        Kind("unreadable", "cannot be read", True, "restore them, their permissions or the disk"),
        Kind("not_image", "no image files", True, "delete them; `--data.on_error skip` trains without them"),
        Kind("corrupt", "do not decode", True, _BROKEN),
        Kind("truncated", "are cut off", True, f"their rest may be grey without an error; {_BROKEN}"),
        Kind("damaged", "differ from their checksum", True, "pack the dataset again with `netaug data pack`"),
        Kind("oversized", "have too many pixels", True, "scale them down; they are refused, not decoded"),
        Kind(
            "leaked",
            "are in both splits",
            True,
            "remove them from the training split, else the evaluation measures what was learned by heart",
        ),
        Kind(
            "contradictory",
            "are labelled in two ways",
            True,
            "keep the right one: the same image cannot be two classes",
        ),
        Kind("repeated", "occur again in their split", False, "nothing has to be done; they count twice"),
        Kind(
            "cmyk",
            "are CMYK",
            False,
            "they are converted, and colours may be off; save them as RGB to be sure",
        ),
        Kind(
            "sixteen_bit",
            "have more than 8 bits per channel",
            False,
            "they are scaled to 8 bits by the range of their values; see docs/datasets.md",
        ),
        Kind("grey", "are greyscale", False, "nothing has to be done: their channels are equal"),
        Kind("rotated", "are turned by EXIF", False, "nothing has to be done here: they are read upright"),
        Kind(
            "unused", "are files that no split reads", False, "see whether images were forgotten among them"
        ),
    )
}
"""By name, problems first."""
