"""What `netaug eval --report` writes about a classifier: a page, and its predictions as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netaug.api.evaluation import Measurement
    from netaug.report.classification.predictions import ClassifierResults

PAGE, PREDICTIONS = "classification.html", "predictions.csv"


def write_classification_report(measured: Measurement, place: Path, command: str, folder: Path) -> list[Path]:
    """Write the page and the predictions.

    Args:
        measured: Of a classifier, with a row per image.
        place: The run folder or weights file.
        command: The command line that writes it again.
        folder: Where to; it is there.

    Returns:
        The files.
    """
    from netaug.report.classification.page import write_page, write_predictions

    results = _results(measured, place, command)
    write_page(results, folder / PAGE)
    write_predictions(results, folder / PREDICTIONS)
    return [folder / PAGE, folder / PREDICTIONS]


def _results(measured: Measurement, place: Path, command: str) -> ClassifierResults:
    """Return what the page is made from."""
    from netaug.compare.formatting import si
    from netaug.data.loading import EvalLoader
    from netaug.data.readers.wordnet import in_words
    from netaug.data.store import MemoryImages
    from netaug.report.classification.predictions import ClassifierResults

    info, loader, listing = measured.info, measured.data.val, measured.data.listing
    assert isinstance(loader, EvalLoader)
    assert measured.rows is not None
    images = loader.split.images
    if isinstance(images, MemoryImages) and listing is not None and len(listing.val.images) == len(images):
        images = listing.val.images  # type: ignore[assignment]  # as they are stored, with their names

    def name(image: int) -> str:
        return f"image {image}" if isinstance(images, MemoryImages) else images.path(image)

    return ClassifierResults(
        title=place.name or str(place),
        split=f"{info.val_split} of {info.name}, {info.val_size:,} images",
        rows=measured.rows.cpu().numpy(),
        class_names=in_words(info.class_names),
        metrics=measured.metrics,
        score=measured.score,
        name=name,
        read=images.read,
        facts={
            "network": str(place),
            "input": f"{measured.side} x {measured.side} pixels",
            "MACs of an image": si(measured.macs),
            "loss": f"{measured.metrics['loss']:.4f}",
            "images judged": f"{len(measured.rows):,}",
        },
        command=command,
    )
