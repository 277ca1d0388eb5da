"""Put the pages of the site together in build/docs: those of docs, those beside it, and the generated ones.

    python docs/assemble.py

Links between files of the repository become links between pages; one that leads to no page is an error. Settings and
commands are written from the dataclasses and parsers themselves, examples from their scripts.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "docs"
BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "license.md",
    "CITATION.cff": "CITATION.cff",
}
"""Files outside of docs that are pages, and where."""
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)


_DRAWN = re.compile(r"\w+-\d+\.png")
"""Pictures of notebooks, which lie beside their page."""


class DeadLinkError(Exception):
    """A page links to what is not a page."""


def places() -> dict[str, str]:
    """Return where each file of the repository stands in the site."""
    found = dict(BESIDE)
    for path in sorted((ROOT / "docs").rglob("*")):
        # the same page as report.html, which has its curves, too
        has_page = path.name == "report.md" and path.with_suffix(".html").exists()
        if path.is_file() and path.suffix != ".py" and not has_page:
            found[path.relative_to(ROOT).as_posix()] = path.relative_to(ROOT / "docs").as_posix()
    for path in sorted([*(ROOT / "examples").glob("*.py"), *(ROOT / "examples").glob("*.ipynb")]):
        found[f"examples/{path.name}"] = f"examples/{path.stem}.md"
    return found


def generated() -> dict[str, str]:
    """Return the pages that are written from code."""
    sys.path.insert(0, str(ROOT))
    return {"settings.md": settings_page(), "commands.md": commands_page()}


def with_links_of_the_site(text: str, source: str, target: str, where: dict[str, str]) -> str:
    """Return a page's text with its links to files of the repository led to their places in the site."""
    folder = PurePosixPath(source).parent

    def led(match: re.Match[str]) -> str:
        link, anchor = match[2], match[3] or ""
        if re.match(r"[a-z]+:", link) or _DRAWN.fullmatch(link):
            return match[0]
        there = os.path.normpath(folder / link).replace(os.sep, "/")
        place = where.get(there) or where.get(f"{there}/README.md")
        if place is None and there.removeprefix("docs/") in _GENERATED:
            place = there.removeprefix("docs/")
        if place is None:
            raise DeadLinkError(f"{source}: {link} leads to {there}, which is not a page")
        return f"{match[1]}{os.path.relpath(place, PurePosixPath(target).parent)}{anchor})"

    parts, end = [], 0
    for fence in _FENCE.finditer(text):  # code stays as it is
        parts += [_LINK.sub(led, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(led, text[end:])])


_GENERATED = ("settings.md", "commands.md")


def settings_page() -> str:
    """Return a table of all settings for each group of them."""
    from docstring_parser import parse

    from netaug.config.settings import GROUPS, settings

    about = '`--group.key value` on the command line, lines of YAML in a recipe, `group={"key": value}` in Python.'
    lines = ["# Settings", "", f"{about} Written from the dataclasses in `netaug/config`.", ""]
    for group, dataclass in GROUPS.items():
        about = parse(dataclass.__doc__ or "").short_description or ""
        lines += [f"## {group}", about, "", "| setting | default | |", "|---|---|---|"]
        for setting in settings().values():
            if setting.key.startswith(f"{group}."):
                text = f"{setting.help} ({setting.expected})" if setting.expected else setting.help
                lines.append(f"| `{setting.key}` | `{_yaml(setting.default)}` | {_cell(text)} |")
        lines.append("")
    return "\n".join(lines)


def commands_page() -> str:
    """Return what each command does, an example, and its own arguments."""
    from netaug.commands import COMMANDS
    from netaug.commands.data import SUBCOMMANDS

    lines = [
        "# Commands",
        "",
        "Written from the parsers; `netaug COMMAND --help` prints the same in a terminal.",
        "",
    ]
    names = [name for name in COMMANDS if name != "data"] + [f"data {name}" for name in SUBCOMMANDS]
    for name in sorted(names):
        lines += [*_command(name), ""]
    return "\n".join(lines)


def _command(name: str) -> Iterator[str]:
    from netaug.commands.arguments import described
    from netaug.config.settings import GROUPS

    module = importlib.import_module(f"netaug.commands.{re.sub('[ -]', '_', name)}")
    parser, allowed = described(module.run)
    about, _, example = (parser.description or "").partition("\n\nexample:\n")
    yield f"## netaug {name}"
    yield from ("", about.replace("<", "&lt;"), "")
    yield from ("```", *(line.removeprefix("  ") for line in example.splitlines()), "```", "")
    yield from ("| argument | |", "|---|---|")
    for action in parser._actions:
        names = action.option_strings or [action.dest]
        if action.dest == "help":
            continue
        is_setting = names[0].startswith("--") and names[0][2:].partition(".")[0] in GROUPS
        if action.help not in (None, argparse.SUPPRESS) and not (is_setting and "." in names[0]):
            yield f"| {', '.join(f'`{one}`' for one in names)} | {_cell(str(action.help).replace('%%', '%'))} |"
    if allowed:
        keys = ", ".join(f"`{key}`" if "." in key else f"[`{key}`](settings.md#{key})" for key in allowed)
        yield f"\nSettings: {keys}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value) if isinstance(value, tuple) else value) or '""'


def results_list(folder: Path) -> str:
    """Return a list of the pages of results: title, and the sentence in bold that says what came out."""
    lines = []
    for page in sorted(folder.glob("*/README.md")):
        text = page.read_text(encoding="utf-8")
        title, bold = (
            re.search(r"^# (.*)$", text, flags=re.MULTILINE),
            re.search(r"\*\*(.+?)\*\*", text, flags=re.DOTALL),
        )
        assert title is not None, page
        found = f": {' '.join(bold[1].split())}" if bold else ""
        whole = page.with_name("report.html")
        link = f" ([its whole page]({page.parent.name}/report.html))" if whole.exists() else ""
        lines.append(f"- [{title[1]}]({page.parent.name}/README.md){found}{link}")
    return "\n".join(lines) + "\n"


def example_page(path: Path) -> str:
    """Return a page that shows a script."""
    return f"# {path.stem}\n\n`examples/{path.name}`\n\n```python\n{path.read_text(encoding='utf-8')}```\n"


def notebook_page(path: Path, folder: Path) -> str:
    """Return a page that shows a notebook with its outputs; pictures are written into the folder."""
    parts = []
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture:
                name = f"{path.stem}-{number}.png"
                (folder / name).write_bytes(base64.b64decode("".join(picture)))
                parts.append(f"![What the cell draws]({name})")
            else:
                shown = "".join(output.get("text") or output["data"]["text/plain"]).rstrip()
                parts.append(f"```text\n{shown}\n```")
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\nThe notebook `examples/{path.name}` with what it printed and drew.\n{rest}\n"


def assemble(out: Path = OUT) -> None:
    """Write all pages and what they show."""
    shutil.rmtree(out, ignore_errors=True)
    where = places()
    for source, target in where.items():
        path, written = ROOT / source, out / target
        written.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py":
            written.write_text(example_page(path), encoding="utf-8")
        elif path.suffix == ".ipynb":
            text = notebook_page(path, written.parent)
            written.write_text(with_links_of_the_site(text, source, target, where), encoding="utf-8")
        elif path.suffix == ".md" or source == "LICENSE":
            text = path.read_text(encoding="utf-8")
            if source == "docs/results/README.md":
                text = text.replace("<!-- pages -->\n", results_list(path.parent))
            written.write_text(with_links_of_the_site(text, source, target, where), encoding="utf-8")
        else:
            shutil.copyfile(path, written)
    for target, text in generated().items():
        (out / target).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        assemble()
    except DeadLinkError as dead:
        sys.exit(f"docs: {dead}")
