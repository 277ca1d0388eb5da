"""The package brings its files, and its version is the same wherever it is written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import netaug
from tests.package.build_and_install import package_files

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_file_of_the_package_is_installed() -> None:
    """What is not Python has to fit a pattern of `package-data`."""
    root = ROOT / "netaug"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["netaug"]
    installed = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in root.glob(pattern)}
    files = {name for name in package_files() if not name.endswith(".py")}
    assert files
    assert not files - installed
    assert "netaug/py.typed" in installed


def test_the_version_of_the_citation_is_that_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == netaug.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", changelog, flags=re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading)
    kinds = set(re.findall(r"^### (.*)$", changelog, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
