"""Names of ImageNet's classes, whose folders are called by their numbers in WordNet; timm's package has the lists."""

from __future__ import annotations

import csv
import logging
import pkgutil
from collections import Counter
from functools import cache
from pathlib import Path

IMAGENET_1K = "imagenet_synsets.txt"
IMAGENET_21K_P = "imagenet21k_miil_w21_synsets.txt"
_log = logging.getLogger("netaug")


@cache
def official_ids(subset: str) -> tuple[str, ...]:
    """Return the ids such as ``n01440764`` of a subset's classes in official, that is sorted, order.

    Args:
        subset: :data:`IMAGENET_1K` or :data:`IMAGENET_21K_P`.
    """
    return tuple(_text(subset).split())


@cache
def _names_by_id(subset: str) -> dict[str, str]:
    lemmas = dict(csv.reader(_text("imagenet_synset_to_lemma.txt").splitlines(), delimiter="\t"))
    first = {wnid: lemmas.get(wnid, wnid).split(", ")[0] for wnid in official_ids(subset)}
    counts = Counter(first.values())
    return {wnid: name if counts[name] == 1 else f"{name} ({wnid})" for wnid, name in first.items()}


def class_names(wnids: tuple[str, ...], subset: str) -> tuple[str, ...]:
    """Return words for classes: the first of WordNet's, with the id where several classes share it, as two cranes do.

    Args:
        wnids: Names of class folders; what is not an id of the subset keeps its name.
        subset: :data:`IMAGENET_1K` or :data:`IMAGENET_21K_P`.
    """
    names = _names_by_id(subset)
    return tuple(names.get(wnid, wnid) for wnid in wnids)


def in_words(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return class names as people read them: words where all of them are ids of ImageNet-1k or ImageNet-21K-P."""
    for subset in (IMAGENET_1K, IMAGENET_21K_P):
        if names and set(names) <= set(official_ids(subset)):
            return class_names(names, subset)
    return names


def warn_of_strangers(folder: Path, wnids: tuple[str, ...], subset: str, called: str) -> None:
    """Log how many class folders are not of a subset's classes.

    Args:
        folder: What the class folders are in.
        wnids: Their names.
        subset: :data:`IMAGENET_1K` or :data:`IMAGENET_21K_P`.
        called: Its name for people.
    """
    strangers = sorted(set(wnids) - set(official_ids(subset)))
    if strangers:
        _log.warning(
            "%d of %d class folders in '%s' are not classes of %s, first: '%s'.",
            len(strangers),
            len(wnids),
            folder,
            called,
            strangers[0],
        )


def _text(name: str) -> str:
    content = pkgutil.get_data("timm.data", f"_info/{name}")
    assert content is not None, f"timm has no {name}"
    return content.decode("utf-8")
