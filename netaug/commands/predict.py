"""`netaug predict`."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaug.commands.arguments import add_trust, new_parser, parse, trusted_names
from netaug.commands.evaluation import check_confirmed
from netaug.core.errors import ConfigError, DataError
from netaug.core.escaping import line, say

if TYPE_CHECKING:
    from netaug.tasks.predict import Prediction


_EXAMPLE = """
netaug predict runs/demo-digits-netaug-seed0 picture.png
netaug predict model.safetensors *.jpg --top 1 --json
netaug predict runs/voc photographs --save found"""
_TOP, _SCORE = 5, 0.25


def run(words: list[str]) -> None:
    """Print class names and probabilities, or the objects that a detector finds."""
    parser = new_parser(
        "predict",
        "RUN|WEIGHTS IMAGE|DIR... [--top 5] [--score 0.25] [--save DIR] [--json]",
        "Names the likeliest classes of image files with a trained network; a detector finds the objects in them.",
        _EXAMPLE,
    )
    parser.add_argument("run", type=str, help="A run folder or a weights file.")
    parser.add_argument("images", type=str, nargs="+", help="Image files, or folders of them.")
    parser.add_argument(
        "--top", type=int, default=None, help=f"How many classes per image; {_TOP} if not given."
    )
    parser.add_argument(
        "--score",
        type=float,
        default=None,
        help=f"Of a detector: least score of what is found; {_SCORE} if not given.",
    )
    parser.add_argument(
        "--save",
        type=str,
        default=None,
        help="Of a detector: folder for pictures with boxes and detections.json.",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON: a list with one entry per image.")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, ...")
    add_trust(parser, confirms=True)
    arguments, given = parse(parser, words, ("model.name",))
    top = _TOP if arguments.top is None else arguments.top
    if top < 1:
        raise ConfigError("--top is out of range.", got=top, allowed="a whole number, at least 1")

    from netaug.data.decode.deep_images import warn_of_deep
    from netaug.data.store import FileImages
    from netaug.runs.folder import find_weights
    from netaug.weights.metadata import read_card

    weights, images = find_weights(arguments.run), image_files(arguments.images)
    warn_of_deep([FileImages("", images, 3)])
    card = read_card(weights)
    detects = card is not None and card.detects
    _check_options(arguments, detects)
    if card is not None:
        check_confirmed(card, given)
    trusted = trusted_names(arguments, given)
    if detects:
        from netaug.commands.predict_boxes import predict_boxes

        predict_boxes(
            weights,
            Path(arguments.run),
            images,
            score=_SCORE if arguments.score is None else arguments.score,
            save=None if arguments.save is None else Path(arguments.save),
            as_json=arguments.json,
            device=arguments.device,
            trusted=trusted,
        )
    else:
        _predict_classes(weights, images, top, arguments, trusted)


def _check_options(arguments: Any, detects: bool) -> None:
    """Refuse what the kind of network at hand has no use for."""
    useless = {"top": arguments.top} if detects else {"score": arguments.score, "save": arguments.save}
    for name, value in useless.items():
        if value is not None:
            raise ConfigError(
                f"--{name} has no effect: the network {'finds objects' if detects else 'names whole images'}.",
                got=f"--{name} {value}",
                allowed="--score, --save" if detects else "--top",
                fix="leave it out",
            )


def _predict_classes(
    weights: Path, images: Sequence[str], top: int, arguments: Any, trusted: Collection[str]
) -> None:
    from netaug.core.device import choose_device
    from netaug.tasks.predict import predict
    from netaug.weights.metadata import load_weights

    model, card = load_weights(weights, trusted)
    device = choose_device(arguments.device, "--device")
    found = predict(model, card, images, top=top, device=device)
    say(as_json(found) if arguments.json else as_table(found))


def as_json(predictions: Sequence[Prediction]) -> str:
    """Format the predictions as JSON."""
    entries = [
        {"image": item.image, "classes": [{"name": name, "probability": p} for name, p in item.classes]}
        for item in predictions
    ]
    return json.dumps(entries, indent=2)


def as_table(predictions: Sequence[Prediction]) -> str:
    """Format the predictions for people: one line per image and class."""
    width = max(len(line(name)) for item in predictions for name, _ in item.classes)
    lines = []
    for item in predictions:
        lines.append(line(item.image))
        lines += [f"  {line(name):<{width}}  {100 * p:5.1f} %" for name, p in item.classes]
    return "\n".join(lines)


_log = logging.getLogger("netaug")


def image_files(names: Sequence[str]) -> list[str]:
    """Files as they are; of a folder those in it that are images by their suffix, in order of their names.

    Raises:
        DataError: A folder has no image.
    """
    from netaug.core.regular_files import is_special
    from netaug.data.decode.image import SUFFIXES

    found: list[str] = []
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            found.append(name)
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
        found += inside
    return found
