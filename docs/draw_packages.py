"""Draw the packages of netaug from their imports into docs/design.md, as a Mermaid diagram.

    python docs/draw_packages.py            # writes the picture
    python docs/draw_packages.py --check    # exit code 1 if it is not up to date

An arrow points from a package to one that it imports. Arrows that follow from others are left out.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "design.md"
START, END = "<!-- packages -->\n", "<!-- end of packages -->\n"


def imports_between_packages() -> dict[str, set[str]]:
    """Return the packages and the packages that each of them imports."""
    folders = [folder for folder in (ROOT / "netaug").iterdir() if (folder / "__init__.py").exists()]
    names = {folder.name for folder in folders}
    found: dict[str, set[str]] = {}
    for folder in folders:
        targets = set()
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    modules = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
                elif isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                else:
                    continue
                targets |= {m.split(".")[1] for m in modules if m.startswith("netaug.")} & names
        found[folder.name] = targets - {folder.name}
    return found


def without_shortcuts(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out each arrow that a path over other arrows replaces."""

    def reach(package: str) -> set[str]:
        return set(edges[package]).union(*(reach(other) for other in edges[package]))

    return {
        package: {other for other in others if not any(other in reach(via) for via in others - {other})}
        for package, others in edges.items()
    }


def picture() -> str:
    """Return the diagram as a fenced block."""
    edges = without_shortcuts(imports_between_packages())
    lines = [f"    {package} --> {other}" for package in sorted(edges) for other in sorted(edges[package])]
    return "\n".join(["```mermaid", "flowchart BT", *lines, "```", ""])


def page_with(text: str, drawn: str) -> str:
    """Return the page's text with the diagram between its two marks."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return before + START + drawn + END + after


def main() -> int:
    """Write the picture, or check that it is up to date."""
    text = PAGE.read_text(encoding="utf-8")
    drawn = page_with(text, picture())
    if "--check" in sys.argv[1:]:
        return int(drawn != text)
    PAGE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
