"""Weights of the Hugging Face Hub by name: one file of safetensors is fetched, and nothing in it is executed."""

from __future__ import annotations

import re
from pathlib import Path

from netaug.core.errors import CheckpointError, first_line
from netaug.core.optional import import_extra

PREFIX, FILE = "hf:", "model.safetensors"
_NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def is_hub_name(source: str | Path) -> bool:
    """Return whether this names a network on the Hub, such as ``hf:user/name``."""
    return str(source).startswith(PREFIX)


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
        CheckpointError: The name is none, ``huggingface_hub`` is missing, or the file cannot be fetched.
    """
    repository, revision = repository_of(source)
    hub = import_extra("huggingface_hub", "hf", f"'{source}'", error=CheckpointError)
    try:
        return Path(hub.hf_hub_download(repository, FILE, revision=revision))
    except Exception as error:  # its own errors, and those of two ways to connect, have no base in common
        raise CheckpointError(
            f"'{FILE}' of '{source}' cannot be fetched from the Hugging Face Hub.",
            got=f"{type(error).__name__}: {first_line(error)}",
            allowed=f"a repository that you can read, with the file {FILE}",
            fix="check the name and the connection; `hf auth login` for a private one",
        ) from error
