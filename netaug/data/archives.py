"""Archives are untrusted input: a member may not name, or point to, a place outside of where it belongs."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from netaug.core.errors import DataError

_MOST_BYTES = 2**28


def check_member(archive: str, member: tarfile.TarInfo) -> None:
    """Refuse a member of a tar archive that is not a plain file or folder inside of it.

    Args:
        archive: The archive, for the message.
        member: A header as :mod:`tarfile` reads it.

    Raises:
        DataError: The member is a link or a device, has an absolute path, or one with ``..``.
    """
    name, reason = member.name, None
    if member.issym() or member.islnk():
        reason = f"a link to '{member.linkname}'"
    elif not (member.isreg() or member.isdir()):
        reason = "a device or another special file"
    else:
        reason = _outside(name)
    if reason:
        raise DataError(
            f"the archive '{archive}' is refused: a member could reach outside of its folder.",
            got=f"'{name}', {reason}",
            allowed="files and folders with relative paths, without '..' and links",
            fix="get the archive from its publisher again; do not unpack this one",
        )


def _outside(name: str) -> str | None:
    """Return why a path does not stay below the folder it is relative to; None if it does."""
    # Judged by the rules of both systems: the archive may be unpacked on either.
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or path.root:
            return "an absolute path"
        if ".." in path.parts:
            return "a path with '..'"
    return None


def read_members(archive: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Read a few small files out of a tar archive, without unpacking it.

    Args:
        archive: A tar file, compressed or not.
        names: The members' paths; those that are not there are left out.

    Returns:
        Their contents by name.

    Raises:
        DataError: The archive is damaged, a member is refused by :func:`check_member`, or larger than 256 MiB.
    """
    wanted, contents = set(names), dict[str, bytes]()
    try:
        with tarfile.open(archive) as file:
            for member in file:
                check_member(str(archive), member)
                if member.name.removeprefix("./") not in wanted:
                    continue
                # By the header, before it is read: a small compressed archive may hold a huge file.
                if member.size > _MOST_BYTES:
                    raise DataError(
                        f"'{member.name}' in '{archive}' is too large.",
                        got=f"{member.size:,} bytes",
                        allowed=f"at most {_MOST_BYTES:,} bytes",
                    )
                content = file.extractfile(member)
                if content is not None:
                    contents[member.name.removeprefix("./")] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"the archive '{archive}' is damaged or incomplete.",
            got=f"{archive.stat().st_size:,} bytes; {error}",
            fix="get it from its publisher again",
        ) from None
    return contents
