"""Files that are either whole or not there, and what a killed process leaves of them.

Everything netaug writes at once goes through :func:`write_atomic`. Its one rule for leftovers: a part of a file has a
name of its own kind (:func:`is_leftover`) and is locked as long as its writer lives; whoever writes into the folder
next, or resumes with what is in it, removes those that nobody holds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from netaug.core.errors import RunFolderError

_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.part")
_SPECIAL = ("/dev/", "/proc/")


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a crash leaves the old content or the new one, never a part.

    Args:
        path: The file; its folder exists. A link is followed; a device or a pipe is written to as it is.
        content: Text is written as UTF-8.

    Raises:
        RunFolderError: It cannot be written, for example because the disk is full; the old content is still there.
    """
    try:
        _replace(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise cannot_write(path, error) from error


def _replace(path: Path, data: bytes) -> None:
    if os.path.abspath(path).startswith(_SPECIAL) or (path.exists() and not path.is_file()):
        path.write_bytes(data)
        return
    path = Path(os.path.realpath(path))
    remove_leftovers(path.parent)
    with _part_of(path) as (temporary, file):
        file.write(data)
        # Synced before it is renamed, or a power failure could leave the new name with no content.
        file.flush()
        os.fsync(file.fileno())
        os.replace(temporary, path)


@contextmanager
def _part_of(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file beside ``path``, locked; it is gone after an error."""
    while True:
        temporary = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.part")
        try:
            with temporary.open("xb") as file:
                with contextlib.suppress(OSError):  # a file system without locks: its leftovers stay
                    fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue  # another process took it for a leftover before it was locked
                yield temporary, file
                return
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def is_leftover(name: str) -> bool:
    """Whether a file of this name is a part of a file, of a process that writes it or was killed."""
    return _LEFTOVER.fullmatch(name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove the parts of files in a folder whose processes are gone; what cannot be removed stays."""
    try:
        names = [name for name in os.listdir(folder) if is_leftover(name)]
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError), (folder / name).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / name).unlink()


def append_line(path: Path, line: str) -> None:
    """Add one line to a file; other processes can read it at once.

    Raises:
        RunFolderError: It cannot be written; a part of the line may be there, which readers leave out.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError, needed: str = "space") -> RunFolderError:
    """Return the error for a file that cannot be written.

    Args:
        path: The file.
        error: Why.
        needed: What to free, such as ``2 GB``.
    """
    full = error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return RunFolderError(
        f"'{path}' cannot be written.",
        got=error,
        fix=f"free {needed} on this disk; what was saved before is whole, and the same command resumes from there"
        if full
        else "choose another place, or see to its rights",
    )
