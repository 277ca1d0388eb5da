"""Checks before a run is resumed: which settings and data have to be the same, and which may differ.

The images are compared by digests (``data/listing_digest.py``): names, order and labels of all, sizes of up to 16,384
files and contents of up to 1,024 per split. They do not depend on where the dataset lies; checkpoints of earlier
versions have none, which is warned of.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netaug.config import RunConfig
from netaug.config.loading import flat_mapping
from netaug.core.errors import NetaugError, RunFolderError
from netaug.core.lock import was_killed
from netaug.data.decode.jpeg import decoder
from netaug.data.listing_digest import VERSION as LISTING_VERSION
from netaug.data.listing_digest import DataListing, differing_parts, fingerprint
from netaug.data.prepared import Data
from netaug.runs.folder import RunFolder, default_folder, read_config, refuse_existing, unrecorded

_log = logging.getLogger("netaug")

FREE = (
    *("data.root", "data.class_names", "data.workers", "data.download", "data.eval_batch_size"),
    *("train.device", "train.threads", "train.checkpoint_every", "train.checkpoint_minutes"),
    *(
        "train.keep_checkpoints",
        "train.keep_best",
        "train.patience",
        "train.tensorboard",
        "train.wandb",
        "train.timeout_minutes",
    ),
    *("train.skip_nonfinite", "train.measure_gradients", "model.weights"),
)
"""Settings that may differ when a run is resumed: they do not change what is learned, or only where."""
EXTENDABLE = "train.epochs"


def differences(before: RunConfig, now: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Compare two whole configurations: return the settings that change what is learned, each with both values."""
    first, second = flat_mapping(before), flat_mapping(now)
    return {
        name: (first.get(name), second.get(name))
        for name in sorted({*first, *second} - set(FREE))
        if first.get(name) != second.get(name)
    }


def as_started(folder: RunFolder, config: RunConfig) -> dict[str, Any]:
    """Return the settings that did not exist when a run was started, where their defaults would change it.

    Args:
        folder: Of the run.
        config: The present settings.

    Returns:
        What the run did instead, by ``group.key``, for :func:`netaug.config.loading.with_values`; a warning names it.
        Values other than the defaults are left: they are refused (:func:`check_same_run`).
    """
    differing, defaults = differences(read_config(folder.path), config), flat_mapping(RunConfig())
    older = {
        key: differing[key][0]
        for key in unrecorded(folder.path) & differing.keys()
        if differing[key][1] == defaults[key]
    }
    if older:
        _log.warning(
            "'%s' was started by an earlier version of netaug, and resumes as that did: %s",
            folder.path,
            ", ".join(f"{key} {value!r}" for key, value in sorted(older.items())),
        )
    return older


def check_same_run(folder: RunFolder, config: RunConfig, *, extend: bool) -> None:
    """Refuse to resume with other settings than the run was started with.

    Args:
        folder: Of the run.
        config: The present settings, all of them: any of those that are not free may differ.
        extend: Whether the user gave ``--resume``; only then may epochs be added.

    Raises:
        RunFolderError: Settings differ; names each with both values.
    """
    differing = differences(read_config(folder.path), config)
    if extend and set(differing) == {EXTENDABLE}:
        before, now = differing[EXTENDABLE]
        if now > before:
            return
    if differing:
        shown = "; ".join(
            f"{name} {before!r} at the start, {now!r} now" for name, (before, now) in differing.items()
        )
        raise RunFolderError(
            f"the run folder '{folder.path}' holds an unfinished run with other settings.",
            got=shown,
            allowed=f"the same settings; these may change: {', '.join(FREE)}, and more {EXTENDABLE} with --resume",
            fix="resume with the settings that the run was started with, or choose another folder with --out",
        )


def choose_folder(name: str, config: RunConfig, *, resume: bool) -> Path:
    """Return the folder of a run that the user gave none: an unfinished one of the same settings, else a new one.

    Args:
        name: Of the recipe.
        config: The run's settings.
        resume: Whether the user asked to resume, so that a folder of other settings is an error and not left alone.

    Returns:
        ``runs/NAME-ARM-seedN``, or the first of ``...-2``, ``...-3`` and so on that is free or resumes.
    """
    first = default_folder(name, augmented=config.netaug.enabled, seed=config.train.seed)
    if resume:
        return first
    for number in itertools.count(2):
        path = first if number == 2 else first.with_name(f"{first.name}-{number - 1}")
        if not path.exists() or _resumes_by_itself(RunFolder(path), config):
            break
    return path


def _resumes_by_itself(folder: RunFolder, config: RunConfig) -> bool:
    """Return whether a folder is empty, or holds an unfinished run of the same settings."""
    if folder.summary.exists() and not was_killed(folder.path):
        return False
    try:
        if not folder.config.is_file():
            refuse_existing(folder.path)
            return True
        return not differences(read_config(folder.path), config).keys() - unrecorded(folder.path)
    except NetaugError:  # other files, or settings that cannot be read
        return False


def notice_decoder(folder: RunFolder) -> None:
    """Warn if JPEGs are decoded by something else than when the run was started."""
    try:
        before = json.loads(folder.environment.read_text()).get("decoder")
    except (OSError, ValueError):
        return  # missing, or of an earlier version: there is nothing to compare
    now = decoder()
    if before is not None and before != now:
        _log.warning(
            "JPEGs were decoded by %s when the run was started and are now by %s: the same pixels if both are built "
            "with libjpeg-turbo, otherwise the resumed run may differ in its last bits.",
            before,
            now,
        )


def data_record(data: Data) -> dict[str, Any]:
    """Return what a checkpoint records about a run's data, for :func:`check_same_data`."""
    record = fingerprint(data.info)
    if data.listing is not None:
        record["listing"] = {"version": LISTING_VERSION, **data.listing.digests}
    return record


def check_same_data(before: Mapping[str, Any], data: Data) -> None:
    """Refuse to resume with other data.

    Args:
        before: From :func:`data_record`, when the checkpoint was written.
        data: The present data.

    Raises:
        RunFolderError: It differs; names what and how.
    """
    now = fingerprint(data.info)
    differing = [
        f"{key} {before.get(key)!r} at the start, {now[key]!r} now"
        for key in now
        if before.get(key) != now[key]
    ]
    if differing:
        raise RunFolderError(
            "the data is not what the run was started with.",
            got="; ".join(differing),
            fix="give the original data with --data.root, or start another run with --out",
        )
    if data.listing is not None:
        _check_same_listing(before.get("listing"), data.listing)


def _check_same_listing(before: Any, listing: DataListing) -> None:
    if not isinstance(before, Mapping) or before.get("version") != LISTING_VERSION:
        _log.warning(
            "the names, labels, sizes and contents of the images were not compared with those that the run was started "
            "with: its checkpoint is of an earlier version of netaug and has no record of them."
        )
        return
    differing = differing_parts(before, listing.digests)
    if differing:
        raise RunFolderError(
            "the images are not those that the run was started with: some were replaced, renamed, or put into another "
            "class.",
            got=f"other {'; other '.join(differing)}",
            allowed="the same names, labels and contents; the whole dataset may be moved",
            fix="restore the images; or train on the present ones in another folder: --out FOLDER",
        )
