"""Writes a packed copy of a dataset: all of it or nothing, however the process ends."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netaug.core.errors import DataError
from netaug.core.existing import listing
from netaug.core.parallel import in_threads
from netaug.core.whole_folder import is_taken, lock_of, new_folder
from netaug.data.readers.packed.layout import INDEX, META, PAYLOADS, Meta, index_dtype, open_index, read_meta
from netaug.data.readers.packed.payload import Packing, Payload, encode
from netaug.data.registry import Metric, Source, Split
from netaug.data.store import MemoryImages

_WORK = "packing"
_SAMPLED = 64
_MARGIN = 1.02
_MOST_NAMED = 1000
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Origin:
    """The dataset that is packed.

    Args:
        name: Its name in the configuration.
        metric: What results on it are customarily reported in.
        source: Its images, labels and facts.
    """

    name: str
    metric: Metric
    source: Source

    def splits(self) -> list[tuple[str, Split]]:
        """Return the splits by name, in the order they are written."""
        source = self.source
        return [
            ("train", source.train),
            *([(source.val_split, source.val)] if source.val is not None else []),
        ]


def pack(
    origin: Origin, out: Path, how: Packing, *, skip_errors: bool, jobs: int, say: Callable[[str], None]
) -> Meta:
    """Write a packed copy of a dataset.

    Args:
        origin: What is packed.
        out: The folder to write; it must not exist, or be empty.
        how: What becomes of each image.
        skip_errors: Leave out images that do not decode, and name them in the result; else they raise.
        jobs: Threads that decode and encode.
        say: Called with one line that says how large it will be, before anything is written.

    Returns:
        The facts as written.

    Raises:
        DataError: The folder is taken, the disk is too full, or an image does not decode.
    """
    if is_taken(out) and not lock_of(out, _WORK).exists():
        raise _taken(out)
    out = out.absolute()
    with _as_data_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(out, _WORK) as new:
            finished = _finished(origin, out, how) if new.after_kill else None
            if finished is not None:
                return finished
            if is_taken(out):
                raise _taken(out)
            _check_space(origin, out, how, say)
            meta = _write(origin, new.filling, how, skip_errors, jobs)
            new.publish()
    return meta


@contextmanager
def _as_data_errors(out: Path) -> Iterator[None]:
    """Turn what the system says of a folder into an error that names the folder."""
    try:
        yield
    except BlockingIOError:
        raise DataError(
            f"another process is packing into '{out}'.",
            got=f"{lock_of(out, _WORK)} is held, on {socket.gethostname()} or a machine that shares the disk",
            fix="wait for it, or choose another folder with --out",
        ) from None
    except OSError as error:
        raise DataError(
            f"the packed copy could not be written to '{out}'.",
            got=error,
            fix="free the disk, or choose another --out",
        ) from None


def _taken(out: Path) -> DataError:
    return DataError(
        f"'{out}' exists already.",
        got=f"in it there is: {listing(out)}" if out.is_dir() else "a file",
        allowed="a new folder, or an empty one",
        fix="choose another folder with --out, or remove this one",
    )


def _finished(origin: Origin, out: Path, how: Packing) -> Meta | None:
    """Return the facts of this very copy, which a process that was killed right after had finished.

    The result is None if there is no such copy.
    """
    try:
        meta = read_meta(out)
        open_index(out, meta)
    except (DataError, OSError):
        return None
    wanted = (how.encoding, how.size, how.quality, origin.name, tuple(origin.source.class_names))
    written = (meta.encoding, meta.size, meta.quality, meta.origin, meta.class_names)
    return meta if written == wanted else None


def _check_space(origin: Origin, out: Path, how: Packing, say: Callable[[str], None]) -> None:
    """Announce how large it will be, by a few images of each split; refuse what does not fit."""
    needed, count = 0.0, 0
    for name, split in origin.splits():
        sizes = []
        for index in np.linspace(0, len(split) - 1, min(_SAMPLED, len(split)), dtype=int).tolist():
            try:
                sizes.append(len(encode(split.images, index, name, how).content))
            except DataError:
                continue  # packing it says so
        needed, count = needed + len(split) * float(np.mean(sizes or [0])), count + len(split)
    free = shutil.disk_usage(out.parent).free
    say(f"{count:,} images will take about {size_in_words(needed)}; {size_in_words(free)} are free")
    if needed * _MARGIN > free:
        raise DataError(
            f"the packed copy does not fit on the disk of '{out}'.",
            got=f"{size_in_words(free)} free, about {size_in_words(needed)} needed",
            fix="choose another disk with --out, a smaller --size, or --encoding jpeg with a lower --quality",
        )


def _write(origin: Origin, folder: Path, how: Packing, skip_errors: bool, jobs: int) -> Meta:
    payloads: list[Payload] = []  # without their content
    labels, counts, left_out, end = list[int](), list[int](), list[str](), 0
    with (folder / PAYLOADS).open("wb") as file:
        for name, split in origin.splits():
            before = len(payloads)
            # Closed here when the disk is full: left to the garbage collector it could wait for its threads for ever.
            with closing(_encoded(split, name, how, skip_errors, jobs)) as encoded:
                for index, payload in enumerate(encoded):
                    if isinstance(payload, str):
                        left_out.append(payload)
                        continue
                    file.write(payload.content)
                    payloads.append(payload.placed(end, zlib.crc32(payload.content)))
                    labels.append(int(split.labels_N[index]))
                    end += len(payload.content)
            counts.append(len(payloads) - before)
            if not counts[-1]:
                raise DataError(
                    f"none of the images of split '{name}' decodes.", got=f"first: '{left_out[-1]}'"
                )
        # On the disk before the folder is renamed: a crash must not leave a finished name with empty files.
        file.flush()
        os.fsync(file.fileno())
    checksum = _write_index(folder / INDEX, payloads, labels)
    meta = _facts(origin, how, counts, end, checksum, left_out)
    _write_synced(folder / META, meta.text().encode())
    return meta


def _encoded(
    split: Split, name: str, how: Packing, skip_errors: bool, jobs: int
) -> Generator[Payload | str, None, None]:
    """Return the payloads of a split in order; for an image that is left out its name."""

    def work(index: int) -> Payload | str:
        try:
            return encode(split.images, index, name, how)
        except DataError:
            if skip_errors and not isinstance(split.images, MemoryImages):
                return split.images.path(index)
            raise

    return in_threads(work, len(split), f"packing {name}", jobs)


def _write_index(path: Path, payloads: list[Payload], labels: list[int]) -> str:
    names = [os.fsencode(payload.name) for payload in payloads]
    index = np.zeros(len(payloads), index_dtype(max(map(len, names))))
    index["name"], index["label"] = names, labels
    for column in ("offset", "length", "height", "width", "crc32"):
        index[column] = [getattr(payload, column) for payload in payloads]
    with path.open("wb") as file:
        np.save(file, index, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _facts(
    origin: Origin, how: Packing, counts: list[int], end: int, checksum: str, left_out: list[str]
) -> Meta:
    source = origin.source
    in_memory = isinstance(source.train.images, MemoryImages)
    return Meta(
        encoding=how.encoding,
        size=how.size,
        quality=how.quality,
        origin=origin.name,
        metric=origin.metric,
        class_names=source.class_names,
        in_chans=source.in_chans,
        mean=tuple(map(float, source.mean)),
        std=tuple(map(float, source.std)),
        image_size=source.image_size if how.keeps_size(source.image_size) else None,
        val_split=source.val_split,
        train=counts[0],
        val=counts[1] if len(counts) > 1 else None,
        in_memory=in_memory and how.encoding == "pixels" and how.keeps_size(source.image_size),
        payload_bytes=end,
        index_sha256=checksum,
        left_out=tuple(left_out[:_MOST_NAMED]),
    )


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def size_in_words(count: float) -> str:
    """Return a number of bytes in the unit that suits it: ``3.2 GB``."""
    power = 0
    while count >= 1000 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.3g} {_UNITS[power]}"
