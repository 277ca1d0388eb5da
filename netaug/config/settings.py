"""The keys of :class:`netaug.config.RunConfig` as `group.key`: their types, help and typed values."""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentError, ArgumentParser

from netaug.config import (
    BranchSettings,
    DataConfig,
    DepthSettings,
    DetectConfig,
    DistillConfig,
    ModelConfig,
    NetAugConfig,
    RegularizeConfig,
    RunConfig,
    StartsConfig,
    TrainConfig,
)
from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest
from netaug.core.yaml_files import parse_value

_SHOWN = 200  # characters of a wrong value in a message

GROUPS: dict[str, Any] = {
    "model": ModelConfig,
    "data": DataConfig,
    "netaug": NetAugConfig,
    "train": TrainConfig,
    "distill": DistillConfig,
    "detect": DetectConfig,
    "regularize": RegularizeConfig,
    "reparameterize": BranchSettings,
    "deepen": DepthSettings,
    "starts": StartsConfig,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """Describes a setting of a run: its key, type hint, default and the sentence that explains it."""

    key: str
    hint: Any
    default: Any
    help: str

    @property
    def expected(self) -> str:
        """Return the type in words, for messages."""
        parts = get_args(self.hint)
        if get_origin(self.hint) is Literal:
            return "one of " + ", ".join(map(str, parts))
        if get_origin(self.hint) is tuple:
            return f"a list of {parts[0].__name__}" + ", such as [1.0, 1.8]" * (parts[0] is float)
        if get_origin(self.hint) is dict:
            if get_origin(parts[1]) is tuple:
                return "a mapping of glob patterns to lists of float, such as {'stages.3.*': [1.0, 2.0]}"
            return "a mapping of names to values"
        if type(None) in parts:
            return " or ".join("null" if part is type(None) else part.__name__ for part in parts)
        return str(self.hint.__name__)


@cache
def settings() -> dict[str, Setting]:
    """Return every key of a run, `group.key`, in the order of the dataclasses."""
    by_key = {}
    for group, cls in GROUPS.items():
        hints = get_type_hints(cls)
        documented = {
            item.arg_name: item.description or ""
            for base in reversed(cls.__mro__[:-1])
            for item in parse_docstring(base.__doc__ or "").params
        }
        for field in own_first(cls):
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            key = f"{group}.{field.name}"
            text = " ".join(
                filter(None, (documented[field.name].replace("\n", " "), field.metadata.get("help")))
            )
            by_key[key] = Setting(key, hints[field.name], default, text)
    return by_key


SHORT = {
    "model": "model.name",
    "data": "data.root",
    "epochs": "train.epochs",
    "seed": "train.seed",
    "device": "train.device",
}
"""Short names of settings that nearly every call gives: ``--model`` of a command line, ``model=`` in Python."""


FREQUENT = frozenset(
    {
        *SHORT.values(),
        "model.options",
        "model.weights",
        "data.name",
        "data.root",
        "data.augment",
        "data.workers",
        "train.epochs",
        "data.batch_size",
        "train.lr",
        "train.optimizer",
        "train.weight_decay",
        "train.amp",
        "netaug.enabled",
        "netaug.preset",
        "netaug.width",
        "netaug.expand",
        "distill.teacher",
    }
)
"""Settings that the short help of a command shows."""
_MANY = 40
"""Settings beside those, from which a command has a short help."""


class _HelpAll(argparse.Action):
    """Prints the help with all settings."""

    def __init__(self, *, hidden: Mapping[argparse.Action, str], **named: Any) -> None:
        super().__init__(nargs=0, default=argparse.SUPPRESS, **named)
        self._hidden = hidden

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        for action, text in self._hidden.items():
            action.help = text
        self.help = argparse.SUPPRESS  # nothing is left out here
        parser.print_help()
        parser.exit()


def own_first(cls: Any) -> list[dataclasses.Field[Any]]:
    """Return a dataclass's fields, its own before those that it inherits; `enabled` then leads its group."""
    inherited = [field.name for base in cls.__mro__[1:-1] for field in dataclasses.fields(base)]
    return sorted(dataclasses.fields(cls), key=lambda field: field.name in inherited)


def open_setting(key: str) -> str | None:
    """Return the setting that ``key`` is a member of, as ``model.options.channels`` is one of ``model.options``."""
    setting, _, member = key.rpartition(".")
    known = settings().get(setting)
    return setting if member and known is not None and known.hint == dict[str, Any] else None


def add_settings(parser: ArgumentParser, allowed: tuple[str, ...] = tuple(GROUPS)) -> None:
    """Add these groups or single keys to a parser as typed options, with their docstrings as help.

    Of many settings the help shows those of :data:`FREQUENT`, and ``--help-all`` the rest.
    """
    hidden: dict[argparse.Action, str] = {}
    short = {key: f"Short form: --{name}. " for name, key in SHORT.items()}
    for group in dict.fromkeys(name.split(".")[0] for name in allowed):
        title = parse_docstring(GROUPS[group].__doc__).short_description or group
        section = parser.add_argument_group(title.rstrip("."))
        for setting in settings().values():
            if setting.key.startswith(f"{group}.") and {group, setting.key} & set(allowed):
                text = short.get(setting.key, "") + setting.help.replace("%", "%%")
                action = section.add_argument(
                    f"--{setting.key}", type=setting.hint, default=setting.default, help=text
                )
                if setting.key not in FREQUENT:
                    hidden[action] = text
    if len(hidden) > _MANY:
        for action in hidden:
            action.help = argparse.SUPPRESS
        parser.add_argument(
            "--help-all",
            action=_HelpAll,
            hidden=hidden,
            help=f"Show this help with all settings, of which it now leaves {len(hidden)} out, and exit.",
        )


def nearest_settings(name: str) -> list[str]:
    """Return the settings that a wrong key or option most likely meant: same last part, else alike."""
    wanted = name.lstrip("-").replace("-", "_")
    by_leaf: dict[str, list[str]] = {}
    for key in settings():
        by_leaf.setdefault(key.split(".")[1], []).append(key)
    leaf = wanted.split(".")[-1]
    if leaf in by_leaf:
        return by_leaf[leaf]
    close = nearest(wanted, settings(), count=1) if "." in wanted else nearest(leaf, by_leaf, count=1)
    return by_leaf.get(close[0], close) if close else []


def unknown_key(key: str, where: str) -> ConfigError:
    """Return the error for a key that is not a setting; names the nearest one."""
    known = list(settings())
    close = nearest_settings(key)
    group = key.split(".")[0]
    inside = [name.split(".")[1] for name in known if name.startswith(f"{group}.")]
    return ConfigError(
        f"{key!r} is not a setting ({where}).",
        got=key,
        allowed=f"in '{group}': {', '.join(inside)}" if inside else f"groups {', '.join(GROUPS)}",
        fix=did_you_mean(map(repr, close)) or "see `netaug train --help-all`",
    )


@cache
def _typed_parser(key: str) -> ArgumentParser:
    """Return a parser of one setting: with all of them, each value would be checked beside all defaults."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, default_env=False)
    add_settings(parser, (key,))
    return parser


def typed(key: str, value: object, where: str) -> Any:
    """Return the value of one setting in its type; text from the command line is read as YAML.

    Raises:
        ConfigError: The value does not have the setting's type; names key, value and expected type.
    """
    setting = settings()[key]
    if get_origin(setting.hint) is tuple and isinstance(value, str) and not value.lstrip().startswith("["):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if setting.hint == dict[str, Any]:
        return _open_mapping(setting, value, where)
    # An anchor in a short text can stand for a huge value.
    if isinstance(value, str) and "&" in value and not _takes_text(setting):
        parse_value(value, f"{key} ({where})")  # bounds what jsonargparse then reads
    try:
        if isinstance(value, str | int | float | None):
            result = copy.copy(_parsed_once(key, value))
        else:
            result = _parsed(key, value)
    except (ArgumentError, TypeError, ValueError, RecursionError) as error:
        raise _wrong_type(setting, value, where) from error
    return tuple(result) if get_origin(setting.hint) is tuple else result


@lru_cache(maxsize=4096, typed=True)
def _parsed_once(key: str, value: str | float | None) -> Any:
    """Return :func:`_parsed` of a scalar; a run reads its settings several times, at 0.4 milliseconds each."""
    return _parsed(key, value)


def _parsed(key: str, value: object) -> Any:
    group, leaf = key.split(".")
    return _typed_parser(key).parse_object({group: {leaf: value}})[key]


def _takes_text(setting: Setting) -> bool:
    return setting.hint is str or str in get_args(setting.hint) or get_origin(setting.hint) is Literal


def _open_mapping(setting: Setting, value: object, where: str) -> dict[str, Any]:
    """Return a mapping of names to any plain values; strings that say a number or list are read as such.

    jsonargparse does not see it: of a value of any type it imports what the value calls its ``class_path``.
    """
    origin = f"{setting.key} ({where})"
    mapping = parse_value(value, origin) if isinstance(value, str) else value
    if not isinstance(mapping, Mapping) or not all(isinstance(name, str) for name in mapping):
        raise _wrong_type(setting, value, where)
    return {name: _plain(member, f"{setting.key}.{name} ({where})") for name, member in mapping.items()}


def _plain(value: Any, origin: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(member, origin) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member, origin) for member in value]
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        parsed = parse_value(value, origin)
    except ConfigError:  # a string that is not YAML is a string
        return value
    return value if isinstance(parsed, str) or parsed is None else parsed


def _wrong_type(setting: Setting, value: object, where: str) -> ConfigError:
    shown = repr(value)
    return ConfigError(
        f"{setting.key} has a value of the wrong type ({where}).",
        got=f"{shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}...'} ({type(value).__name__})",
        allowed=setting.expected,
    )


def build(values: Mapping[str, Any]) -> RunConfig:
    """Return the run configuration with these settings, `group.key` to typed value; the rest are defaults."""
    parts = {
        group: cls(
            **{key.split(".")[1]: value for key, value in values.items() if key.startswith(f"{group}.")}
        )
        for group, cls in GROUPS.items()
    }
    return RunConfig(**parts)
