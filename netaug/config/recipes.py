"""Packaged recipes: one YAML file is one run, its comments say what to expect of it."""

from __future__ import annotations

import shlex
from pathlib import Path

from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest
from netaug.core.yaml_files import read_text

_SHOWN = 4
_FOLDER = Path(__file__).parent.parent / "recipes"


OWN_DATA = "_own-data"
"""The recipe without settings."""


def recipe_names() -> list[str]:
    """Names of the packaged recipes, such as ``demo/digits``, sorted, without those that only others start from."""
    return [name for name in _all_names() if not name.rpartition("/")[2].startswith("_")]


def _all_names() -> list[str]:
    return sorted(path.relative_to(_FOLDER).with_suffix("").as_posix() for path in _FOLDER.rglob("*.yaml"))


def recipe_summaries() -> dict[str, str]:
    """Return recipe names with their summaries: the first comment line of each file."""
    return {name: summary(recipe_text(name)) for name in recipe_names()}


def summary(text: str) -> str:
    """Return the first comment line of a recipe's text, empty if the text does not start with a comment."""
    first = text.lstrip().split("\n", 1)[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def find_recipe(recipe: str) -> tuple[str, Path]:
    """Find a recipe by its packaged name or as a YAML file.

    Args:
        recipe: A name of :func:`recipe_names`, or a path to a YAML file. A packaged name wins.

    Returns:
        A short name for run folders, and the file.

    Raises:
        ConfigError: Neither a packaged recipe nor a file; names the nearest recipes.
    """
    names = recipe_names()
    if recipe in _all_names():
        return recipe, _FOLDER / f"{recipe}.yaml"
    path = Path(recipe)
    if path.is_file():
        return path.stem, path
    if path.exists():
        raise ConfigError(
            f"'{recipe}' is not a recipe.",
            got="a folder",
            allowed="the name of a recipe, or the path of a YAML file",
            fix=f"if images lie there: --data {shlex.quote(recipe)}",
        )
    close = nearest(recipe, names) or [name for name in names if path.stem == name.rpartition("/")[2]]
    hint = f"{did_you_mean(close[:_SHOWN])} " if close else ""
    raise ConfigError(
        f"there is no recipe {recipe!r}.",
        got=recipe,
        allowed=f"one of {len(names)} names such as {names[0]}, or the path of a YAML file",
        fix=f"{hint}`netaug recipes` lists them with one line each",
    )


def recipe_text(recipe: str) -> str:
    """Return the text of a recipe, comments included.

    Raises:
        ConfigError: There is no such recipe, or its file is not UTF-8 text.
    """
    _, path = find_recipe(recipe)
    return read_text(path)
