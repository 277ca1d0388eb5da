"""`netaug predict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netaug.commands.arguments import new_parser, parse
from netaug.errors import ConfigError

if TYPE_CHECKING:
    from netaug.predict import Prediction

_EXAMPLE = """
netaug predict runs/demo-digits-netaug-seed0 picture.png
netaug predict model.safetensors *.jpg --top 1 --json"""


def run(words: list[str]) -> None:
    """Print class names and probabilities."""
    parser = new_parser(
        "predict",
        "RUN|WEIGHTS IMAGE... [--top 5] [--json]",
        "Names the likeliest classes of image files with a trained network.",
        _EXAMPLE,
    )
    parser.add_argument("run", type=str, help="A run folder or a weights file.")
    parser.add_argument("images", type=str, nargs="+", help="Image files.")
    parser.add_argument("--top", type=int, default=5, help="How many classes per image.")
    parser.add_argument("--json", action="store_true", help="Print JSON: a list with one entry per image.")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, ...")
    arguments, _ = parse(parser, words)
    if arguments.top < 1:
        raise ConfigError("--top is out of range.", got=arguments.top, allowed="a whole number, at least 1")

    from netaug.predict import predict
    from netaug.train.card import load_weights
    from netaug.train.device import choose_device
    from netaug.train.runlog import find_weights

    model, card = load_weights(find_weights(arguments.run))
    device = choose_device(arguments.device, "--device")
    found = predict(model, card, arguments.images, top=arguments.top, device=device)
    print(as_json(found) if arguments.json else as_table(found))


def as_json(predictions: Sequence[Prediction]) -> str:
    """The predictions for programs."""
    entries = [
        {"image": item.image, "classes": [{"name": name, "probability": p} for name, p in item.classes]}
        for item in predictions
    ]
    return json.dumps(entries, indent=2)


def as_table(predictions: Sequence[Prediction]) -> str:
    """The predictions for people: a line per image and class."""
    width = max(len(name) for item in predictions for name, _ in item.classes)
    lines = []
    for item in predictions:
        lines.append(item.image)
        lines += [f"  {name:<{width}}  {100 * p:5.1f} %" for name, p in item.classes]
    return "\n".join(lines)
