"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from netaug.errors import RunFolderError


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a crash leaves the old content or the new one, never a part.

    Args:
        path: The file; its folder exists.
        content: Text is written as UTF-8.

    Raises:
        RunFolderError: It cannot be written, for example because the disk is full; the old content is still there.
    """
    try:
        _replace(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise cannot_write(path, error) from error


def _replace(path: Path, data: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
    """The message for a file that cannot be written.

    Args:
        path: The file.
        error: Why.
        needed: How much is to be freed, in words.
    """
    full = error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return RunFolderError(
        f"'{path}' cannot be written.",
        got=error,
        fix=f"free {needed} on this disk; what was saved before is whole, and the same command goes on from there"
        if full
        else "choose another place, or see to its rights",
    )
