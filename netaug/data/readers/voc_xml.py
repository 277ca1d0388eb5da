"""Pascal VOC's annotation of one image, read without ever following what a file refers to."""

from __future__ import annotations

from typing import NamedTuple
from xml.parsers import expat

from netaug.core.errors import DataError
from netaug.core.text_files import decode_xml
from netaug.data.decode.image import read_content

CORNERS = ("xmin", "ymin", "xmax", "ymax")

_OBJECT = ("annotation", "object")
_SIZE = ("annotation", "size")
_OF_OBJECT = frozenset(
    {(*_OBJECT, "name"), (*_OBJECT, "difficult"), *((*_OBJECT, "bndbox", c) for c in CORNERS)}
)
_OF_SIZE = frozenset({(*_SIZE, "width"), (*_SIZE, "height")})
_FLAGS = {
    **dict.fromkeys(("", "0", "false", "no", "f", "n", "0.0"), False),
    **dict.fromkeys(("1", "true", "yes", "t", "y", "1.0"), True),
}
_MOST_BYTES = 64 * 2**20
_MOST_DEPTH = 32


class VocObject(NamedTuple):
    """One object as it stands in the file.

    Args:
        name: Its class.
        difficult: Whether it is marked so.
        corners: xmin, ymin, xmax, ymax; NaN is kept.
        wrong: What is missing of it; the other fields then say nothing.
    """

    name: str
    difficult: bool
    corners: tuple[float, ...]
    wrong: str | None = None


class VocFile(NamedTuple):
    """One annotation file.

    Args:
        size: Width and height of the image in pixels; None if the file does not say.
        objects: Its objects; none is an image without.
    """

    size: tuple[int, int] | None
    objects: list[VocObject]


def read_voc(path: str) -> VocFile:
    """Read an annotation file.

    Raises:
        DataError: It is missing, not XML, not an annotation, too large, or has a document type, which may hold
            entities: names for further text, here or elsewhere, which are never resolved.
    """
    try:
        content = read_content(path)
    except DataError:
        raise DataError(f"there is no annotation file '{path}', or it cannot be read.") from None
    if len(content) > _MOST_BYTES:
        raise DataError(f"the annotation file '{path}' is too large.", got=f"{len(content):,} bytes")
    reader = _Reader(path)
    try:
        reader.parser.Parse(decode_xml(content, path), True)
    except expat.ExpatError as error:
        raise DataError(f"'{path}' is not an XML file.", got=error) from None
    if not reader.annotated:
        raise DataError(f"'{path}' is not an annotation.", allowed="<annotation> as the outermost element")
    return VocFile(_size(reader.size), [_object(fields) for fields in reader.objects])


class _Reader:
    """Collects the texts that matter while expat walks through a file."""

    def __init__(self, path: str) -> None:
        self.annotated = False
        self.size: dict[str, str] = {}
        self.objects: list[dict[str, str]] = []
        self._path, self._place, self._text = path, list[str](), list[str]()
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text.append
        # Entities need a document type: refusing it is safe against files read from elsewhere and against "billion
        # laughs", in which a short text unfolds to gigabytes.
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _refuse(self, *_: object) -> None:
        raise DataError(
            f"'{self._path}' has a document type declaration, which may refer to other files.",
            got="<!DOCTYPE ...",
            allowed="plain XML without document type and entities",
            fix="remove the declaration; `--data.on_error skip` leaves such files and their images out",
        )

    def _start(self, tag: str, _: dict[str, str]) -> None:
        self._place.append(tag)
        if len(self._place) > _MOST_DEPTH:
            raise DataError(
                f"'{self._path}' has elements within elements within elements.",
                got=f"more than {_MOST_DEPTH} levels",
                allowed="the four of VOC's annotations, and a few more",
            )
        self._text.clear()  # text counts only between the start and end of one innermost element
        if tuple(self._place) == _OBJECT:
            self.objects.append({})
        self.annotated |= self._place == ["annotation"]

    def _end(self, tag: str) -> None:
        path = tuple(self._place)
        if path in _OF_OBJECT:
            self.objects[-1].setdefault(tag, "".join(self._text).strip())
        elif path in _OF_SIZE:
            self.size.setdefault(tag, "".join(self._text).strip())
        self._place.pop()
        self._text.clear()


def _size(fields: dict[str, str]) -> tuple[int, int] | None:
    try:
        size = int(fields["width"]), int(fields["height"])
    except (KeyError, ValueError):
        return None
    return size if min(size) > 0 else None


def _object(fields: dict[str, str]) -> VocObject:
    nothing = VocObject("", False, (0.0,) * 4)
    missing = [name for name in ("name", *CORNERS) if not fields.get(name)]
    if missing:
        return nothing._replace(wrong=f"no <{missing[0]}>")
    try:
        corners = tuple(float(fields[corner]) for corner in CORNERS)
    except ValueError as error:
        return nothing._replace(wrong=str(error))
    difficult = _FLAGS.get(fields.get("difficult", "").lower())
    if difficult is None:
        return nothing._replace(wrong=f"<difficult> {fields['difficult']!r} is neither 0 nor 1")
    return VocObject(fields["name"], difficult, corners)
