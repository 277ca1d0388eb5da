"""A file with the names of all classes, in label order."""

from __future__ import annotations

from pathlib import Path

from netaug.core.errors import DataError
from netaug.core.text_files import read_text, split_lines


def read_class_names(path: str | None) -> tuple[str, ...] | None:
    """Read the names of the classes.

    Args:
        path: A text file with one name per line, the first one for label 0; None reads nothing.

    Returns:
        The names in label order; None without a file.

    Raises:
        DataError: The file is missing, no text, empty, or names a class twice or not at all.
    """
    if path is None:
        return None
    try:
        text = read_text(Path(path).expanduser(), "file of data.class_names")
    except FileNotFoundError as error:
        raise DataError(
            f"the file of data.class_names '{path}' cannot be read.",
            got=error.strerror,
            allowed="a text file with one class name per line",
        ) from None
    names = [line.strip() for line in split_lines(text.rstrip())]
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name or name in first:
            problem = f"'{name}', as in line {first[name]}" if name else "nothing"
            raise DataError(
                f"line {number} of data.class_names '{path}' names no new class.",
                got=problem,
                allowed="a different name in every line",
            )
        first[name] = number
    if not names:
        raise DataError(f"the file of data.class_names '{path}' is empty.", allowed="one class name per line")
    return tuple(names)
