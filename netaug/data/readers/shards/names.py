"""Names of shards: braces and stars into lists of files or addresses."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from netaug.config import DataConfig
from netaug.core.errors import DataError, NoEvaluationImagesError
from netaug.core.existing import listing
from netaug.data.labels import shown
from netaug.data.roots import require_root

VAL_NAMES = ("val", "validation", "valid", "test")
_MOST = 100_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_remote(name: str) -> bool:
    """Return whether a name is an address, such as ``https://...`` or ``s3://...``."""
    return "://" in name


def find_shards(config: DataConfig) -> tuple[list[str], list[str], str]:
    """List the shards of both splits.

    Args:
        config: ``root`` is a folder or an address; ``train_split`` and ``val_split`` are patterns below it, such as
            ``train-{0000..0127}.tar``, several of them parted by ``::``. In a folder the usual names are found.

    Returns:
        Files or addresses of both splits, the second empty if ``holdout`` is set, and the evaluation split's name.

    Raises:
        DataError: There are none, or a file is missing.
    """
    if config.root is None and is_remote(config.train_split or "") and is_remote(config.val_split or "://"):
        root = ""
    elif config.root is not None and is_remote(config.root):
        root = config.root.rstrip("/")
    else:
        root = str(require_root(config))
    train, _ = _of_split(root, config.train_split, ("train",), "train_split")
    if config.holdout > 0:
        return train, [], "val"
    val, name = _of_split(root, config.val_split, VAL_NAMES, "val_split", train)
    shared = sorted(set(train) & set(val))
    if shared:
        raise DataError(
            f"{len(shared)} shards are for training and for evaluation.",
            got=shown(shared),
            fix="give patterns that do not overlap, or hold out training images: --data.holdout 0.1",
        )
    return train, val, name


def _of_split(
    root: str, patterns: str | None, usual: tuple[str, ...], setting: str, train: Sequence[str] = ()
) -> tuple[list[str], str]:
    if patterns is not None:
        shards = [name for pattern in patterns.split("::") for name in _listed(root, pattern, setting)]
        repeated = (
            sorted({name for name in shards if shards.count(name) > 1})
            if len(set(shards)) < len(shards)
            else []
        )
        if repeated:
            raise DataError(f"data.{setting} names shards more than once.", got=shown(repeated))
        return shards, "test" if "test" in patterns else "val"
    if is_remote(root):
        raise DataError(
            f"data.{setting} is needed: an address cannot be looked through for shards.",
            got=f"data.root {root}",
            fix=f"--data.{setting} '{usual[0]}-{{0000..0127}}.tar'",
        )
    for name in usual:
        inside = Path(root) / name
        pattern = inside / "*.tar" if inside.is_dir() else Path(root) / f"*{name}*.tar"
        shards = _files(str(pattern))
        if shards:
            return shards, "test" if name == "test" else "val"
    others = sorted({*_files(f"{root}/*.tar"), *_files(f"{root}/*/*.tar")} - set(train))
    alone = setting == "val_split" and not others  # patterns have returned above
    raise (NoEvaluationImagesError if alone else DataError)(
        f"no shards of '{usual[0]}' in data.root '{root}'.",
        got=f"in ROOT there is: {listing(Path(root))}"
        + (f"; shards: {shown(os.path.relpath(file, root) for file in others)}" if others else ""),
        allowed=" or ".join(f"ROOT/{name}/*.tar or ROOT/*{name}*.tar" for name in usual[:2]),
        fix=f"--data.{setting} 'PATTERN-{{000..127}}.tar'"
        + (", or hold out training images: --data.holdout 0.1" if setting == "val_split" else ""),
    )


def _listed(root: str, pattern: str, setting: str) -> list[str]:
    """Return files or addresses of one pattern; every one that braces name must be there."""
    if is_remote(pattern) or is_remote(root):
        return expand_braces(pattern if is_remote(pattern) else f"{root}/{pattern}")
    names = expand_braces(os.path.join(root, pattern))
    shards = [file for name in names for file in (_files(name) if glob.has_magic(name) else [name])]
    missing = [name for name in shards if not os.path.isfile(name)]
    if missing or not shards:
        raise DataError(
            f"{len(missing)} of {len(shards)} shards of data.{setting} '{pattern}' are not there, or are not files."
            if shards
            else f"nothing matches data.{setting} '{pattern}'.",
            got=f"{shown(missing)}; in ROOT there is: {listing(Path(root))}",
            allowed="a pattern below ROOT, such as train-{0000..0127}.tar or 'train/*.tar'",
        )
    return shards


def _files(pattern: str) -> list[str]:
    return sorted(file for file in glob.glob(pattern) if os.path.isfile(file))


def expand_braces(pattern: str) -> list[str]:
    """Write out ``{a,b}`` and ``{000..127}``, as a shell does; leading zeros are kept.

    Raises:
        DataError: Braces without a pair or with anything else in them, or more than 100,000 names.
    """
    # Bounded at every step: a few braces multiply to any number of names.
    names, rest = list[str](), [pattern]
    while rest:
        name = rest.pop()
        match = _BRACES.search(name)
        if match is not None:
            choices = _choices(pattern, match.group(1))
            rest += [name[: match.start()] + choice + name[match.end() :] for choice in reversed(choices)]
        elif "{" in name or "}" in name:
            raise DataError(f"a brace of '{pattern}' has no pair.", allowed="{0000..0127} or {a,b}")
        else:
            names.append(name)
        if len(names) > _MOST or len(rest) > 2 * _MOST:
            raise DataError(f"'{pattern}' stands for too many shards.", allowed=f"at most {_MOST:,}")
    return names


def _choices(pattern: str, inside: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if numbers is None:
        if "," not in inside:
            raise DataError(
                f"'{pattern}' has braces that stand for nothing.",
                got=f"{{{inside}}}",
                allowed="{0000..0127} or {a,b}",
            )
        return inside.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    if not 0 <= last - first < _MOST:
        raise DataError(
            f"'{pattern}' has braces with a range that is empty or too long.",
            got=f"{{{inside}}}",
            allowed=f"{{first..last}}, at most {_MOST:,} numbers",
        )
    # Zero-padded as in a shell only if the first number is: {8..10} is 8, 9, 10.
    width = max(len(numbers[1]), len(numbers[2])) if numbers[1][0] == "0" and len(numbers[1]) > 1 else 0
    return [str(number).zfill(width) for number in range(first, last + 1)]
