"""Tar shards, written by hand and from class folders."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

Members = Iterable[tuple[str, bytes]]


def write_shard(path: Path, members: Members) -> Path:
    """Write a tar file with these members, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def shards_of(root: Path, out: Path, per_shard: int = 4) -> Path:
    """Write each split of a folder of class folders into shards ``OUT/train/000.tar``, ..., labeled by name."""
    for split in ("train", "val"):
        files = sorted(root.glob(f"{split}/*/*.jpg"))
        for number, start in enumerate(range(0, len(files), per_shard)):
            members = [
                member
                for position, file in enumerate(files[start : start + per_shard], start)
                for member in (
                    (f"{position:05d}.jpg", file.read_bytes()),
                    (f"{position:05d}.cls", file.parent.name.encode()),
                )
            ]
            write_shard(out / split / f"{number:03d}.tar", members)
    return out
