"""Indices of shards, kept from one start to the next as long as the shards' size and time stay the same."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netaug.core.errors import RunFolderError, first_line
from netaug.core.io import write_atomic
from netaug.core.parallel import in_threads
from netaug.data.readers.shards.index import ShardIndex, index_shard

_VERSION = 1
_THREADS = 4
_log = logging.getLogger("netaug")


def cache_folder() -> Path:
    """Return the folder for what can be made or fetched again; it need not exist.

    ``NETAUG_CACHE`` if that is set, else ``netaug`` in the user's cache folder.
    """
    chosen = os.environ.get("NETAUG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "netaug"


def index_shards(paths: Sequence[str], image: str | None, label: str | None) -> list[ShardIndex]:
    """Index shards in threads, with a progress bar on a terminal; see :func:`index_shard`.

    Raises:
        DataError: A shard cannot be used.
    """
    work = in_threads(
        lambda number: _cached(paths[number], image, label), len(paths), "indexing shards", _THREADS, chunk=1
    )
    return list(work)


def _cached(path: str, image: str | None, label: str | None) -> ShardIndex:
    status = os.stat(path)
    # Size and time, not a digest: reading a shard whole would take as long as indexing it.
    facts = json.dumps([_VERSION, os.path.abspath(path), status.st_size, status.st_mtime_ns, image, label])
    name = hashlib.blake2b(
        json.dumps([os.path.abspath(path), image, label]).encode(), digest_size=16
    ).hexdigest()
    file = cache_folder() / "shard-indices" / f"{name}.npz"
    index = _load(file, facts, status.st_size)
    if index is None:
        index = index_shard(path, image, label)
        _save(file, facts, index)
    return index


def _load(file: Path, facts: str, size: int) -> ShardIndex | None:
    """Return a kept index; None if there is none, or it is damaged or of another state of the shard."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if str(arrays["facts"]) != facts:
                return None
            index = ShardIndex(arrays["keys"], arrays["offsets"], arrays["sizes"], arrays["labels"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    columns = (index.keys_N, index.offsets_N, index.sizes_N, index.labels_N)
    kinds = [column.dtype.kind for column in columns]
    lengths = {column.shape for column in columns}
    if kinds != ["S", "i", "i", "S"] or lengths != {(len(index.keys_N),)} or not len(index.keys_N):
        return None
    # The cache is a file of the user's disk like any other: what it names must lie within the shard.
    inside = (index.offsets_N >= 0) & (index.sizes_N >= 0) & (index.offsets_N + index.sizes_N <= size)
    return index if inside.all() else None


def _save(file: Path, facts: str, index: ShardIndex) -> None:
    """Keep an index; without a place for it the next start indexes again."""
    content = io.BytesIO()
    np.savez(
        content,
        facts=np.array(facts),
        keys=index.keys_N,
        offsets=index.offsets_N,
        sizes=index.sizes_N,
        labels=index.labels_N,
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, content.getvalue())
    except (OSError, RunFolderError) as error:
        _log.warning(
            "the index of a shard cannot be kept, so each start makes it again: %s", first_line(error)
        )
