"""Render the page of a single run: its curves and facts."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from netaug.compare.formatting import seconds, si
from netaug.compare.records import RunRecord, read_config, read_environment, read_record
from netaug.compare.run_specs import RunSpec
from netaug.core.display import score_name
from netaug.core.errors import RunFolderError
from netaug.core.escaping import html
from netaug.core.io import write_atomic
from netaug.report.ladder_page import exports_of
from netaug.report.lines import Axis, Point, Quantity, end_frame, points, whole_frame
from netaug.report.pictures import PictureRow
from netaug.report.plots import curves
from netaug.report.template import flatten, page_parts, template

_PICTURES: tuple[tuple[str, Axis, tuple[tuple[Quantity, str], ...]], ...] = (
    ("Score", "epoch", (("val", "evaluation"), ("train", "training"))),
    ("Loss", "epoch", (("val_loss", "evaluation"), ("loss", "training"))),
    ("Score against training time", "seconds", (("val", "evaluation"),)),
    ("Learning rate", "epoch", (("lr", "training"),)),
    ("Throughput", "epoch", (("speed", "training"),)),
    ("Fraction of the gradient from the augmented pass", "epoch", (("fraction", "training"),)),
)
_LOOKS = [(0, "evaluation"), (1, "training")]


Gallery = Sequence[tuple[Markup, str, str]]
"""Pictures, each with what is said of it and its name."""


@dataclass(frozen=True)
class Sheet:
    """Hold pictures of a run's data.

    Args:
        title: What they are.
        pictures: Each with what is said of it, and its name.
        note: What is to be known about them.
        small: Whether they are shown small.
    """

    title: str
    pictures: Gallery
    note: str
    small: bool = True


@dataclass(frozen=True)
class DataPart:
    """Hold what the page shows of a run's data and network, which are read for it.

    Args:
        facts: Further facts, by name.
        sheets: Pictures.
        missing: Why there are none, in a sentence; empty if there are.
    """

    facts: Sequence[tuple[str, str]] = ()
    sheets: Sequence[Sheet] = ()
    missing: str = ""


_NOTHING = DataPart()
_MANY = 8
"""Pages from which starting further processes pays."""


def write_missing_pages(folders: Iterable[Path], jobs: int = 1) -> None:
    """Write ``report.html`` of the runs that have ended an epoch and have none, or an older one, without pictures.

    Args:
        folders: Of the runs.
        jobs: Processes that draw side by side where there are many; a page takes half a second.
    """
    lacking = [folder for folder in folders if _lacks_page(folder)]
    if jobs > 1 and len(lacking) >= _MANY:
        from joblib import Parallel, delayed  # takes a while to import

        Parallel(n_jobs=jobs)(delayed(_write_page_of)(folder) for folder in lacking)
        return
    for folder in lacking:
        _write_page_of(folder)


def _lacks_page(folder: Path) -> bool:
    page, metrics = folder / "report.html", folder / "metrics.jsonl"
    return metrics.is_file() and not (page.is_file() and page.stat().st_mtime >= metrics.stat().st_mtime)


def _write_page_of(folder: Path) -> None:
    with suppress(RunFolderError):  # of a run that failed; the comparison's page says so
        write_run_page(folder, folder / "report.html")


def write_run_page(folder: Path, path: Path, data: DataPart = _NOTHING) -> None:
    """Write the page of a run that has ended an epoch.

    Args:
        folder: The run folder.
        path: Where the HTML file goes.
        data: What is shown of data and network.

    Raises:
        RunFolderError: No epoch has ended yet, or ``summary.json`` is damaged.
    """
    # a record needs a specification; of this one only the folder counts
    run = read_record(RunSpec("run", "final", 0, None, None, 1), folder)
    if not run.curve:
        raise RunFolderError(f"no epoch of the run in '{folder}' has ended yet.", fix="wait for the first")
    score = score_name(run.curve[-1].score)
    config, environment = read_config(folder), read_environment(folder)
    page: str = template("run.html.jinja").render(
        name=folder.resolve().name,
        headline=_headline(run, score, config),
        advice=_summary(folder).get("advice"),
        facts=[*_about(run, config, environment), *data.facts, *_facts(run, score)],
        sheets=data.sheets,
        missing=data.missing,
        pictures=_pictures(run, score),
        exports=exports_of(folder),
        command=_command(environment.get("command")),
        settings=flatten(config),
        machine=flatten({key: value for key, value in environment.items() if key != "command"}),
        **page_parts(),
    )
    write_atomic(path, page)


def _command(argv: object) -> Markup | None:
    """Return the command for a shell; no character of it changes, because it is to be copied."""
    if not isinstance(argv, list):
        return None
    return html(shlex.join(["netaug", *map(str, argv[1:])]))


def _headline(run: RunRecord, score: str, config: dict[str, Any]) -> str:
    scores = [epoch.val_score for epoch in run.curve if epoch.val_score is not None]
    epochs = (config.get("train") or {}).get("epochs")
    after = f"after {len(run.curve)} of {epochs} epochs"
    return f"{score} {scores[-1]:.2f} % {after}" if scores else f"Not evaluated yet, {after}"


def _facts(run: RunRecord, score: str) -> list[tuple[str, str]]:
    scores = [(epoch.val_score, epoch.epoch + 1) for epoch in run.curve if epoch.val_score is not None]
    last, facts = run.curve[-1], []
    if scores:
        # of equal scores the latest epoch
        best, at = max(scores)
        facts.append((f"{score}, last evaluation", f"{scores[-1][0]:.2f} %"))
        if best > scores[-1][0]:
            chosen = "chosen on these images, so too high"
            facts.append((f"{score}, best", f"{best:.2f} % after epoch {at}, {chosen}"))
    if last.train_score is not None:
        facts.append((f"{score} on training images", f"{last.train_score:.2f} %"))
    facts.append(("training time", seconds(sum(epoch.seconds for epoch in run.curve))))
    facts.append(("MACs of the training", si(sum(epoch.train_macs for epoch in run.curve))))
    if run.summary:
        facts.append(("evaluated on", run.summary.val_split))
    return facts


def _about(run: RunRecord, config: dict[str, Any], environment: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the network, data and machine of a run, where its folder names them."""
    groups = {
        name: content if isinstance(content, dict) else {} for name, content in config.items()
    }  # damaged ones are empty
    model, data, train, netaug = (groups.get(name, {}) for name in ("model", "data", "train", "netaug"))
    speeds = [epoch.images_per_second for epoch in run.curve if epoch.images_per_second]
    facts = {
        "network": _joined(model.get("name"), "with NetAug" if netaug.get("enabled") else "without NetAug"),
        "data": _joined(data.get("name"), data.get("root")),
        "seed": train.get("seed"),
        "batch": f"{data['batch_size']} images" if "batch_size" in data else None,
        "optimizer": _joined(train.get("optimizer"), f"{train.get('schedule')} from {train.get('lr')}"),
        "throughput": f"{statistics.median(speeds):,.0f} images per second, median of epochs"
        if speeds
        else None,
        "machine": _joined(environment.get("gpu") or environment.get("cpu"), environment.get("device")),
    }
    if run.summary:
        facts["parameters"] = f"{run.summary.params:,}"
        facts["MACs of an image"] = f"{run.summary.macs:,}"
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


def _joined(first: object, second: object) -> str:
    return "" if first is None else str(first) if second is None else f"{first}, {second}"


def _pictures(run: RunRecord, score: str) -> list[PictureRow]:
    drawn: list[tuple[str, Markup]] = []
    for number, (title, axis, wanted) in enumerate(_PICTURES):
        lines = {}
        for quantity, name in wanted:
            if line := [Point(x, y, None) for x, y in points(run, quantity, axis)]:
                lines[name] = line
        if lines:
            quantity = wanted[0][0]
            whole, end = whole_frame(lines, quantity), end_frame(lines, quantity)
            svg = curves(lines, _LOOKS, quantity, axis, whole, f"run-{number}", score, end)
            drawn.append((title, svg))
    return [PictureRow("", _LOOKS, tuple(drawn))]


def _summary(folder: Path) -> dict[str, Any]:
    if not (folder / "summary.json").is_file():
        return {}
    try:
        content = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
