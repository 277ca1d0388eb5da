"""Hold the predictions that the page of a classifier is made from, and compute its figures."""

# ruff: noqa: N802 (names carry shapes)

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from torch import Tensor

from netaug.tasks.classify_rows import INDEX, LABEL, LABEL_PROBABILITY, Rows, split_rows

BINS = 10
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bin:
    """Hold the images whose prediction has a probability in one tenth of [0, 1].

    Args:
        probability: Mean probability that the network gives its predictions.
        accuracy: Fraction of them that are right.
        images: How many.
    """

    probability: float
    accuracy: float
    images: int


@dataclass(frozen=True)
class ClassScores:
    """Hold what is known of each of C classes; fractions in [0, 1], NaN where there is nothing to count.

    Args:
        images_C: Images of the class.
        accuracy_C: Fraction of them that are recognized.
        precision_C: Fraction of the predictions of the class that are right.
        f1_C: Harmonic mean of both.
    """

    images_C: Integers
    accuracy_C: Rows
    precision_C: Rows
    f1_C: Rows


@dataclass(frozen=True)
class ClassifierResults:
    """Hold the predictions of a classifier on N images.

    Args:
        title: What was judged, e.g. the name of the run.
        split: On what, in words, e.g. ``test of digits, 360 images``.
        rows: As :mod:`netaug.tasks.classify_rows` describes them.
        class_names: In label order, as people read them.
        metrics: By name; accuracies in percent.
        score: Name of the metric that is reported first.
        name: What the image at a position of the split is called.
        read: Its uint8 pixels ``[C, H, W]``.
        facts: What else is to be known, by name.
        command: The command line that makes the page again.
    """

    title: str
    split: str
    rows: Rows
    class_names: tuple[str, ...]
    metrics: Mapping[str, float]
    score: str
    name: Callable[[int], str]
    read: Callable[[int], Tensor]
    facts: Mapping[str, str]
    command: str

    @property
    def positions_N(self) -> Integers:
        """Return the position of each image in the split."""
        return self.rows[:, INDEX].astype(np.int64)

    @property
    def labels_N(self) -> Integers:
        """Return the class of each image."""
        return self.rows[:, LABEL].astype(np.int64)

    @property
    def label_probability_N(self) -> Rows:
        """Return the probability that is given to the class of each image."""
        return self.rows[:, LABEL_PROBABILITY]

    @cached_property
    def likeliest(self) -> tuple[Integers, Rows]:
        """Return the likeliest classes ``[N, K]`` and their probabilities."""
        return split_rows(self.rows)

    @property
    def predicted_N(self) -> Integers:
        """Return the likeliest class of each image."""
        return self.likeliest[0][:, 0]

    @property
    def probability_N(self) -> Rows:
        """Return the probability of the likeliest class."""
        return self.likeliest[1][:, 0]

    @property
    def right_N(self) -> npt.NDArray[np.bool_]:
        """Return which images are recognized."""
        return np.asarray(self.predicted_N == self.labels_N)

    @cached_property
    def matrix(self) -> Integers:
        """Return the confusion matrix ``[C, C]``: a row per true class, a column per predicted class."""
        from sklearn.metrics import confusion_matrix

        labels = np.arange(len(self.class_names))
        return np.asarray(confusion_matrix(self.labels_N, self.predicted_N, labels=labels), dtype=np.int64)

    @cached_property
    def scores(self) -> ClassScores:
        """Return accuracy, precision and F1 of each class."""
        from sklearn.metrics import precision_recall_fscore_support

        precision_C, recall_C, f1_C, images_C = precision_recall_fscore_support(
            self.labels_N, self.predicted_N, labels=np.arange(len(self.class_names)), zero_division=np.nan
        )
        return ClassScores(images_C, recall_C, precision_C, f1_C)

    @cached_property
    def calibration(self) -> tuple[Bin, ...]:
        """Return the bins of probability that hold predictions, from unsure to sure."""
        from sklearn.calibration import calibration_curve

        # softmax in float64 may round to just above one, which scikit-learn refuses
        probability_N = np.clip(self.probability_N, 0.0, 1.0)
        accuracy_B, probability_B = calibration_curve(self.right_N, probability_N, n_bins=BINS)
        # as scikit-learn does it, so that the counts are those of its bins
        edges = np.linspace(0.0, 1.0, BINS + 1)
        counts_B = np.bincount(np.searchsorted(edges[1:-1], probability_N), minlength=BINS)
        return tuple(
            Bin(float(probability), float(accuracy), int(count))
            for probability, accuracy, count in zip(
                probability_B, accuracy_B, counts_B[counts_B > 0], strict=True
            )
        )

    @property
    def calibration_error(self) -> float:
        """Return the expected calibration error in [0, 1]: mean gap of probability and accuracy, by images.

        Source:
            Guo et al. 2017, arXiv:1706.04599, equation 3, with ten bins.
        """
        gaps = (bin_.images * abs(bin_.probability - bin_.accuracy) for bin_ in self.calibration)
        return sum(gaps) / len(self.rows)

    def mistakes(self, count: int) -> list[int]:
        """Return the rows of the wrong predictions that are surest, at most ``count``."""
        wrong = np.flatnonzero(~self.right_N)
        # stable, so that the page is the same each time
        return [int(row) for row in wrong[np.argsort(-self.probability_N[wrong], kind="stable")][:count]]
