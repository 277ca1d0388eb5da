"""Checkpoints of a training: written atomically, verified when read, and untrusted input.

A file is a header, a SHA-256 and torch's format, written to a temporary file, synced and renamed; the last two are
kept, and a damaged newest one falls back to the previous one. It holds the steps done, the states of network and
optimizer and the sums of the epoch in progress. Randomness is keyed by step, so there is nothing to replay, and the
sampler starts at the step.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch

from netaug.core.errors import CheckpointError, first_line
from netaug.core.io import cannot_write, write_atomic

VERSION = 3
_HEADER = re.compile(rb"netaug checkpoint (\d{1,9})\n")
_DIGEST_BYTES = 32
_SPARE_BYTES = 16 * 2**20
_CONTENT = {"average", "config", "data", "epochs", "network", "optimizer", "step", "tally", "updates"}
_OF_SOME = {"teacher"}

_log = logging.getLogger("netaug")


class Checkpoints:
    """Writes and reads the last few checkpoints of a run, one file each, named after the steps done.

    Args:
        folder: Made with the first checkpoint.
        keep: How many are kept, at least 1.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep

    def save(self, content: dict[str, Any]) -> Path:
        """Write a checkpoint, whole or not at all, then remove the oldest beyond ``keep``.

        Args:
            content: Nested plain values and tensors, with the keys that :func:`read_checkpoint` returns.

        Raises:
            RunFolderError: The disk is too full; what was written before stays.
        """
        path = self.folder / f"{content['step']:09d}.ckpt"
        packed = pack(content)
        try:
            self.folder.mkdir(exist_ok=True)
            _require_space(self.folder, len(packed))
        except OSError as error:
            raise cannot_write(path, error, f"{_mebibytes(len(packed))} or more") from error
        write_atomic(path, packed)
        for old in self.paths()[self.keep :]:
            old.unlink(missing_ok=True)
        return path

    def paths(self) -> list[Path]:
        """Return the checkpoint files, newest first."""
        return sorted(self.folder.glob("[0-9]*.ckpt"), reverse=True)

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Return the newest readable checkpoint, with a warning for each damaged newer one; None if there is none.

        Raises:
            CheckpointError: There are checkpoints, but all of them are damaged.
        """
        damaged: CheckpointError | None = None
        for path in self.paths():
            try:
                found = path, read_checkpoint(path)
            except CheckpointError as error:
                _log.warning("%s", error.report())
                damaged = error
                continue
            if damaged is not None:
                _log.warning("falls back to the previous checkpoint: %s", path)
            return found
        if damaged is not None:
            raise damaged
        return None


def pack(content: dict[str, Any]) -> bytes:
    """Return the bytes of a checkpoint file: a header with the version, a SHA-256, and torch's format."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    return b"netaug checkpoint %d\n" % VERSION + hashlib.sha256(payload).digest() + payload


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU; only plain values and tensors are accepted, no code is run.

    Returns:
        ``step`` (updates done), ``epochs`` (finished ones), ``tally`` (of the one in progress, or None), ``network``,
        ``optimizer``, ``updates`` and ``average`` states, ``config`` and ``data`` (what the training was started with).

    Raises:
        CheckpointError: The file is missing, damaged, foreign, or of a newer version.
    """
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"the checkpoint '{path}' cannot be read.", got=error) from None
    header = _HEADER.match(packed)
    if header is None:
        raise CheckpointError(
            f"'{path}' is not a checkpoint of netaug.",
            got=f"{len(packed)} bytes that begin with {packed[:12]!r}",
            allowed="a file of the folder 'checkpoints' of a run",
        )
    if int(header[1]) != VERSION:
        raise CheckpointError(
            f"'{path}' was written by another version of netaug.",
            got=f"format {int(header[1])}",
            allowed=f"format {VERSION}",
        )
    digest, payload = packed[header.end() :][:_DIGEST_BYTES], packed[header.end() + _DIGEST_BYTES :]
    if hashlib.sha256(payload).digest() != digest:
        raise CheckpointError(
            f"'{path}' is damaged.", got=f"{len(packed)} bytes that do not match their checksum"
        )
    return _unpacked(path, payload)


def _unpacked(path: Path, payload: bytes) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that are not torch's
            content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # bytes from anywhere make the unpickler raise anything
        raise CheckpointError(
            f"'{path}' cannot be read.", got=f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(content, dict) or set(content) - _OF_SOME != _CONTENT:
        got = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"'{path}' is not a checkpoint of netaug.", got=got, allowed=", ".join(sorted(_CONTENT))
        )
    return content


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE_BYTES:
        raise OSError(f"the disk is nearly full: {_mebibytes(free)} free, {_mebibytes(size)} to write")


def _mebibytes(size: int) -> str:
    return f"{-(-size // 2**20)} MiB"
