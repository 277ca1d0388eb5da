"""Parsing that the commands share: settings such as `--train.lr 0.1` apart from a command's own options."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter

from netaug.config.loading import given_settings, pairs
from netaug.config.provenance import names_given
from netaug.config.settings import SHORT, nearest_settings, open_setting, settings, unknown_key
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.existing import check_data, check_teacher, check_weights
from netaug.core.suggest import did_you_mean, nearest

_SHOWN_WORDS = 40
_log = logging.getLogger("netaug")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the line breaks of examples."""


def new_parser(command: str, usage: str, about: str, example: str) -> ArgumentParser:
    """Return a parser for a command's own arguments.

    Args:
        command: Its name.
        usage: What follows the name in the usage line.
        about: What the command does.
        example: Command lines that work, one per line.
    """
    shown = "\n".join(f"  {line}" for line in example.strip().splitlines())
    return ArgumentParser(
        prog=f"netaug {command}",
        usage=f"netaug {command} {usage}",
        description=f"{about}\n\nexample:\n{shown}",
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
        default_env=False,
        print_config=None,
    )


def parse(
    parser: ArgumentParser,
    words: Sequence[str],
    allowed: tuple[str, ...] = (),
    exists: Mapping[str, Callable[[str], None]] | None = None,
) -> tuple[Any, list[str]]:
    """Parse a command's words.

    Args:
        parser: Knows the command's own arguments; settings in it are there for its help only.
        words: All words after the command.
        allowed: Settings the command takes: groups such as ``data``, or keys such as ``train.device``.
        exists: Checks of the command's own arguments that are paths, by name; of settings they are known. A path that
            does not exist is then answered here, before a command imports torch, which takes seconds.

    Returns:
        The command's own arguments, and the settings as ``--group.key=value``.

    Raises:
        ConfigError: An option is unknown or not one of this command's, or a value is wrong.
        NetaugError: A path does not exist.
    """
    if _only_describes.get():
        raise _Described(parser, allowed)
    words = _in_full(words, parser, allowed)
    own, given = _separate(words)
    _warn_of_repeated([*own, *given], parser)
    for key in (word[2:].split("=", 1)[0] for word in given):
        _check_setting(key, allowed, parser.prog)
    options = [name for action in parser._actions for name in action.option_strings]
    for word in own:
        name = word.split("=", 1)[0]
        if name.startswith("-") and not _is_number(name) and name not in options:
            raise _unknown_option(name, [name for name in options if "." not in name], parser.prog)
    try:
        arguments = parser.parse_args(own)
    except ArgumentError as error:
        text = _shortened(" ".join(str(error).replace("Parser key ", "argument ").split()))
        raise ConfigError(
            f"{parser.prog}: {text}",
            allowed=parser.usage,
            fix=f"`{parser.prog} --help` explains each argument",
        ) from error
    for name, check in (exists or {}).items():
        check(arguments[name])
    _check_settings_paths(given)
    return arguments, given


def check_recognizable(given: Sequence[str]) -> None:
    """Check that data whose kind is to be recognized is there.

    Raises:
        DataError: It is not.
    """
    values = given_settings({}, given)
    if "data.root" in values and "data.name" not in values:
        check_data(str(values["data.root"]))


def _check_settings_paths(given: Sequence[str]) -> None:
    """Check that the networks which settings name are there, as far as a path tells."""
    values = given_settings({}, given)
    if (weights := values.get("model.weights")) is not None:
        check_weights(weights)
    for teacher in values.get("distill.teacher", ()):
        check_teacher(teacher)


def _shortened(text: str) -> str:
    """Cut a message that repeats what a shell made of a pattern, such as the names of thousands of files."""
    words = text.split(" ")
    return (
        text if len(words) <= _SHOWN_WORDS else f"{' '.join(words[:_SHOWN_WORDS])} … ({len(words):,} words)"
    )


def _in_full(words: Sequence[str], parser: ArgumentParser, allowed: tuple[str, ...]) -> list[str]:
    """Write short forms as the settings that they stand for, where the command has these and no option of that name."""
    own = {name for action in parser._actions for name in action.option_strings}
    full = []
    for word in words:
        name, equals, value = word.partition("=")
        key = SHORT.get(name.removeprefix("--")) if name.startswith("--") else None
        takes = key is not None and name not in own and {key, key.partition(".")[0]} & set(allowed)
        full.append(f"--{key}{equals}{value}" if takes else word)
    return full


class _Described(BaseException):  # nobody is told of it as of a failure
    """Carries a parser out of a command that is not to run."""

    def __init__(self, parser: ArgumentParser, allowed: tuple[str, ...]) -> None:
        self.parser, self.allowed = parser, allowed


_only_describes: ContextVar[bool] = ContextVar("only_describes", default=False)


def described(run: Callable[[list[str]], None]) -> tuple[ArgumentParser, tuple[str, ...]]:
    """Return a command's parser and the settings that it takes, without running it.

    Args:
        run: Of a module of a command; it calls :func:`parse` before it does anything else.
    """
    token = _only_describes.set(True)
    try:
        run([])
    except _Described as found:
        return found.parser, found.allowed
    finally:
        _only_describes.reset(token)
    raise AssertionError("a command has to parse its words first")


def announce(text: str) -> None:
    """Print what is being loaded, for people who wait for torch to be imported; files and pipes get no such line."""
    if sys.stderr is not None and sys.stderr.isatty():
        say(text, file=sys.stderr, flush=True)


def add_trust(parser: ArgumentParser, *, confirms: bool = False) -> None:
    """Add how a user names factories that files may name; see :func:`trusted_names`.

    Args:
        parser: Of a command that builds networks which files describe.
        confirms: Whether ``--model.name`` is not a setting of the command, and only confirms a factory.
    """
    if confirms:
        parser.add_argument(
            "--model.name",
            type=str | None,
            default=None,
            help="Confirms that the network's factory, package.module:function, is your own code; it is imported.",
        )
    parser.add_argument(
        "--trust",
        type=str,
        nargs="+",
        default=[],
        metavar="FACTORY",
        help="Factories of your own, package.module:function, that weights files, runs and recipes may name beside "
        "--model.name; no other is imported.",
    )


def trusted_names(arguments: Any, given: Sequence[str]) -> frozenset[str]:
    """Return the factories that the user names on this command line.

    Args:
        arguments: The command's own, of a parser with :func:`add_trust`.
        given: The settings, as :func:`parse` returns them.
    """
    return names_given(given_settings({}, given)).union(arguments.trust)


def _separate(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the command's own words, and the dotted options as ``--key=value``."""
    own: list[str] = []
    given: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not (word.startswith("--") and "." in word.split("=", 1)[0]):
            own.append(word)
            continue
        value = [rest.pop(0)] if "=" not in word and rest and not rest[0].startswith("--") else []
        given += [f"--{key}={value}" for key, value in pairs([word, *value])]
    return own, given


def _warn_of_repeated(words: Sequence[str], parser: ArgumentParser) -> None:
    """Warn of options given twice with different values: the last one counts, as on other command lines."""
    options = {name for action in parser._actions for name in action.option_strings}
    seen: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not (name in options or (name.startswith("--") and "." in name)):
            continue
        if seen.get(name, value) != value:
            _log.warning("%s is given twice, as %s and as %s; the last one counts.", name, seen[name], value)
        seen[name] = value


def _check_setting(key: str, allowed: tuple[str, ...], command: str) -> None:
    if key not in settings() and open_setting(key) is None:
        raise unknown_key(key, "command line")
    if not any(key == name or key.startswith(f"{name}.") for name in allowed):
        raise ConfigError(
            f"'--{key}' has no effect on `{command}`.",
            got=f"--{key}",
            allowed=f"settings of {', '.join(allowed)}" if allowed else "no settings",
        )


def _unknown_option(name: str, options: list[str], command: str) -> ConfigError:
    close_settings = nearest_settings(name)
    close = (
        # a setting without its group, such as --lr, is likelier than an option that is written alike
        [f"--{key}" for key in close_settings if key.rpartition(".")[2] == name.lstrip("-")]
        or nearest(name, set(options) - {"-h", "--help"}, count=1)
        or [f"--{key}" for key in close_settings]
    )
    return ConfigError(
        f"{name!r} is not an option of `{command}`.",
        got=name,
        allowed=", ".join([*options, "--group.key VALUE"]),
        fix=did_you_mean(close) or f"see `{command} --help`",
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
