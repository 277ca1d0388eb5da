"""Places that cannot be written are one message, before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.commands.extract import _make_parents
from netaug.core.errors import RunFolderError


def test_an_impossible_folder_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("n" * 300)):
        with pytest.raises(RunFolderError, match="cannot be written"):
            _make_parents(place / "x.safetensors")
    _make_parents(tmp_path / "new" / "folder" / "x.safetensors")
    assert not any((tmp_path / "new" / "folder").iterdir())


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc, in which even root makes nothing")
def test_a_folder_of_the_kernel_is_a_message() -> None:
    with pytest.raises(RunFolderError, match="cannot be written"):
        _make_parents(Path("/proc/nope/x.safetensors"))
