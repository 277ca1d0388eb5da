"""Where `netaug predict --save` writes: a file whose name says what it is, or a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from netaug.core.escaping import say
from netaug.core.io import cannot_write, write_atomic

_FILES = (".json", ".csv")


def names_a_file(path: Path) -> bool:
    """Return whether predictions go into one file of this name; else it is a folder."""
    return path.suffix.lower() in _FILES and not path.is_dir()


class SaveTarget:
    """Writes predictions as JSON, as CSV, or as both into a folder.

    Args:
        path: Its ending decides; the folder is made, or that of the file.

    Raises:
        RunFolderError: The folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        folder = path.parent if names_a_file(path) else path
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error, "a folder that can be written") from error

    def write(self, name: str, as_json: str, as_csv: str) -> None:
        """Write what the path asks for, and print where; in a folder ``name`` is that of the files.

        Raises:
            RunFolderError: A file cannot be written.
        """
        contents = dict(zip(_FILES, (as_json + "\n", as_csv), strict=True))
        if names_a_file(self.path):
            written = {self.path: contents[self.path.suffix.lower()]}
        else:
            written = {self.path / f"{name}{ending}": content for ending, content in contents.items()}
        for path, content in written.items():
            try:
                write_atomic(path, content)
            except OSError as error:
                raise cannot_write(path, error) from error
        say(f"written: {', '.join(map(str, written))}", file=sys.stderr)
