"""Remote shards, each fetched once into the cache folder: then they are files like others."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from netaug.core.errors import DataError, RunFolderError
from netaug.core.io import write_atomic
from netaug.core.parallel import in_threads
from netaug.data.readers.shards.cache import cache_folder
from netaug.data.readers.shards.names import is_remote
from netaug.data.readers.shards.remote import TransientError, open_remote

_THREADS = 4
_TRIES = 5
_PAUSE_SECONDS = 1.0
_CHUNK = 2**18
_RESERVE = 2**28  # bytes left free on the disk

_log = logging.getLogger("netaug")


def fetch_shards(names: Sequence[str]) -> list[str]:
    """Bring remote shards to disk.

    Several are fetched at a time, with a progress bar on a terminal. What an earlier start or another process has
    fetched is used, a part of a file resumes where the server allows it, and failed connections are tried again.

    Args:
        names: Files, which are left as they are, and addresses (http, https; s3, gs and others through fsspec).

    Returns:
        Files, in the same order.

    Raises:
        DataError: An address does not answer or is refused, a file is incomplete, or the disk is too small.
    """
    missing = [name for name in names if is_remote(name) and not cached_path(name).exists()]
    if missing:
        _log.warning(
            "fetching %d of %d shards into '%s'", len(missing), len(names), cache_folder() / "shards"
        )
        stop = threading.Event()
        fetched = in_threads(
            lambda number: _fetch(missing[number], stop),
            len(missing),
            "fetching shards",
            _THREADS,
            chunk=1,
            leaving=stop.set,
        )
        for _ in fetched:
            pass
    return [str(cached_path(name)) if is_remote(name) else name for name in names]


def cached_path(address: str) -> Path:
    """Return where the shard of an address is kept; it is there only when it is complete."""
    name = re.sub(r"[^\w.-]", "_", address.split("?")[0].rsplit("/", 1)[-1])[-80:]
    return cache_folder() / "shards" / hashlib.blake2b(address.encode(), digest_size=12).hexdigest() / name


def _fetch(address: str, stop: threading.Event) -> None:
    target = cached_path(address)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target.parent / "address.txt", address + "\n")
        with (target.parent / "lock").open("w") as lock:  # ranks of one machine fetch each shard once
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                _retry(address, target, stop)
    except (OSError, RunFolderError) as error:
        raise DataError(
            f"the shard '{address}' cannot be kept in '{target.parent}'.",
            got=error.got if isinstance(error, RunFolderError) else error.strerror or error,
            fix="choose another folder: NETAUG_CACHE=DIR netaug ...",
        ) from None


def _retry(address: str, target: Path, stop: threading.Event) -> None:
    for attempt in range(_TRIES):
        try:
            return _download(address, target, stop)
        except TransientError as error:
            if stop.is_set() or attempt == _TRIES - 1:
                raise DataError(
                    f"the shard '{address}' cannot be fetched.",
                    got=f"{error}, {attempt + 1} times",
                    fix="start again when the connection is back; what is there is kept",
                ) from None
        time.sleep(_PAUSE_SECONDS * 2**attempt)


def _download(address: str, target: Path, stop: threading.Event) -> None:
    """Try once: append to the part that is there if it is of the same version, else begin again."""
    part, version = target.with_name(target.name + ".part"), target.with_name(target.name + ".version")
    have = part.stat().st_size if part.exists() and version.exists() else 0
    with open_remote(address, have, version.read_text() if have else "") as remote:
        if not remote.start:
            part.unlink(missing_ok=True)  # before it could be taken for a part of this version
        if remote.version:
            write_atomic(version, remote.version)
        else:
            version.unlink(missing_ok=True)
        _require_space(target.parent, (remote.size or 0) - remote.start)
        with part.open("r+b" if remote.start else "wb") as file:
            file.seek(remote.start)
            while chunk := remote.read(_CHUNK):
                if stop.is_set():
                    raise TransientError("stopped")
                file.write(chunk)
            file.truncate()
            got = file.tell()
            file.flush()
            os.fsync(file.fileno())
    if remote.size is not None and got != remote.size:
        raise TransientError(f"{got:,} of {remote.size:,} bytes came")
    part.replace(target)
    version.unlink(missing_ok=True)


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _RESERVE > free:
        raise DataError(
            f"the disk of '{folder}' is too small for the next shard.",
            got=f"{free / 1e9:.1f} GB free",
            allowed=f"{(needed + _RESERVE) / 1e9:.1f} GB",
            fix="choose another folder: NETAUG_CACHE=DIR netaug ...",
        )
