"""YAML from anywhere: read without running, multiplying or overwriting anything."""

from __future__ import annotations

import copy
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import yaml

from netaug.core.errors import ConfigError, first_line

MOST_BYTES = 1_000_000
MOST_DEPTH = 40
MOST_VALUES = 200_000
"""Names of 100,000 classes fit; a file of aliases to aliases of aliases, whose values grow with each, does not."""
_NUMBER = re.compile(
    r"[-+]?(\d[\d_]*\.[\d_]*([eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+|\.[\d_]+([eE][-+]\d+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
)


class _Bounded(yaml.composer.Composer):
    """Counts what it reads, and refuses keys that are there twice."""

    def bound(self, where: str) -> None:
        """Start to count values; ``where`` is for messages."""
        self._where = where
        self._depth = self._values = 0
        self._sizes: dict[int, int] = {}  # values in a node, those of its aliases written out

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Read a value with all that is in it."""
        before = self._values
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                self._refuse("has a value that contains itself.", "an alias inside of its own anchor")
            # An alias counts as all it stands for: nested aliases grow by powers (a "billion laughs" file).
            self._values += self._sizes[id(node)]
        else:
            self._depth += 1
            if self._depth > MOST_DEPTH:
                self._refuse("has values within values within values.", f"more than {MOST_DEPTH} levels")
            node = super().compose_node(parent, index)
            self._depth -= 1
            self._values += 1
            self._sizes[id(node)] = self._values - before
        if self._values > MOST_VALUES:
            self._refuse("has too many values, written out with its aliases.", f"more than {MOST_VALUES:,}")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read a mapping, whose keys are all different as they are written."""
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise ConfigError(
                    f"the key {key.value!r} is there twice ({self._where}, line {lines[name]} and line {line}).",
                    fix="give each its own name, or remove one",
                )
            lines[name] = line
        return node

    def _refuse(self, problem: str, got: str) -> NoReturn:
        raise ConfigError(f"{self._where} {problem}", got=got, allowed="plain settings")


class _Plain(_Bounded, yaml.SafeLoader):
    """Reads strings, numbers, booleans and dates."""


class _AsWritten(_Bounded, yaml.BaseLoader):
    """Reads strings alone: ``yes`` does not become true, nor ``012`` ten."""


class _WithNumbers(_Plain):
    """Reads ``1e-3`` as a number, which YAML 1.1 does not, and dates as strings."""


_WithNumbers.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":float", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_WithNumbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"(?:{_NUMBER.pattern})$"), list("-+0123456789.")
)


def parse_yaml(text: str, where: str) -> Any:
    """Return the value that a YAML text says: mappings, lists, strings and numbers, never objects.

    Args:
        text: Of at most :data:`MOST_BYTES`.
        where: Where it comes from, for messages.

    Raises:
        ConfigError: It is not YAML, has a key twice, or is larger, deeper or more multiplied than settings are.
    """
    return copy.deepcopy(_parsed_once(text, where))


@lru_cache(maxsize=8)
def _parsed_once(text: str, where: str) -> Any:
    """Return the value of a text; a run reads its settings several times, at 10 milliseconds each."""
    return _parse(text, where, _Plain)


def parse_value(text: str, where: str) -> Any:
    """Return the value of a setting that was written as text, in which ``1e-3`` is a number as on the command line.

    Raises:
        ConfigError: As :func:`parse_yaml`.
    """
    return _parse(text, where, _WithNumbers)


def parse_as_written(text: str, where: str) -> Any:
    """Return the same with every number and word left as the text that is there.

    Raises:
        ConfigError: As :func:`parse_yaml`.
    """
    return _parse(text, where, _AsWritten)


def _parse(text: str, where: str, kind: type[_Plain] | type[_AsWritten]) -> Any:
    if len(text) > MOST_BYTES:
        raise ConfigError(
            f"{where} is too long for YAML.", got=f"{len(text):,} characters", allowed=f"{MOST_BYTES:,}"
        )
    try:
        loader = kind(text)
        loader.bound(where)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML.", got=" ".join(str(error).split())) from error
    except (
        Exception
    ) as error:  # values that only look like numbers or dates make the constructors raise anything
        raise ConfigError(
            f"{where} has a value that cannot be read.", got=f"{type(error).__name__}: {first_line(error)}"
        ) from error


def read_yaml(path: Path) -> Any:
    """Return the value in a YAML file, see :func:`parse_yaml`.

    Raises:
        ConfigError: It cannot be read, or is not YAML.
    """
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return the text of a file of settings.

    Raises:
        ConfigError: It is not a regular file in UTF-8, or too long.
    """
    allowed = f"a YAML file in UTF-8, of at most {MOST_BYTES:,} bytes"
    if path.exists() and not path.is_file():  # reading a pipe could wait for ever
        raise ConfigError(f"'{path}' is not a regular file.", allowed=allowed)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"'{path}' is too long.", got=f"{path.stat().st_size:,} bytes", allowed=allowed)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{path}' is not text: it cannot be read.", got=error, allowed=allowed) from error
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read.", got=error, allowed=allowed) from error
