"""Weights of the Hugging Face Hub by name: one file of safetensors is fetched, and nothing in it is executed."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from netaug.core.errors import CheckpointError, first_line
from netaug.core.existing import WEIGHTS_NAME
from netaug.core.optional import import_extra

_NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def repository_of(source: str | Path) -> tuple[str, str | None]:
    """Return ``user/name``, and the revision if one is named.

    Raises:
        CheckpointError: It names no network on the Hub.
    """
    match = _NAME.fullmatch(str(source))
    if match is None:
        raise CheckpointError(
            "this does not name a network on the Hugging Face Hub.",
            got=repr(str(source)),
            allowed="hf:USER/NAME or hf:USER/NAME@REVISION",
        )
    return match["repo"], match["revision"]


def fetch(source: str | Path) -> Path:
    """Return the local file of a network on the Hub; a file that was fetched before is not fetched again.

    Args:
        source: ``hf:user/name``, or ``hf:user/name@revision`` with a branch, tag or commit. A name without a revision
            means what is there today; a commit never changes.

    Raises:
        CheckpointError: The name is not valid, ``huggingface_hub`` is missing, or the file cannot be fetched.
    """
    repository, revision = repository_of(source)
    hub = import_extra("huggingface_hub", "hf", f"'{source}'", error=CheckpointError)
    logger = logging.getLogger(
        "huggingface_hub"
    )  # it writes its lines itself: handed on, they would stand there twice
    propagates, logger.propagate = logger.propagate, False
    try:
        return Path(hub.hf_hub_download(repository, WEIGHTS_NAME, revision=revision))
    except Exception as error:  # its own errors, and those of two ways to connect, have no base in common
        reason, fix = _explained(error)
        raise CheckpointError(
            f"'{WEIGHTS_NAME}' of '{source}' cannot be fetched from the Hugging Face Hub.",
            got=reason,
            fix=fix,
        ) from error
    finally:
        logger.propagate = propagates


_REASONS = {
    "GatedRepoError": (
        "its owner gives access on request",
        "ask for it on the page of the repository, then `hf auth login`",
    ),
    "RepositoryNotFoundError": (
        "there is no repository of this name, or it is private",
        "check the name; `hf auth login` for a private one",
    ),
    "RevisionNotFoundError": (
        "the repository has no such branch, tag or commit",
        "check what is behind the @, or leave it out",
    ),
    "LocalEntryNotFoundError": (
        "no connection, and the file has not been fetched before",
        "check the connection, HF_HUB_OFFLINE and HF_ENDPOINT",
    ),
    "EntryNotFoundError": (
        f"the repository has no file {WEIGHTS_NAME}",
        "netaug reads the weights that it wrote itself; `netaug card` says what belongs into a repository",
    ),
}
"""What errors of huggingface_hub mean, and what to do; those that are a kind of another one come first."""


def _explained(error: Exception) -> tuple[str, str]:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    for name, (reason, fix) in _REASONS.items():
        if name in kinds:
            return reason, fix
    return f"{type(error).__name__}: {first_line(error)}", "check the name and the connection"
