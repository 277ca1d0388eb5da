"""What `netaug eval --report` writes about a detector: a page, and its predictions as COCO's results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netaug.api.evaluation import Measurement
    from netaug.report.detection.predictions import Results

PAGE, RESULTS = "detection.html", "detections.json"


def write_detection_report(measured: Measurement, place: Path, command: str, folder: Path) -> list[Path]:
    """Write the page and COCO's results.

    Args:
        measured: Of a detector.
        place: The run folder or weights file.
        command: The command line that writes it again.
        folder: Where to; it is there.

    Returns:
        The files.
    """
    from netaug.core.io import cannot_write
    from netaug.detect.coco import coco_entries, write_entries
    from netaug.report.detection.page import write_page

    results = _results(measured, place, command)
    write_page(results, folder / PAGE)
    try:
        entries = coco_entries(results.rows_K7, results.truth.ids_N, results.truth.category_ids_C)
        write_entries(entries, folder / RESULTS)
    except OSError as error:
        raise cannot_write(folder / RESULTS, error) from error
    return [folder / PAGE, folder / RESULTS]


def _results(measured: Measurement, place: Path, command: str) -> Results:
    """Return what the page is made from."""
    from netaug.compare.formatting import si
    from netaug.core.display import score_name
    from netaug.data.decode.image import decode_file
    from netaug.data.detection.loaders import BoxEvalLoader
    from netaug.report.detection.predictions import Results
    from netaug.tasks.detect import in_order

    info, truth, loader = measured.info, measured.data.truth, measured.data.val
    assert isinstance(loader, BoxEvalLoader)
    assert truth is not None
    assert measured.rows is not None
    images = loader.split.images
    rows_K7 = in_order(measured.rows)
    return Results(
        title=place.name or str(place),
        split=f"{info.val_split} of {info.name}, {info.val_size:,} images",
        rows_K7=rows_K7,
        truth=truth,
        class_names=info.class_names,
        score=(score_name(measured.score), measured.metrics[measured.score]),
        name=lambda image: Path(images.path(image)).name,
        read=lambda image: decode_file(images.path(image), 3),
        facts={
            "network": str(place),
            "input": f"{measured.side} x {measured.side} pixels",
            "MACs of an image": si(measured.macs),
            "loss": f"{measured.metrics['loss']:.4f}",
            "objects that count": f"{int((~(truth.difficult_M | truth.crowd_M)).sum()):,}",
            "predictions judged": f"{len(rows_K7):,}",
        },
        command=command,
    )
