"""Files below folders, each folder read once whatever links lead to it: links may lead back, or to one place twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from netaug.core.regular_files import is_folder, is_special


class FileTree:
    """Walks through folders at any depth; links to folders are followed, and no folder is read twice.

    Folders come before links: what a link leads to belongs to the folder in which it really lies, if that is listed.

    Args:
        top: The folder that the others are in.
        hidden: Whether folders are entered whose names start with a period.
    """

    def __init__(self, top: str | os.PathLike[str], *, hidden: bool = True) -> None:
        self._top, self._hidden = os.fspath(top), hidden
        self._real = os.path.realpath(self._top)
        self._entered = set[str]()  # real paths: not every file system numbers its folders
        self._links: list[tuple[str, str]] = []
        self.special = list[str]()
        """Named pipes, sockets and devices that were met, which are no files."""
        self.read_before = list[str]()
        """Links that were met to folders that are read already, or that hold ``top``."""

    def walk(self, folders: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Yield the files below folders.

        Args:
            folders: Folders in ``top``, or `.` for itself.

        Yields:
            One of ``folders`` and files below it, relative to ``top``, in no order; more of the same folder may follow.

        Raises:
            OSError: A folder cannot be read.
        """
        starts = [(folder, folder) for folder in folders]
        linked = [pair for pair in starts if pair[0] != os.curdir and os.path.islink(self._path(pair[0]))]
        for folder, owner in starts:
            if (folder, owner) not in linked:
                yield owner, list(self._files(folder, owner, follows=False))
        while linked or self._links:
            if not linked:
                linked, self._links = self._links, []
            for folder, owner in sorted(linked):
                yield owner, list(self._files(folder, owner, follows=True))
            linked = []

    def _path(self, folder: str) -> str:
        return self._top if folder == os.curdir else os.path.join(self._top, folder)

    def _files(self, start: str, owner: str, *, follows: bool) -> Iterator[str]:
        """Yield the files in a folder and below, but for links to folders, which are kept for later."""
        folders = [(start, os.path.realpath(self._path(start)))]
        while folders:
            folder, real = folders.pop()
            if follows and (real in self._entered or f"{self._real}/".startswith(f"{real.rstrip('/')}/")):
                self.read_before.append(folder)
                continue
            self._entered.add(real)
            with os.scandir(self._path(folder)) as entries:
                for entry in entries:
                    name = entry.name if folder == os.curdir else os.path.join(folder, entry.name)
                    if not is_folder(entry):
                        if is_special(entry):
                            self.special.append(name)
                        else:
                            yield name
                    elif not self._hidden and entry.name[0] == ".":
                        continue
                    elif entry.is_symlink():
                        self._links.append((name, owner))
                    else:
                        folders.append((name, os.path.join(real, entry.name)))
