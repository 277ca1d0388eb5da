"""Build the tables of a comparison: its arms, which arms were compared, its runs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from netaug.compare.arms import Arm
from netaug.compare.cells import Cell, Table, difference_cell, make_table, number_cell
from netaug.compare.formatting import NONE, rate, seconds, si
from netaug.compare.paired_statistics import EFFECT_WORDS
from netaug.compare.records import RunRecord
from netaug.compare.results import ArmRow, Comparison
from netaug.compare.run_specs import text
from netaug.compare.table import arm_cell, arm_columns
from netaug.report.arm_pairs import ArmPair, differences
from netaug.report.families import arm_styles, families, first_arms

# where the message begins: lines of the log come before it
_ERROR = re.compile(r"^\w+Error: ", re.MULTILINE)
_STAGE = re.compile(r'"?\{run:([^{}]+)\}"?')


def arms_table(comparison: Comparison) -> Table:
    """Return a row per arm, family by family."""
    styles, rows = arm_styles(comparison), _in_families(comparison)
    begins = first_arms(comparison)

    def name(row: ArmRow) -> Cell:
        return replace(arm_cell(row), arm=styles.get(row.arm), begins=row.arm in begins)

    return make_table(arm_columns(rows, comparison.score) | {"arm": name}, rows)


def differences_table(comparison: Comparison) -> Table:
    """Return a row per comparison of two arms."""
    styles = arm_styles(comparison)
    columns: dict[str, Callable[[ArmPair], Cell]] = {
        "arm": lambda pair: Cell(pair.arm, pair.arm, arm=styles.get(pair.arm)),
        "against": lambda pair: Cell(pair.against, pair.against, arm=styles.get(pair.against)),
        f"points of {comparison.score}": lambda pair: difference_cell(pair.difference),
        "result": lambda pair: Cell(
            EFFECT_WORDS[pair.difference.effect], EFFECT_WORDS[pair.difference.effect]
        ),
        "pairs": lambda pair: Cell(str(pair.difference.n), pair.difference.n),
        "at": lambda pair: Cell(pair.when, pair.when),
    }
    return make_table(columns, differences(comparison))


def runs_table(comparison: Comparison, runs: Sequence[RunRecord]) -> Table:
    """Return a row per run, failed ones too."""
    styles, score = arm_styles(comparison), comparison.score

    def number(name: str, form: Callable[[float], str]) -> Callable[[RunRecord], Cell]:
        return lambda run: number_cell(None if run.summary is None else getattr(run.summary, name), form)

    def tuned(run: RunRecord) -> Cell:
        return Cell(", ".join(f"{key} {text(value)}" for key, value in run.spec.tuned) or NONE, None)

    columns: dict[str, Callable[[RunRecord], Cell]] = {
        "arm": lambda run: Cell(
            run.spec.arm, run.spec.arm, arm=styles.get(run.spec.arm), link=_page_of(comparison, run)
        ),
        "seed": lambda run: Cell(str(run.spec.seed), run.spec.seed),
        "lr": lambda run: Cell(rate(run.lr), run.lr),
        "chosen": tuned,
        "epochs": number("epochs", "{:.0f}".format),
        f"{score} %": lambda run: (
            number_cell(run.summary.val_score, "{:.2f}".format) if run.summary else Cell("failed")
        ),
        f"train {score} %": number("train_score", "{:.2f}".format),
        "loss": number("val_loss", "{:.4f}".format),
        "train loss": number("train_loss", "{:.4f}".format),
        "train time": number("train_seconds", seconds),
        "train MACs": number("train_macs", si),
    }
    return make_table(columns, runs)


def _page_of(comparison: Comparison, run: RunRecord) -> str | None:
    """Return the address of a run's page, from that of its comparison; None if there is none."""
    if not (run.folder / "report.html").is_file():
        return None
    return quote(Path(os.path.relpath(run.folder, comparison.request.out), "report.html").as_posix())


def settings_table(comparison: Comparison) -> Table:
    """Return a row per arm and stage of the plan: what it sets on top of its recipe."""
    styles, arms = arm_styles(comparison), comparison.request.arms
    recipes = {arm.recipe for arm in arms}
    columns: dict[str, Callable[[Arm], Cell]] = {
        "arm": lambda arm: Cell(
            f"{arm.name} (stage)" if arm.stage else arm.name, arm.name, arm=styles.get(arm.name)
        ),
        # a recipe that all arms share needs no column
        "recipe": lambda arm: Cell(arm.recipe if len(recipes) > 1 else NONE, arm.recipe),
        "sets": lambda arm: Cell(_settings(arm) or "nothing", None),
    }
    return make_table(columns, arms)


def _settings(arm: Arm) -> str:
    settings = ", ".join(f"{key} {text(value)}" for key, value in arm.settings)
    return _STAGE.sub(r"the run of \1", settings)


def failures(comparison: Comparison) -> dict[str, list[str]]:
    """Return the last messages of failed runs, from the error on, each with the names of the runs that printed it."""
    runs_by_message: dict[str, list[str]] = {}
    for run in comparison.runs:
        if run.summary is None:
            error = _ERROR.search(run.message)
            message = run.message[error.start() :] if error else run.message
            runs_by_message.setdefault(message or "nothing", []).append(run.spec.name)
    return runs_by_message


def _in_families(comparison: Comparison) -> list[ArmRow]:
    """Return the rows family by family, longer references behind the arms they were trained for; stages last."""
    order = [arm for family in families(comparison) for arm in family.arms]
    position = {arm: number for number, arm in enumerate(order)}
    return sorted(comparison.rows, key=lambda row: position.get(row.arm, len(position)))
