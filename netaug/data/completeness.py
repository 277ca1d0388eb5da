"""Is all of a published dataset there? Fewer images than published are said, not refused."""

from __future__ import annotations

import logging

from netaug.data.registry import Published, Source

_log = logging.getLogger("netaug")


def differences(source: Source, published: Published) -> list[str]:
    """What differs from the published counts, one sentence each; empty if nothing does."""
    pairs = [("classes", len(source.class_names), published.num_classes)]
    pairs.append(("training images", len(source.train), published.train))
    if source.val is not None:
        pairs.append((f"{source.val_split} images", len(source.val), published.val))
    return [f"{found:,} {what}, published are {wanted:,}" for what, found, wanted in pairs if found != wanted]


def warn_of_differences(name: str, source: Source, published: Published) -> None:
    """Say what differs from the published counts; a part of a dataset may be what the user wants."""
    found = differences(source, published)
    if found:
        _log.warning("%s is not as published: %s. Was it unpacked whole?", name, "; ".join(found))
