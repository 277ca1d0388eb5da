"""`netaug report`."""

from __future__ import annotations

import sys
from pathlib import Path

from netaug.commands.arguments import add_trust, announce, new_parser, parse, trusted_names
from netaug.core.errors import RunFolderError
from netaug.core.escaping import say
from netaug.core.existing import is_comparison

_ABOUT = """\
Rebuilds the pages of a comparison's folder, without training: report.html, report.md, compare.csv, arms.csv,
differences.csv and table.txt. The comparison may still be running, or have been stopped: what has ended is shown.
Of the folder of a single run it writes report.html with facts, curves, augmented training images and predictions."""

_EXAMPLE = """
netaug report runs/compare-demo-digits
netaug report runs/demo-digits-netaug-seed0"""


def run(words: list[str]) -> None:
    """Write the pages of a folder."""
    parser = new_parser("report", "DIR [--plain]", _ABOUT, _EXAMPLE)
    parser.add_argument("folder", type=str, metavar="DIR", help="Folder of a comparison, or of a run.")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="Of a run: no pictures; neither its data nor its network is read.",
    )
    add_trust(parser, confirms=True)
    arguments, given = parse(parser, words, ("model.name",))
    folder = Path(arguments.folder)
    if is_comparison(folder):
        _of_comparison(folder)
    elif (folder / "metrics.jsonl").is_file() and (folder / "config.yaml").is_file():
        announce(f"loading the network and the images of {folder}")
        from netaug.commands.run_sheets import data_part
        from netaug.report.run_page import DataPart, write_run_page

        data = DataPart() if arguments.plain else data_part(folder, trusted_names(arguments, given))
        write_run_page(folder, folder / "report.html", data)
        say(folder / "report.html")
        if data.missing:
            say(data.missing, file=sys.stderr)
    else:
        raise RunFolderError(
            f"there is nothing to report on in '{folder}'.",
            got=_contents(folder),
            allowed="the folder of a comparison (with compare.json) or of a run (with metrics.jsonl)",
            fix="`netaug runs` lists the runs there are",
        )


def _of_comparison(folder: Path) -> None:
    from dataclasses import replace

    from netaug.commands.compare import asked
    from netaug.compare.reread import command_of, reread
    from netaug.compare.resolve import resolve_plan
    from netaug.report.comparison_pages import write_with_runs

    request = replace(asked(command_of(folder)), out=folder, overwrite=False)
    found = reread(replace(request, plan=resolve_plan(request, builds=False)) if request.plan else request)
    write_with_runs(found.comparison, folder)
    say(found.comparison.verdict.headline)
    if found.missing:
        count = "1 run" if len(found.missing) == 1 else f"{len(found.missing)} runs"
        say(f"{count} not finished and left out: {', '.join(found.missing)}")
    say(folder / "report.html")


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "an empty folder"
