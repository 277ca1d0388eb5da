"""`netaug predict`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from netaug.commands.arguments import add_trust, announce, new_parser, parse, trusted_names
from netaug.commands.evaluation import check_confirmed
from netaug.core.errors import ConfigError, DataError
from netaug.core.existing import check_network

if TYPE_CHECKING:
    from netaug.tasks.kind import Printer

_EXAMPLE = """
netaug predict runs/demo-digits-netaug-seed0 picture.png
netaug predict model.safetensors *.jpg --top 1 --json
netaug predict runs/pets 'photographs/**/*.jpg' --save predictions.csv
netaug predict runs/voc photographs --save found"""

_LISTED = 5
_log = logging.getLogger("netaug")


def run(words: list[str]) -> None:
    """Print class names and probabilities, or the objects that a detector finds."""
    arguments, given = parse(_parser(), words, ("model.name",), exists={"run": check_network})
    announce(f"loading the network of {arguments.run}")

    from netaug.api.image_files import image_files
    from netaug.api.networks import open_predictor
    from netaug.data.decode.deep_images import warn_of_deep
    from netaug.data.store import FileImages
    from netaug.runs.folder import find_weights
    from netaug.weights.metadata import read_card

    weights, images = find_weights(arguments.run), image_files(arguments.images)
    warn_of_deep([FileImages("", images, 3)])
    metadata = read_card(weights)
    if metadata is not None:
        _check_options(arguments, metadata.task)
        check_confirmed(metadata, given)
    predictor = open_predictor(
        arguments.run,
        top=arguments.top,
        score=arguments.score,
        device=arguments.device,
        trusted=trusted_names(arguments, given),
        skip_errors=True,
    )
    save = None if arguments.save is None else Path(arguments.save)
    printer = predictor.kind.printer(predictor.metadata, images, as_json=arguments.json, save=save)
    _predict(predictor(images), printer, len(images))


def _predict(predictions: Iterator[Any], printer: Printer, count: int) -> None:
    """Print and save predictions, also those before an interruption.

    Raises:
        DataError: Files cannot be read; the others have their predictions.
    """
    from netaug.tasks.kind import Unreadable

    failed: list[Unreadable] = []
    taken = 0
    try:
        for prediction in predictions:
            printer.add(prediction)
            taken += 1
            if isinstance(prediction, Unreadable):
                failed.append(prediction)
                if count > 1:
                    _log.warning("%s", prediction.error.where)
    finally:
        if taken > len(failed):
            printer.finish()
    if failed and count == 1:
        raise failed[0].error
    if failed:
        raise DataError(
            f"{len(failed)} of {count} images have no prediction: they cannot be read.",
            got=" ".join(item.error.where for item in failed[:_LISTED])
            + (f" And {len(failed) - _LISTED} more." if len(failed) > _LISTED else ""),
            fix="restore or leave out these files; the predictions of the others are complete",
        )


def _parser() -> ArgumentParser:
    parser = new_parser(
        "predict",
        "RUN|WEIGHTS IMAGE|DIR|PATTERN... [--top 5] [--score 0.25] [--save FILE|DIR] [--json]",
        "Prints the likeliest classes of image files by a trained network; a detector finds the objects in them.\n"
        "A file that cannot be read is reported, and the next one follows; the exit code is then 2.",
        _EXAMPLE,
    )
    parser.add_argument("run", type=str, help="A run folder or a weights file.")
    parser.add_argument(
        "images",
        type=str,
        nargs="+",
        help="Image files, folders of them, or patterns in quotes, such as 'DIR/**/*.jpg'.",
    )
    parser.add_argument(
        "--top",
        type=int | None,
        default=None,
        help="Of a classifier: number of classes per image; null is 5.",
    )
    parser.add_argument(
        "--score",
        type=float | None,
        default=None,
        help="Of a detector: least score in [0, 1) of an object; null is 0.25.",
    )
    parser.add_argument(
        "--save",
        type=str | None,
        default=None,
        help="FILE.csv or FILE.json; or a folder: for predictions.csv and .json, of a detector for pictures with boxes "
        "and detections.json in COCO's form.",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON: a list with one entry per image.")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, ...")
    add_trust(parser, confirms=True)
    return parser


def _check_options(arguments: Any, task: str) -> None:
    """Raise ConfigError for an option that does not act on the predictions of this kind of task."""
    from netaug.tasks.registry import task_kind

    kind = task_kind(task)
    for name in ("top", "score", "save"):
        value = getattr(arguments, name)
        if value is not None and name not in kind.predict_options:
            raise ConfigError(
                f"--{name} has no effect: the network {kind.does}.",
                got=f"--{name} {value}",
                allowed=", ".join(f"--{option}" for option in kind.predict_options) or None,
                fix="leave it out",
            )
