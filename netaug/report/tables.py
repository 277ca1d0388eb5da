"""A comparison's tables: of its arms, of what was held against what, of its runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from netaug.compare.arms import Arm
from netaug.compare.numbers import NONE, rate, seconds, si
from netaug.compare.plan import text
from netaug.compare.records import RunRecord
from netaug.compare.results import ArmRow, Comparison
from netaug.report.cells import WORDS, Cell, Table, make_table, of_difference, of_number, of_spread
from netaug.report.compared import Compared, differences
from netaug.report.families import arm_looks, families, firsts

_ERROR = re.compile(r"^\w+Error: ", re.MULTILINE)
_STAGE = re.compile(r'"?\{run:([^{}]+)\}"?')
_FEW = 3  # arms among which a longer reference can only be that of one arm


def arms_table(comparison: Comparison) -> Table:
    """A row per arm, family by family."""
    looks, rows, score = arm_looks(comparison), _in_families(comparison), comparison.score
    begins = firsts(comparison)
    differ = len({(row.params, row.macs) for row in rows if row.n and not row.stage}) > 1

    def name(row: ArmRow) -> Cell:
        label = f"{row.arm} (stage)" if row.stage else row.arm
        return Cell(label, row.arm, arm=looks.get(row.arm), begins=row.arm in begins)

    columns: dict[str, Callable[[ArmRow], Cell]] = {
        "arm": name,
        f"{score} %": lambda row: of_spread(row.val_score) if row.n else Cell("failed"),
        "mean per class %": lambda row: of_spread(row.val_mean_per_class),
        **_difference_columns(rows),
        "n": lambda row: Cell(f"{row.n} ({row.failed} failed)" if row.failed else str(row.n), row.n),
        f"train {score} %": lambda row: of_spread(row.train_score),
        "epochs": lambda row: of_number(row.epochs, "{:.0f}".format),
        "lr": lambda row: Cell(rate(row.lr), row.lr),
        "train time": lambda row: Cell(seconds(row.train_seconds), row.train_seconds),
        "train MACs": lambda row: Cell(si(row.train_macs), row.train_macs),
        "parameters": lambda row: Cell(si(row.params) if differ else NONE, row.params),
        "MACs": lambda row: Cell(si(row.macs) if differ else NONE, row.macs),
    }
    return make_table(columns, rows)


def _difference_columns(rows: Sequence[ArmRow]) -> dict[str, Callable[[ArmRow], Cell]]:
    """Named after the other arm where it is the same for all rows."""
    named: dict[str, tuple[Callable[[ArmRow], str | None], Callable[[ArmRow], Cell]]] = {
        "vs reference": (lambda row: row.reference, lambda row: of_difference(row.vs_baseline)),
        "at equal time": (lambda row: row.long, lambda row: of_difference(row.vs_long)),
        "at equal MACs": (lambda row: row.macs_arm, lambda row: of_difference(row.vs_macs)),
    }
    columns: dict[str, Callable[[ArmRow], Cell]] = {}
    for title, (other, cell) in named.items():
        others = {other(row) for row in rows} - {None}
        one = len(others) == 1 and (title == "vs reference" or len(rows) <= _FEW)
        title = f"vs {others.pop()}" if one else title
        columns[title] = cell
    return columns


def differences_table(comparison: Comparison) -> Table:
    """A row per comparison of two arms."""
    looks = arm_looks(comparison)
    columns: dict[str, Callable[[Compared], Cell]] = {
        "arm": lambda one: Cell(one.arm, one.arm, arm=looks.get(one.arm)),
        "against": lambda one: Cell(one.against, one.against, arm=looks.get(one.against)),
        f"points of {comparison.score}": lambda one: of_difference(one.difference),
        "says": lambda one: Cell(WORDS[one.difference.effect], WORDS[one.difference.effect]),
        "pairs": lambda one: Cell(str(one.difference.n), one.difference.n),
        "at": lambda one: Cell(one.when, one.when),
    }
    return make_table(columns, differences(comparison))


def runs_table(comparison: Comparison, runs: Sequence[RunRecord]) -> Table:
    """A row per run, failed ones too."""
    looks, score = arm_looks(comparison), comparison.score

    def number(name: str, form: Callable[[float], str]) -> Callable[[RunRecord], Cell]:
        return lambda run: of_number(None if run.summary is None else getattr(run.summary, name), form)

    def tuned(run: RunRecord) -> Cell:
        return Cell(", ".join(f"{key} {text(value)}" for key, value in run.spec.tuned) or NONE, None)

    columns: dict[str, Callable[[RunRecord], Cell]] = {
        "arm": lambda run: Cell(run.spec.arm, run.spec.arm, arm=looks.get(run.spec.arm)),
        "seed": lambda run: Cell(str(run.spec.seed), run.spec.seed),
        "lr": lambda run: Cell(rate(run.lr), run.lr),
        "chosen": tuned,
        "epochs": number("epochs", "{:.0f}".format),
        f"{score} %": lambda run: (
            of_number(run.summary.val_score, "{:.2f}".format) if run.summary else Cell("failed")
        ),
        f"train {score} %": number("train_score", "{:.2f}".format),
        "loss": number("val_loss", "{:.4f}".format),
        "train loss": number("train_loss", "{:.4f}".format),
        "train time": number("train_seconds", seconds),
        "train MACs": number("train_macs", si),
    }
    return make_table(columns, runs)


def settings_table(comparison: Comparison) -> Table:
    """A row per arm and stage of the plan: what it sets on top of its recipe."""
    looks, arms = arm_looks(comparison), comparison.request.arms
    recipes = {arm.recipe for arm in arms}
    columns: dict[str, Callable[[Arm], Cell]] = {
        "arm": lambda arm: Cell(
            f"{arm.name} (stage)" if arm.stage else arm.name, arm.name, arm=looks.get(arm.name)
        ),
        "recipe": lambda arm: Cell(arm.recipe if len(recipes) > 1 else NONE, arm.recipe),
        "sets": lambda arm: Cell(_settings(arm) or "nothing", None),
    }
    return make_table(columns, arms)


def _settings(arm: Arm) -> str:
    words = ", ".join(f"{key} {text(value)}" for key, value in arm.own)
    return _STAGE.sub(r"the run of \1", words)


def failures(comparison: Comparison) -> dict[str, list[str]]:
    """What failed runs said last, from the error on, each with the names of those that said it."""
    found: dict[str, list[str]] = {}
    for run in comparison.runs:
        if run.summary is None:
            error = _ERROR.search(run.message)
            said = run.message[error.start() :] if error else run.message
            found.setdefault(said or "nothing", []).append(run.spec.name)
    return found


def _in_families(comparison: Comparison) -> list[ArmRow]:
    """Family by family, longer references behind the arms they were trained for; stages last."""
    order = [arm for one in families(comparison) for arm in one.arms]
    place = {arm: number for number, arm in enumerate(order)}
    return sorted(comparison.rows, key=lambda row: place.get(row.arm, len(place)))
