"""Settings as Python gives them, turned into the words of a command line, so that both are read and checked alike."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from netaug.config.settings import GROUPS, SHORT
from netaug.core.errors import ConfigError


def words_of(settings: Mapping[str, Any]) -> list[str]:
    """Return ``--group.key=value`` words.

    Args:
        settings: Values by ``group.key`` or by short name, or a mapping of keys to values by ``group``.

    Raises:
        ConfigError: A name is neither; unknown keys and wrong types are found when the words are read.
    """
    words = []
    for name, value in settings.items():
        if "." in name:
            words.append(f"--{name}={_text(value)}")
        elif name in SHORT and not isinstance(value, Mapping):
            words.append(f"--{SHORT[name]}={_text(value)}")
        elif name in GROUPS and isinstance(value, Mapping):
            words += [f"--{name}.{key}={_text(member)}" for key, member in value.items()]
        else:
            raise ConfigError(
                f"{name!r} is not a setting.",
                got=f"{name}={value!r}",
                allowed=f"a group of settings with a mapping: {', '.join(GROUPS)}",
                fix="such as epochs=20, train={'epochs': 20}, or **{'train.epochs': 20}",
            )
    return words


def _text(value: Any) -> str:
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    return json.dumps(list(value) if isinstance(value, tuple | set) else value, default=str)
