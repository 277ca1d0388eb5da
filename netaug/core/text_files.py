"""Text files of datasets from bytes: UTF-8, or what a byte-order mark says; anything else is named, never guessed."""

from __future__ import annotations

import codecs
import os
import re

from netaug.core.errors import DataError
from netaug.core.regular_files import read_regular

_MARKS = (  # the mark of UTF-32 starts with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]{1,40})["']""")
_READABLE = re.compile(
    r"utf-8|ascii|iso8859-\d+|cp\d+|koi8-\w|gb\w+|hz|big5\w*|shift_jis\w*|euc_\w+|tis-620|mac-\w+"
)
"""Codecs of texts that an XML file may declare, by Python's names: others unfold, or are no encodings of texts."""
_CONTROLS = re.compile("[\x80-\x9f\uf8f0-\uf8f3]")
"""Characters that single bytes become in encodings that have no letter for them."""
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "big5": "big5hkscs", "euc_kr": "cp949"}
"""What files hold that declare a narrower encoding: editors write the wider one under the old name."""
_SUSPECTS = ("GB18030", "BIG5", "SHIFT_JIS", "EUC-KR", "ISO-8859-1")


def read_text(path: str | os.PathLike[str], what: str = "file") -> str:
    """Read a text file.

    Args:
        path: The file: UTF-8, with or without a byte-order mark; UTF-16 or UTF-32 with one.
        what: What the file is, for messages, such as "list of images".

    Returns:
        Its text without the mark.

    Raises:
        FileNotFoundError: There is no such file; each caller knows best what that means.
        DataError: It cannot be read, or is in another encoding; names the file, the bytes and how to convert it.
    """
    try:
        content = read_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"the {what} '{path}' cannot be read.", got=error.strerror) from None
    return decode_text(content, path, what)


def read_lines(path: str | os.PathLike[str], what: str = "file") -> list[str]:
    """Read the lines of a text file; they end in LF, CRLF or CR. Arguments and errors as for :func:`read_text`."""
    return split_lines(read_text(path, what))


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, which end with LF, CRLF or CR alone (``str.splitlines`` knows more ends)."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def decode_text(content: bytes | bytearray, path: str | os.PathLike[str], what: str = "file") -> str:
    """Decode the bytes of a text file, see :func:`read_text`; ``path`` is its name, for messages."""
    encoding, start = marked_encoding(content)
    try:
        text = bytes(content[start:]).decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_in(encoding, content[start:], error, path, what) from None
    if "\0" in text:
        raise DataError(
            f"the {what} '{path}' is not in UTF-8.",
            got=f"a zero byte at character {text.index(chr(0))}: UTF-16 without a byte-order mark, or no text at all",
            allowed="text in UTF-8",
            fix=f"if it is UTF-16, convert it: iconv -f UTF-16LE -t UTF-8 '{path}' > new",
        )
    return text


def marked_encoding(content: bytes | bytearray) -> tuple[str, int]:
    """Return the encoding that a byte-order mark names, UTF-8 without one, and how many bytes the mark has."""
    start = bytes(content[:4])
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding, len(mark)
    return "utf-8", 0


def _not_in(
    encoding: str,
    content: bytes | bytearray,
    error: UnicodeDecodeError,
    path: str | os.PathLike[str],
    what: str,
) -> DataError:
    name = encoding.upper()
    line = content.count(b"\n", 0, error.start) + 1
    wrong = bytes(content[error.start : error.start + 4])
    likely = (
        [candidate for candidate in _SUSPECTS if _reads(candidate, bytes(content))]
        if encoding == "utf-8"
        else []
    )
    return DataError(
        f"the {what} '{path}' is not in {name}.",
        got=f"the bytes {wrong!r} in line {line}"
        + (f", which could be {' or '.join(likely)}" if likely else ""),
        allowed="text in UTF-8, or in UTF-16 with a byte-order mark",
        fix=f"convert it: iconv -f {likely[0] if likely else 'ENCODING'} -t UTF-8 '{path}' > new",
    )


def _reads(encoding: str, content: bytes) -> bool:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return _CONTROLS.search(text) is None


def decode_xml(content: bytes | bytearray, path: str) -> str:
    """Decode an XML file in the encoding that its mark or its declaration names.

    Raises:
        DataError: The encoding is unknown, or not that of the file.
    """
    if bytes(content[:2]) in (
        b"<\0",
        b"\0<",
    ):  # UTF-16 may do without a mark, since the first character is known
        content = (codecs.BOM_UTF16_LE if content[:1] == b"<" else codecs.BOM_UTF16_BE) + content
    declaration = _DECLARED.match(bytes(content[:200]).lstrip())
    declared = declaration[1].decode("ascii") if declaration and marked_encoding(content)[1] == 0 else "utf-8"
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        name = ""
    if name.startswith(("utf-16", "utf-32")):  # cannot be: the declaration was read as ASCII
        name = "utf-8"
    if not _READABLE.fullmatch(name):
        raise DataError(
            f"the annotation '{path}' declares an encoding that is unknown.",
            got=f"encoding {declared!r}",
            allowed="UTF-8, UTF-16, ISO-8859-1, GB18030, BIG5, SHIFT_JIS and the like",
            fix="save it in UTF-8",
        )
    if name in ("utf-8", "ascii"):
        return decode_text(content, path, "annotation")
    try:
        return bytes(content).decode(name)
    except UnicodeDecodeError as error:
        wider = _WIDER.get(name, name)
        if wider == name or not _reads(wider, bytes(content)):
            raise _not_in(name, content, error, path, "annotation") from None
    return bytes(content).decode(wider)
