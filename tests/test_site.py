"""The pages of the site: links lead to pages, and the references name all there is. `make docs` builds them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import netaug
from netaug.commands import COMMANDS
from netaug.config.settings import settings

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("assemble", ROOT / "docs" / "assemble.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("link", "led"),
    [
        ("docs/compare.md", "compare.md"),
        ("docs/own-images.md#settings", "own-images.md#settings"),
        ("docs/results", "results/README.md"),
        ("examples/own_loop.ipynb", "examples/own_loop.md"),
        ("https://arxiv.org/abs/2110.08890", "https://arxiv.org/abs/2110.08890"),
    ],
)
def test_links_of_the_readme_lead_to_pages(link: str, led: str, site: ModuleType) -> None:
    where = site.places()
    text = site.with_links_of_the_site(f"[x]({link})", "README.md", "index.md", where)
    assert text == f"[x]({led})"


def test_links_out_of_a_folder_are_relative(site: ModuleType) -> None:
    source, target = "docs/results/export/README.md", "results/export/README.md"
    text = site.with_links_of_the_site("[x](../../log.md)", source, target, site.places())
    assert text == "[x](../../log.md)"


def test_a_dead_link_is_an_error(site: ModuleType) -> None:
    with pytest.raises(site.DeadLinkError, match=r"README\.md: docs/nothing\.md"):
        site.with_links_of_the_site("[x](docs/nothing.md)", "README.md", "index.md", site.places())
    code = "```\n[x](docs/nothing.md)\n```\n"
    assert site.with_links_of_the_site(code, "README.md", "index.md", site.places()) == code


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = {line.removeprefix("::: netaug.") for line in page.splitlines() if line.startswith("::: ")}
    assert set(netaug.__all__) - {"NetaugError", "__version__"} <= shown  # errors has NetaugError


def test_the_references_have_every_setting_and_command(site: ModuleType) -> None:
    page = site.settings_page()
    assert [key for key in settings() if f"| `{key}` |" not in page] == []
    commands = site.commands_page()
    assert [name for name in COMMANDS if f"## netaug {name}" not in commands] == []
