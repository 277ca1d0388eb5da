"""Precision against recall, class by class."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from netaug.detect.ap import VocAP
from netaug.detect.operating import precision_at
from netaug.report.styles import LOOKS, line_style
from netaug.report.svg import INK, arm_color, as_svg, plot

FEW = len(LOOKS)
"""Classes up to which each has a look of its own."""
_RECALLS = np.linspace(0.0, 1.0, 201)


def with_objects(result: VocAP) -> list[int]:
    """The classes that have a curve."""
    return [label for label, curve in enumerate(result.curves) if curve.objects]


def precision_recall(result: VocAP) -> Markup | None:
    """A line per class that has objects; of many classes they are thin, and their mean is drawn.

    Returns:
        The SVG; None if no class has objects.
    """
    labels = with_objects(result)
    if not labels:
        return None
    lines = [precision_at(result.curves[label], _RECALLS) for label in labels]
    with plot(6.4, 4.0) as (figure, axes):
        for number, line in enumerate(lines):
            if len(labels) <= FEW:
                look = {"color": arm_color(number), "linewidth": 1.9, "linestyle": line_style(number)}
            else:
                look = {"color": INK, "linewidth": 0.6, "alpha": 0.4}
            axes.plot(100 * _RECALLS, 100 * line, **look)
        if len(labels) > FEW:
            axes.plot(100 * _RECALLS, 100 * np.mean(lines, axis=0), color=arm_color(1), linewidth=2.4)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
        axes.set_xlabel("recall, % of the objects found")
        axes.set_ylabel("precision, % right")
        return as_svg(figure, "precision-recall", "Precision against recall of each class")
