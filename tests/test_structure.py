"""The layout is what it says: packages import lower levels only, no module is part of a circle, public names import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import netaug

ROOT = Path(netaug.__file__).parent
CONTRIBUTING = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
DESIGN = (ROOT.parent / "docs" / "design.md").read_text(encoding="utf-8")
LEVELS = tuple(
    tuple(re.findall(r"`(\w+)`", packages))
    for packages in re.findall(r"^\| \d+ \| (.*?) \|", CONTRIBUTING, flags=re.MULTILINE)
)
"""Packages by level: a package imports packages of lower levels and itself, never one beside or above it."""
FRONT = {"netaug", "netaug.__main__", "netaug.cli"}


def _modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ("netaug", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imported(tree: ast.AST) -> Iterator[str]:
    """Modules that a file imports, inside functions too; what only type checkers import comes last in `if` blocks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def _without_type_checking(tree: ast.Module) -> ast.Module:
    kept = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        )
    ]
    return ast.Module(kept, [])


def _edges(*, types: bool) -> dict[str, set[str]]:
    edges = {}
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = _imported(tree if types else _without_type_checking(tree))
        edges[name] = {other for other in imported if other in MODULES and other != name}
    return edges


def _package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_package_has_a_level() -> None:
    packages = {_package(name) for name in MODULES if name not in FRONT}
    assert packages == {package for level in LEVELS for package in level}


def test_no_package_imports_one_beside_or_above_it() -> None:
    level = {package: number for number, packages in enumerate(LEVELS) for package in packages}
    upward = [
        f"{name} -> {other}"
        for name, others in _edges(types=True).items()
        for other in others
        if name not in FRONT
        and _package(name) != _package(other)
        and (
            other in FRONT - {"netaug"}
            or (other != "netaug" and level[_package(other)] >= level[_package(name)])
        )
    ]
    assert not sorted(upward)


def test_no_module_is_part_of_a_circle() -> None:
    edges = {name: others - FRONT for name, others in _edges(types=False).items()}
    while True:
        leaves = {name for name, others in edges.items() if not others & edges.keys()}
        if not leaves:
            break
        edges = {name: others for name, others in edges.items() if name not in leaves}
    assert not sorted(edges)


@pytest.mark.parametrize("name", netaug.__all__)
def test_every_public_name_imports(name: str) -> None:
    assert getattr(netaug, name) is not None
    assert name in dir(netaug)


def test_every_module_imports() -> None:
    for name in MODULES:
        if name != "netaug.__main__":
            import_module(name)


def test_the_file_tree_of_the_design_names_every_package() -> None:
    tree = re.search(r"^netaug/\n((?:  \w+/ .*\n)+)", DESIGN, flags=re.MULTILINE)
    assert tree is not None
    shown = re.findall(r"^  (\w+)/ ", tree[1], flags=re.MULTILINE)
    assert shown == sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "_")


@pytest.mark.parametrize("name", ["draw_packages.py", "draw_results.py"])
def test_pictures_are_drawn_from_the_imports_and_from_the_table_of_results(name: str) -> None:
    """Without `--check` the script draws it again."""
    script = ROOT.parent / "docs" / name
    done = subprocess.run([sys.executable, script, "--check"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
