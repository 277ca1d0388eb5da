"""Whether a split has objects to train or evaluate on, checked before time is spent."""

from __future__ import annotations

from netaug.core.errors import DataError
from netaug.data.detection.loaders import BoxTrainLoader
from netaug.data.prepared import Data
from netaug.detect.annotations import Annotations


def without_objects(annotations: Annotations) -> str | None:
    """Return what a split without objects that count has instead, in words; None if it has such objects."""
    if (~(annotations.difficult_M | annotations.crowd_M)).any():
        return None
    marked = len(annotations.labels_M)
    return f"{marked} objects, all difficult or crowds" if marked else "no objects"


def check_training_objects(data: Data) -> None:
    """Refuse to train where no training image has an object; of other data than boxes nothing is checked.

    Raises:
        DataError: There is none that counts.
    """
    if isinstance(data.train, BoxTrainLoader):
        _refuse(data.train.split.annotations, "training", "there is nothing to learn")


def check_evaluation_objects(data: Data) -> None:
    """Refuse to evaluate where no evaluation image has an object; of other data than boxes nothing is checked.

    Raises:
        DataError: There is none that counts.
    """
    if data.truth is not None:
        _refuse(data.truth, "evaluation", "average precision would not be a number")


def _refuse(annotations: Annotations, which: str, outcome: str) -> None:
    instead = without_objects(annotations)
    if instead is None:
        return
    other = "" if which == "training" else ", or --data.holdout 0.2 takes training images instead"
    raise DataError(
        f"none of the {len(annotations)} {which} images has an object that counts: {outcome}.",
        got=f"{instead} in {len(annotations)} images",
        allowed="an image with an object at least, neither difficult (VOC) nor a crowd (COCO)",
        fix=f"see the objects of each split with `netaug data check`; check data.classes and the annotations{other}",
    )
