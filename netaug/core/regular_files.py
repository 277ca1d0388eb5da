"""Regular files alone are opened: a named pipe would be waited for without end, and a device never ends."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class IrregularFileError(OSError):
    """A path leads to something that has no content of its own; ``strerror`` says what it is."""


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a regular file to be read in binary, unbuffered, at once: nothing is waited for.

    Raises:
        IrregularFileError: It is a named pipe, a socket, a device or a folder.
        OSError: It is missing or cannot be opened.
    """
    return open(path, "rb", buffering=0, opener=_open_regular)


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Read all of a regular file; raises as :func:`open_regular`."""
    with open_regular(path) as file:
        return file.readall()


def kind_of(mode: int) -> str:
    """Name what a path leads to that is not a regular file."""
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


def is_folder(entry: os.DirEntry[str] | Path) -> bool:
    """Whether an entry is a folder, or a link to one; not if the link leads nowhere or to itself."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_file(entry: os.DirEntry[str] | Path) -> bool:
    """Whether an entry is a regular file, or a link to one."""
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def is_special(entry: os.DirEntry[str] | Path) -> bool:
    """Whether an entry is a named pipe, a socket or a device, or a link to one."""
    try:
        return not (entry.is_file() or entry.is_dir()) and os.path.exists(entry)
    except OSError:
        return False


def link_target(path: str | os.PathLike[str]) -> str | None:
    """Return where a link that leads nowhere points to; None if the path is not a link."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def _open_regular(path: str, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise IrregularFileError(error.errno, f"it is {_kind_at(path)}, not a file", path) from None
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise IrregularFileError(errno.EINVAL, f"it is {kind_of(mode)}, not a file", path)
    return descriptor


def _kind_at(path: str) -> str:
    try:
        return kind_of(os.stat(path).st_mode)
    except OSError:
        return "a special file"
