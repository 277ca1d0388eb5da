"""Which settings come from a file and which from the command line, and what a file may not choose."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from netaug.config import RunConfig
from netaug.config.trust import check_network


def names_given(given: Mapping[str, Any]) -> frozenset[str]:
    """Return the networks that the user names on the command line, as the network to train or as teachers.

    Args:
        given: Settings of the command line, `group.key` to typed value.
    """
    return frozenset([*filter(None, [given.get("model.name")]), *given.get("distill.teacher", ())])


def check_provenance(
    config: RunConfig,
    given: Mapping[str, Any],
    trusted: Collection[str] = (),
    *,
    where: str = "the recipe",
    option: str = "--model.name",
) -> None:
    """Refuse settings whose networks would run, load or download what a recipe, plan or weights file chose.

    Args:
        config: All settings.
        given: Those among them that the user gave on the command line; all others came from files.
        trusted: Further factories that the user named there.
        where: What names the network, for messages.
        option: How the user can name it.

    Raises:
        UntrustedNetworkError: A file names a user's factory.
        ModelError: A file has an option that makes timm load a file or download.
    """
    if not any(":" in name for name in (config.model.name, *config.distill.teacher)):
        return

    # A name that only a file gives is not trusted.
    named = names_given(given).union(trusted)
    on_command_line = given.get("model.options", {})
    options = {
        key: value
        for key, value in config.model.options.items()
        if key not in on_command_line or on_command_line[key] != value
    }
    check_network(config.model.name, options, where=where, trusted=named, option=option)
    if config.distill.random_teacher:
        for name in config.distill.teacher:
            check_network(name, {}, where=f"{where} (distill.teacher)", trusted=named, option="--trust")
