from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from netaug.core.errors import DataError
from netaug.data.archives import read_members


def write(path: Path, *members: tarfile.TarInfo, content: bytes = b"text") -> Path:
    with tarfile.open(path, "w:gz") as file:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            file.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_members_are_read_by_name(tmp_path: Path):
    archive = write(tmp_path / "a.tgz", member("./kit/one.txt"), member("kit/two.txt"), member("other"))
    assert read_members(archive, ["kit/one.txt", "kit/two.txt", "kit/three.txt"]) == {
        "kit/one.txt": b"text",
        "kit/two.txt": b"text",
    }


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (member("../outside.txt"), r"'\.\.'"),
        (member("kit/../../outside.txt"), r"'\.\.'"),
        (member("kit\\..\\..\\outside.txt"), r"'\.\.'"),
        (member("/etc/passwd"), "an absolute path"),
        (member("C:\\windows\\file"), "an absolute path"),
        (member("kit/link", tarfile.SYMTYPE, "/etc/passwd"), "a link to '/etc/passwd'"),
        (member("kit/link", tarfile.LNKTYPE, "kit/one.txt"), "a link"),
        (member("kit/device", tarfile.CHRTYPE), "a device"),
        (member("kit/pipe", tarfile.FIFOTYPE), "a device"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_archive_with_a_member_that_reaches_outside_is_refused(
    tmp_path: Path, bad: tarfile.TarInfo, reason: str
):
    archive = write(tmp_path / "a.tgz", member("kit/one.txt"), bad)
    with pytest.raises(DataError, match=f"'{archive}' is refused") as caught:
        read_members(archive, ["kit/one.txt"])
    assert bad.name in str(caught.value.got)
    with pytest.raises(DataError, match=reason):
        read_members(archive, ["kit/one.txt"])


def test_a_cut_archive_is_an_error(tmp_path: Path):
    archive = write(tmp_path / "a.tgz", member("kit/one.txt"), content=bytes(range(256)) * 100)
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged or incomplete"):
        read_members(archive, ["kit/one.txt"])
