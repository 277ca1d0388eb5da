"""Reports what a check found, as text and as JSON."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netaug.datacheck.counts import SplitCounts
from netaug.datacheck.scan import Findings, Item
from netaug.datacheck.speed import Speed

_SHOWN = 3


@dataclass(frozen=True)
class Report:
    """Holds everything that was found in a dataset.

    Args:
        dataset: Its name.
        root: Its folder.
        counts: Images by split and class.
        complaints: What is wrong with the counts.
        findings: What is wrong with the images, or worth knowing.
        speed: How fast it is fed; None if that was not asked for or cannot be told.
        no_speed: Why it cannot be told.
        remarks: Further lines for people, below the counts.
        more: Further entries for programs.
    """

    dataset: str
    root: str | None
    counts: Sequence[SplitCounts]
    complaints: Sequence[str]
    findings: Findings
    speed: Speed | None = None
    no_speed: str = ""
    remarks: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def problems(self) -> int:
        """Return the number of findings that make the dataset unsound."""
        return len(self.complaints) + sum(
            len(found) for kind, found in self.findings.items.items() if KINDS[kind].problem
        )

    def as_json(self) -> dict[str, Any]:
        """Return all of it, with every file by name."""
        return {
            "dataset": self.dataset,
            "root": self.root,
            "complete": self.findings.complete,
            "images": self.findings.total,
            "looked_at": self.findings.looked,
            "problems": self.problems,
            "splits": [dataclasses.asdict(row) for row in self.counts],
            "complaints": list(self.complaints),
            "found": {
                name: [dataclasses.asdict(item) for item in self.findings.items.get(name, [])]
                for name in KINDS
            },
            "speed": self.speed and {**dataclasses.asdict(self.speed), "verdict": self.speed.verdict()},
            **self.more,
        }

    def lines(self) -> Iterator[str]:
        """Return the report as lines for a terminal."""
        where = "" if self.root is None else f" in {self.root}"
        yield f"{self.dataset}{where}: {len(self.counts[0].per_class):,} classes"
        yield from _table(self.counts)
        yield from self.remarks
        yield from (f"PROBLEM  {complaint}" for complaint in self.complaints)
        yield ""
        yield from self._found()
        if self.speed is not None or self.no_speed:
            yield ""
            yield from _speed_lines(self.speed, self.no_speed)
        yield ""
        yield self._conclusion()

    def _found(self) -> Iterator[str]:
        width = max(len(f"{len(found):,}") for found in [*self.findings.items.values(), []])
        for name, kind in KINDS.items():
            items = self.findings.items.get(name, [])
            if items:
                yield f"{'PROBLEM' if kind.problem else 'note':<9}{len(items):>{width},} {kind.title}: {kind.advice}"
                yield from (f"           {_item(item)}" for item in items[:_SHOWN])
                if len(items) > _SHOWN:
                    yield f"           and {len(items) - _SHOWN:,} more; --json FILE lists them all"
        if not self.findings.items and self.findings.complete:
            yield f"all {self.findings.total:,} images decode; nothing to remark on any file"

    def _conclusion(self) -> str:
        seen = f"{self.findings.looked:,} of {self.findings.total:,} images"
        if not self.findings.complete:
            return f"stopped: {seen} were looked at, {self.problems:,} problems until then; duplicates were not sought"
        return f"{self.problems:,} problems" if self.problems else f"sound: {seen} looked at, no problems"


def _item(item: Item) -> str:
    return f"{item.name}  {item.detail}".rstrip()


def _table(counts: Sequence[SplitCounts]) -> Iterator[str]:
    rows = [("split", "images", "published", "a class: fewest", "median", "most")]
    for row in counts:
        sizes = list(row.per_class.values())
        known = "-" if row.published is None else f"{row.published:,}"
        middle = f"{statistics.median(sizes):,.0f}"
        rows.append((row.split, f"{row.images:,}", known, f"{min(sizes):,}", middle, f"{max(sizes):,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for cells in rows:
        first, *rest = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join([cells[0].ljust(len(first)), *rest])


def _speed_lines(speed: Speed | None, reason: str) -> Iterator[str]:
    if speed is None:
        yield f"speed: cannot be measured: {reason}"
        return
    side = f"{speed.image_size}x{speed.image_size}"
    yield f"speed: one core delivers {speed.delivered:,.0f} images/s of {side}, augment {speed.augment}"
    if speed.base is not None and speed.netaug is not None:
        yield (
            f"       {speed.model} on {speed.device} consumes {speed.base:,.0f} images/s; "
            f"with NetAug (base + wider network) {speed.netaug:,.0f}"
        )
    yield f"       {speed.verdict()}"


@dataclass(frozen=True)
class Kind:
    """Describes one kind of finding.

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
            "are labeled in two ways",
            True,
            "keep the right one: the same image cannot be two classes",
        ),
        Kind("repeated", "occur again in their split", False, "nothing has to be done; they count twice"),
        Kind(
            "cmyk",
            "are CMYK",
            False,
            "they are converted, and colors may be off; save them as RGB to be sure",
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
