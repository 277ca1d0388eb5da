"""Arrange the page's pictures in rows: those of one quantity or question side by side, under one legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from netaug.compare.results import Comparison
from netaug.report.arm_pairs import differences
from netaug.report.families import Family, families
from netaug.report.lines import Axis, Curves, Quantity, end_frame, mean_lines, whole_frame
from netaug.report.plots import Styles, curves, outcomes, paired_differences

CurveRequest = tuple[Quantity, Axis, str]
"""What is drawn, over what, and the picture's title."""
CURVES: tuple[CurveRequest, ...] = (
    ("val", "epoch", "Evaluation images"),
    ("train", "epoch", "Training images"),
    ("loss", "epoch", "Loss on training images"),
)
COSTS: tuple[CurveRequest, ...] = (
    ("val", "seconds", "Against training time"),
    ("val", "macs", "Against arithmetic"),
)
GRADIENTS: tuple[CurveRequest, ...] = (
    ("fraction", "epoch", "Fraction from the augmented pass"),
    ("cosine", "epoch", "Cosine between the passes"),
)


@dataclass(frozen=True)
class PictureRow:
    """Hold pictures that are shown side by side.

    Args:
        family: Name of the family of arms, where there are several; else empty.
        styles: The arms in the pictures, with the numbers of their styles.
        pictures: Each with its title.
    """

    family: str
    styles: Styles
    pictures: tuple[tuple[str, Markup], ...]


def curve_rows(comparison: Comparison, requests: Sequence[CurveRequest]) -> list[PictureRow]:
    """Return curves of each family, in portions of arms that can be told apart; the portions share their limits.

    The loss is drawn only where training has no score.
    """
    scored = any(run.summary.train_score is not None for run in comparison.runs if run.summary)
    wanted = [request for request in requests if request[0] != "loss" or not scored]
    rows = []
    for index, family in enumerate(families(comparison)):
        lines = {
            request: mean_lines(comparison.runs, family.arms, request[0], request[1]) for request in wanted
        }
        for panel, arms in enumerate(family.panels):
            styles = family.styles([arm for arm in arms if any(arm in by_arm for by_arm in lines.values())])
            pictures = _curve_pictures(lines, styles, f"{index}-{panel}", comparison.score)
            if pictures:
                rows.append(PictureRow(family.name, styles, pictures))
    return rows


def _curve_pictures(
    lines: Mapping[CurveRequest, Curves], styles: Styles, suffix: str, score: str
) -> tuple[tuple[str, Markup], ...]:
    """Return a picture with its title per request; ``suffix`` makes the ids of the SVGs unique in the page."""
    pictures = []
    for (quantity, axis, title), by_arm in lines.items():
        # baselines alone have no gradients of two passes
        if any(arm in by_arm for _, arm in styles):
            limits, end = whole_frame(by_arm, quantity), end_frame(by_arm, quantity)
            name = f"{quantity}-{axis}-{suffix}"
            pictures.append((title, curves(by_arm, styles, quantity, axis, limits, name, score, end)))
    return tuple(pictures)


def outcome_rows(comparison: Comparison) -> list[PictureRow]:
    """Return final scores against training cost, for families whose curves do not fit one picture."""
    rows = []
    for index, family in enumerate(families(comparison)):
        if len(family.panels) == 1:
            continue
        styles = family.styles(family.arms)
        drawn = _outcomes(comparison, family, styles, index)
        if drawn:
            rows.append(PictureRow(family.name, styles, drawn))
    return rows


def _outcomes(
    comparison: Comparison, family: Family, styles: Styles, index: int
) -> tuple[tuple[str, Markup], ...]:
    requests: tuple[tuple[str, Axis], ...] = (
        ("Against training time", "seconds"),
        ("Against arithmetic", "macs"),
    )
    drawn = [
        (title, outcomes(comparison.rows, styles, axis, f"outcomes-{axis}-{index}", comparison.score))
        for title, axis in requests
    ]
    return tuple((title, svg) for title, svg in drawn if svg)


def pair_row(comparison: Comparison) -> PictureRow | None:
    """Return the differences seed by seed, a picture for each family; None if there is none."""
    compared, pictures = differences(comparison), []
    for index, family in enumerate(families(comparison)):
        styles = {arm: number for number, arm in enumerate(family.arms)}
        pairs = [pair for pair in compared if pair.arm in styles]
        svg = paired_differences(pairs, styles, f"pairs-{index}", comparison.score)
        if svg:
            pictures.append((family.name, svg))
    return PictureRow("", (), tuple(pictures)) if pictures else None
