"""Draw boxes with their names on an image, as SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup
from torch import Tensor

from netaug.report.detection.examples import Mark
from netaug.report.embedded import data_uri

_SIDE = 560  # pixels of the longer side in the page
_MOST_NAMED = 12  # boxes of a kind up to which names are written beside them
_LETTER = 0.68  # mean width of a letter, in sizes of the font; rather too wide than too narrow


def picture(pixels_CHW: Tensor, marks: Sequence[Mark], description: str) -> Markup:
    """Return the image, scaled down, with its boxes.

    Args:
        pixels_CHW: uint8, as large as the file that the boxes are in pixels of.
        marks: The boxes; the last lies on top.
        description: What the picture shows, for those who do not see it.
    """
    height, width = pixels_CHW.shape[-2:]
    size = max(width, height) / 34
    kinds = Counter(mark.kind for mark in marks)
    named = [mark for mark in marks if kinds[mark.kind] <= _MOST_NAMED]
    places = iter(place_names(named, width, height, size))
    names = [next(places) if kinds[mark.kind] <= _MOST_NAMED else None for mark in marks]
    boxes = Markup("").join(_box(mark) for mark in marks)
    # behind all boxes, whose lines would else cross them
    boxes += Markup("").join(_name(mark, name, size) for mark, name in zip(marks, names, strict=True) if name)
    return Markup(
        '<svg class="picture" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<image href="{data}" width="{w}" height="{h}"/>{boxes}</svg>'
    ).format(w=width, h=height, label=description, data=data_uri(pixels_CHW, _SIDE), boxes=boxes)


def place_names(
    marks: Sequence[Mark], width: float, height: float, size: float
) -> list[tuple[float, float] | None]:
    """Choose where the names of boxes are written so that none lies on another; the last mark is the first to choose.

    Args:
        marks: The boxes.
        width: Of the picture, in the boxes' pixels.
        height: Likewise.
        size: Of the letters.

    Returns:
        Left end and baseline of each name; None where there is no room, and the name only appears under a pointer.
    """
    taken: list[tuple[float, float, float, float]] = []
    places: list[tuple[float, float] | None] = []
    for mark in reversed(marks):
        length = _LETTER * size * len(mark.text)
        chosen = None
        for x, y in _candidates(mark.box, length, size):
            left = max(0.0, min(x, width - length))
            area = (left, y - 0.95 * size, left + length, y + 0.3 * size)
            inside = length <= width and area[1] >= 0 and area[3] <= height
            if inside and not any(_overlap(area, other) for other in taken):
                taken.append(area)
                chosen = left, y
                break
        places.append(chosen)
    return places[::-1]


def _candidates(box: tuple[float, ...], length: float, size: float) -> list[tuple[float, float]]:
    """Return ends and baselines: above the box, below it, and inside at its upper and lower edge."""
    left, top, right, bottom = box
    rows = (top - size / 4, bottom + size, top + size, bottom - size / 3)
    return [(x, y) for y in rows for x in (left, right - length)]


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _box(mark: Mark) -> Markup:
    left, top, right, bottom = mark.box
    return Markup(
        '<g class="{kind}"><title>{text}</title>'
        '<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/></g>'
    ).format(
        kind=mark.kind,
        text=mark.text,
        x=left,
        y=top,
        w=max(0.0, right - left),
        h=max(0.0, bottom - top),
    )


def _name(mark: Mark, place: tuple[float, float], size: float) -> Markup:
    return Markup('<g class="{}"><text x="{:.1f}" y="{:.1f}" font-size="{:.1f}">{}</text></g>').format(
        mark.kind, *place, size, mark.text
    )
