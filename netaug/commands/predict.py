"""`netaug predict`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from netaug.commands.arguments import add_trust, new_parser, parse, trusted_names
from netaug.commands.evaluation import check_confirmed
from netaug.core.errors import ConfigError, DataError

_EXAMPLE = """
netaug predict runs/demo-digits-netaug-seed0 picture.png
netaug predict model.safetensors *.jpg --top 1 --json
netaug predict runs/voc photographs --save found"""

_log = logging.getLogger("netaug")


def run(words: list[str]) -> None:
    """Print class names and probabilities, or the objects that a detector finds."""
    arguments, given = parse(_parser(), words, ("model.name",))

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
    )
    predictions = predictor(images)
    save = None if arguments.save is None else Path(arguments.save)
    printer = predictor.kind.printer(predictor.metadata, images, as_json=arguments.json, save=save)
    for prediction in predictions:
        printer.add(prediction)
    printer.finish()


def _parser() -> ArgumentParser:
    parser = new_parser(
        "predict",
        "RUN|WEIGHTS IMAGE|DIR... [--top 5] [--score 0.25] [--save DIR] [--json]",
        "Prints the likeliest classes of image files by a trained network; a detector finds the objects in them.",
        _EXAMPLE,
    )
    parser.add_argument("run", type=str, help="A run folder or a weights file.")
    parser.add_argument("images", type=str, nargs="+", help="Image files, or folders of them.")
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
        help="Of a detector: folder for pictures with boxes and detections.json.",
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


def image_files(names: Sequence[str]) -> list[str]:
    """Return files as they are; of a folder those in it that are images by their suffix, in order of their names.

    Raises:
        DataError: A folder has no image.
    """
    from netaug.core.regular_files import is_special
    from netaug.data.decode.image import SUFFIXES

    files: list[str] = []
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            files.append(name)
            continue
        entries = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES]
        special = sorted(file.name for file in entries if is_special(file))
        if special:
            _log.warning(
                "'%s' holds %d named pipes, sockets or devices; they are left out, first: '%s'.",
                name,
                len(special),
                special[0],
            )
        inside = sorted(str(file) for file in entries if file.name not in special and not file.is_dir())
        if not inside:
            raise DataError(
                f"there is no image in '{name}'.",
                got="a folder without image files of its own",
                allowed=f"files ending in {', '.join(sorted(SUFFIXES))}",
                fix="give the folder that the files are in, or the files",
            )
        files += inside
    return files
