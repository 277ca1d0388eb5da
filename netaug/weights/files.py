"""Tensors out of a weights file, whatever program wrote it; the file is untrusted and no code of it runs."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netaug.core.errors import CheckpointError
from netaug.core.existing import is_hub_name, no_weights
from netaug.weights.hub import fetch
from netaug.weights.metadata import read_safetensors, unreadable
from netaug.weights.parts import KNOWN, inside, rank, state_dicts

KINDS = "safetensors, or a PyTorch file of tensors (.pt, .pth)"
_DEPTH = 4  # a checkpoint can hold itself
_SHARD = re.compile(r"(.+-)(\d{5})-of-(\d{5})(\.\w+)")
_SHOWN = 6
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_OTHERS = {
    b"<": "a web page, so the download did not give the file itself",
    b"version https://git-lfs": "a Git LFS pointer, in place of the file itself",
    b"\x89HDF": "HDF5, a format of Keras",
    b"{": "JSON; if it is the index of a network in several shards, give one of the shards",
}


@dataclass(frozen=True)
class WeightsFile:
    """Holds the tensors of a file.

    Args:
        path: The file.
        tensors: By the names in the file, on the CPU.
        part: Where in the file they were, such as ``state_dict``; empty for the file itself.
        others: Further parts of the file that could have been taken.
        card: Whether the file is one of netaug's own, with a description.
    """

    path: Path
    tensors: dict[str, Tensor]
    part: str = ""
    others: tuple[str, ...] = ()
    card: bool = False


def weights_file(given: str | Path) -> Path:
    """Return the file of weights that is meant: a path, the network of a run folder, or ``hf:user/name``."""
    if is_hub_name(given):
        return fetch(given)
    path = Path(given).expanduser()
    inside = path / "model.safetensors"
    return inside if inside.is_file() else path


def read_weights(path: str | Path, part: str | None = None) -> WeightsFile:
    """Read the tensors of a safetensors file or of a PyTorch checkpoint.

    Args:
        path: The file; its kind is seen from its content.
        part: Key of the checkpoint that holds the tensors; None finds them, averaged weights before others;
            also the start of names, such as ``encoder_q``.

    Raises:
        CheckpointError: The file is missing, empty, damaged, of another kind, without tensors, or would run code.
    """
    path = Path(path).expanduser()
    shards = _shards(path)
    if len(shards) > 1:
        tensors = {name: tensor for shard in shards for name, tensor in _read(shard, None).tensors.items()}
        return _unwrap(tensors, path, part)
    return _read(path, part)


def _shards(path: Path) -> list[Path]:
    """Return all files of a network that is saved in several, one of which was given.

    Raises:
        CheckpointError: One of them is not there.
    """
    named = _SHARD.fullmatch(path.name)
    if named is None:
        return [path]
    start, _, count, end = named.groups()
    shards = [path.with_name(f"{start}{number:05d}-of-{count}{end}") for number in range(1, int(count) + 1)]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise CheckpointError(
            f"'{path}' is one of {int(count)} shards of a network, and not all of them are there.",
            got=f"{len(missing)} missing: {', '.join(missing[:_SHOWN])}",
            allowed="all shards in one folder; any of them can be given",
        )
    return shards


def _read(path: Path, part: str | None) -> WeightsFile:
    head = _head(path)
    if _is_safetensors(head):
        tensors, metadata = read_safetensors(path, KINDS)
        all_tensors = _all_tensors(tensors, path)
        return (
            replace(_unwrap(all_tensors, path, part), card="netaug" in metadata)
            if part
            else WeightsFile(path, all_tensors, card="netaug" in metadata)
        )
    # By content, not by suffix: .bin, .ckpt and .tar are all in use for the same format.
    if head.startswith((_ZIP, _PICKLE)):
        return _unwrap(_load_torch(path), path, part)
    kind = next((text for start, text in _OTHERS.items() if head.lstrip().startswith(start)), None)
    raise CheckpointError(
        f"'{path}' is not a file of weights.",
        got=kind or f"{path.stat().st_size} bytes that start with {head[:12]!r}",
        allowed=KINDS,
    )


def _head(path: Path) -> bytes:
    if path.is_dir():
        inside = path / "model.safetensors"
        fix = f"give '{inside}'" if inside.is_file() else "give a file in it"
        raise CheckpointError(f"'{path}' is a folder.", allowed=f"a file: {KINDS}", fix=fix)
    if path.exists() and not path.is_file():  # reading a pipe could wait for ever
        raise CheckpointError(f"'{path}' is not a regular file.", allowed=f"a file: {KINDS}")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        if not path.exists():
            raise no_weights(path) from error
        raise CheckpointError(f"'{path}' cannot be read.", got=error.strerror) from error
    if not head:
        raise CheckpointError(f"'{path}' is empty.", got="0 bytes", allowed=KINDS)
    return head


def _is_safetensors(head: bytes) -> bool:
    """Whether a file starts with eight bytes of length, then a JSON mapping."""
    return len(head) > 8 and head[8:9] == b"{"


def _load_torch(path: Path) -> Any:
    # Training scripts keep their arguments in the checkpoint; a Namespace is only a mapping.
    with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # bytes from anywhere make the unpickler raise anything
            wanted = re.search(r"GLOBAL (\S+)", str(error))
            script = "TorchScript archive" in str(error)
            if wanted is None and not script:
                raise unreadable(path, error, KINDS) from error
            name = wanted[1] if wanted else "TorchScript, which is a program"
            raise _would_run_code(path, name) from error


def _would_run_code(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"'{path}' is refused: reading it would run code, and it is not only tensors.",
        got=f"it asks for {name}",
        allowed=KINDS,
        fix="if you trust its author, take the tensors out where it can do no harm (a container without network): "
        "checkpoint = torch.load(FILE, map_location='cpu', weights_only=False), then "
        "torch.save(checkpoint['state_dict'], 'weights.pt') or what of it is the state dict; of a whole module, as "
        "Ultralytics saves them, torch.save((checkpoint.get('ema') or checkpoint['model']).float().state_dict(), ...)",
    )


def _unwrap(content: Any, path: Path, part: str | None) -> WeightsFile:
    start: tuple[str, ...] = ()
    if part is not None:
        try:
            start, content = (part,), inside(content, part)
        except KeyError:
            raise _no_part(path, part, _keys(content)) from None
    candidates = state_dicts(content)
    if not candidates or _is_of_a_run(content):
        raise _no_tensors(path, content, part)
    trail, *others = candidates
    names = tuple(".".join((*start, *keys)) for keys in (trail, *others))
    equal = [name for name, keys in zip(names, candidates, strict=True) if rank(keys) == rank(trail)]
    if len(equal) > 1:
        raise CheckpointError(
            f"'{path}' holds several networks, and does not say which is the one.",
            got=f"tensors under {', '.join(names)}",
            fix=f"name one: `netaug import-weights --part {equal[0]}`, or load_weights(..., part={equal[0]!r})",
        )
    return WeightsFile(path, _all_tensors(candidates[trail], path), names[0], names[1:])


def _no_tensors(path: Path, content: Any, part: str | None) -> CheckpointError:
    """Return the error for a checkpoint without a network, from its outside to where one would be."""
    trail = [part] if part else []
    for _ in range(0 if _is_of_a_run(content) else _DEPTH):
        keys = [
            key for key in KNOWN if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)
        ]
        if not keys:
            break
        trail.append(keys[0])
        content = content[keys[0]]
    return CheckpointError(
        f"'{path}' holds no network's tensors{f' under {trail[-1]!r}' if trail else ''}.",
        got=_keys(content),
        allowed=f"names to tensors, at top level or under a key such as {', '.join(KNOWN[:5])}",
        fix="the network of a run is 'model.safetensors' beside it" if _is_of_a_run(content) else None,
    )


def _is_of_a_run(content: Any) -> bool:
    """Whether it is what a checkpoint of netaug holds: the network with all its added weights."""
    return isinstance(content, Mapping) and {"network", "optimizer", "config"} <= set(content)


def _no_part(path: Path, part: str, got: str) -> CheckpointError:
    return CheckpointError(
        f"'{path}' has no part {part!r}.", got=got, fix="leave --part out to have it found"
    )


def _keys(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    names = [f"{key} ({type(value).__name__})" for key, value in list(content.items())[:_SHOWN]]
    more = f" and {len(content) - _SHOWN} more" if len(content) > _SHOWN else ""
    return (", ".join(names) or "nothing") + more


def _all_tensors(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    if not tensors:
        raise CheckpointError(f"'{path}' holds no tensors.", got="nothing", allowed=KINDS)
    return dict(tensors)
