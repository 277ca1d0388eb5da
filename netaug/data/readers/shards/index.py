"""Where in a tar shard each sample's image is, and what its label says."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from netaug.core.errors import DataError
from netaug.core.text_files import marked_encoding
from netaug.data.archives import check_member
from netaug.data.decode.image import SUFFIXES

_BLOCK = 512
_LABEL_BYTES = 2**20
_LABELS = ("cls", "json", "txt")
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


@dataclass(frozen=True)
class ShardIndex:
    """The N samples of one shard, in its order.

    Args:
        keys_N: Names of the image members, UTF-8.
        offsets_N: int64, first byte of each image in the shard.
        sizes_N: int64, bytes of each image.
        labels_N: Labels as written, UTF-8.
    """

    keys_N: npt.NDArray[np.bytes_]
    offsets_N: npt.NDArray[np.int64]
    sizes_N: npt.NDArray[np.int64]
    labels_N: npt.NDArray[np.bytes_]


class _Member(NamedTuple):
    name: str
    offset: int
    size: int


class _Sample(NamedTuple):
    """Members with the same name up to the first dot of the file name, by what follows it in lower case."""

    key: str
    members: dict[str, _Member]


def index_shard(path: str, image: str | None, label: str | None) -> ShardIndex:
    """Walk through the headers of a shard.

    Args:
        path: An uncompressed tar file in the layout of webdataset: the members of a sample follow each other and
            share their names up to the first dot.
        image: Ending of the image's member; None takes the one with an image's ending.
        label: Ending of the label's member, or a field of the ``json`` member; None takes ``cls``, else the field
            ``label`` of ``json``, else ``txt``.

    Returns:
        Its samples.

    Raises:
        DataError: The shard is compressed, truncated, damaged or empty; a member is a link or its path leaves the
            shard; or a sample lacks an image or a label.
    """
    _refuse_compressed(path)
    keys, offsets, sizes, labels = list[bytes](), list[int](), list[int](), list[bytes]()
    with open(path, "rb") as file:
        for sample in _samples(path):
            member = _image_of(path, sample, image)
            keys.append(member.name.encode())
            offsets.append(member.offset)
            sizes.append(member.size)
            labels.append(_label_of(path, sample, label, file.fileno()).encode())
    if not keys:
        raise DataError(f"the shard '{path}' has no samples.", got="a tar file without files in it")
    return ShardIndex(
        np.array(keys, np.bytes_),
        np.array(offsets, np.int64),
        np.array(sizes, np.int64),
        np.array(labels, np.bytes_),
    )


def _refuse_compressed(path: str) -> None:
    with open(path, "rb") as file:
        start = file.read(6)
    for magic, tool in _COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(
                f"the shard '{path}' is compressed, so images cannot be read out of the middle of it.",
                allowed="plain tar files; the images in them are compressed already",
                fix=f"{tool} '{path}'",
            )


def _samples(path: str) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for member in _members(path):
        folder, name = os.path.split(member.name)
        stem, dot, ending = name.partition(".")
        if not stem or not dot or (name.startswith("__") and name.endswith("__")):
            continue  # hidden files and webdataset's own notes
        key, ending = os.path.join(folder, stem), ending.lower()
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key, {})
        if ending in sample.members:
            raise DataError(
                f"the shard '{path}' has '{member.name}' twice.", got=f"again at byte {member.offset:,}"
            )
        sample.members[ending] = member
    if sample is not None:
        yield sample


def _members(path: str) -> Iterator[_Member]:
    """Yield the files in a tar, up to its end mark, without which it is truncated."""
    with open(path, "rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # else it remembers every header
                    check_member(path, member)
                    if member.issparse():
                        raise DataError(
                            f"the shard '{path}' stores '{member.name}' with holes.", allowed="plain files"
                        )
                    if member.isreg():
                        yield _Member(member.name, member.offset_data, member.size)
                end = tar.offset
        except (tarfile.TarError, EOFError) as error:
            raise _broken(path, file.tell(), str(error)) from None
        file.seek(end)
        block = file.read(_BLOCK)
    if len(block) < _BLOCK:
        raise _broken(path, end, "the file ends without the mark of a tar file's end")
    if block.strip(b"\0"):
        raise _broken(path, end, "no header of a member")


def _broken(path: str, offset: int, reason: str) -> DataError:
    size = os.path.getsize(path)
    return DataError(
        f"the shard '{path}' is truncated or damaged at byte {min(offset, size):,} of {size:,}.",
        got=reason,
        allowed="a whole tar file",
        fix="copy or write the shard again",
    )


def _image_of(path: str, sample: _Sample, image: str | None) -> _Member:
    endings = [image.lower().lstrip(".")] if image else [e for e in sample.members if f".{e}" in SUFFIXES]
    images = [sample.members[ending] for ending in endings if ending in sample.members]
    if len(images) != 1:
        raise DataError(
            f"the sample '{sample.key}' of the shard '{path}' has {'more than one' if images else 'no'} image.",
            got=f"members {', '.join(sample.members)}",
            allowed=f"one member ending in {image or 'jpg, jpeg, png, webp or another image format'}",
            fix="name the ending: --data.image_column jpg",
        )
    return images[0]


def _label_of(path: str, sample: _Sample, label: str | None, descriptor: int) -> str:
    field = "label"
    if label is None:
        endings: tuple[str, ...] = _LABELS
    elif label.lower().lstrip(".") in sample.members:
        endings = (label.lower().lstrip("."),)
    else:
        endings, field = ("json",), label
    for ending in endings:
        if ending in sample.members:
            text = _text(path, sample.members[ending], descriptor)
            value = _field(path, sample.members[ending], text, field) if ending == "json" else text.strip()
            if value is not None:
                return value
    raise DataError(
        f"the sample '{sample.key}' of the shard '{path}' has no label.",
        got=f"members {', '.join(sample.members)}",
        allowed=f"a json member with the field '{field}'"
        + (", or a member ending in cls or txt" if label is None else f", or a member ending in {label}"),
        fix="name the ending or the field: --data.label_column NAME",
    )


def _text(path: str, member: _Member, descriptor: int) -> str:
    if member.size > _LABEL_BYTES:
        raise DataError(
            f"'{member.name}' in the shard '{path}' is too large for a label.", got=f"{member.size:,} bytes"
        )
    content = os.pread(descriptor, member.size, member.offset)
    encoding, start = marked_encoding(content)
    try:
        return content[start:].decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{member.name}' in the shard '{path}' is not text in UTF-8.", got=error.reason
        ) from None


def _field(path: str, member: _Member, text: str, field: str) -> str | None:
    """Return a field of a JSON object as text; None if it is not there."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{member.name}' in the shard '{path}' is not JSON.", got=error) from None
    value = values.get(field) if isinstance(values, dict) else None
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise DataError(
            f"the field '{field}' of '{member.name}' in the shard '{path}' is not a label.",
            got=value,
            allowed="a class index or a class name",
        )
    return None if value is None else str(value).strip()
