"""The lists of Pascal VOC's `ImageSets/Main`, and the image files that their ids stand for."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from netaug.core.text_files import read_lines
from netaug.data.decode.image import SUFFIXES
from netaug.data.detection.problems import Problems


def image_files(year: Path) -> dict[str, list[str]]:
    """The files in `JPEGImages` by id, which is the name without ending."""
    found: dict[str, list[str]] = defaultdict(list)
    with os.scandir(year / "JPEGImages") as entries:
        for name in sorted(entry.name for entry in entries):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES:
                found[stem].append(name)
    return dict(found)


def read_list(path: Path, files: Mapping[str, Sequence[str]], problems: Problems) -> list[str]:
    """The ids of a list, each once, in order.

    A line is an id; the lists of single classes have a flag (-1, 0 or 1) behind it. An id may have spaces in it, so a
    whole line counts first if there is an image or an annotation of that name, then its first word.
    """
    annotations = path.parent.parent.parent / "Annotations"

    def is_there(one: str) -> bool:
        return one in files or (annotations / f"{one}.xml").is_file()

    seen: dict[str, int] = {}
    for row, line in enumerate(read_lines(path, "list of images"), start=1):
        if not (words := line.split()):
            continue
        whole = line.strip()
        unflagged = whole.removesuffix(words[-1]).rstrip() if words[-1] in ("-1", "0", "1") else whole
        options = (whole, unflagged or whole, words[0])
        one = next((option for option in options if is_there(option)), options[1])
        if one in seen:
            problems.note("repeated", f"'{path}' lists '{one}' twice.", got=f"lines {seen[one]} and {row}")
        else:
            seen[one] = row
    return list(seen)
