"""`netaug predict` for a detector: boxes as text, as JSON, as pictures."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaug.core.errors import ConfigError
from netaug.core.escaping import line, say
from netaug.core.io import write_atomic

if TYPE_CHECKING:
    from netaug.tasks.detect_images import Found
    from netaug.weights.metadata import ModelCard

JSON_NAME = "detections.json"
_KEPT = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}  # other kinds of files become PNG
_QUALITY = 92


def targets(images: Sequence[str], out: Path) -> list[Path]:
    """Where the picture of each image goes: a name of its own in the folder.

    Raises:
        ConfigError: A picture would be written over one of the images.
    """
    sources = {Path(image).resolve() for image in images}
    taken: set[str] = {JSON_NAME}
    found = []
    for image in map(Path, images):
        suffix = image.suffix if image.suffix.lower() in _KEPT else ".png"
        name, number = f"{image.stem}{suffix}", 1
        while name.lower() in taken:  # some file systems know no case
            number += 1
            name = f"{image.stem}-{number}{suffix}"
        taken.add(name.lower())
        found.append(out / name)
    for path in found:
        if path.resolve() in sources:
            raise ConfigError(
                "--save would write over an image it is to look at.", got=path, fix="give another folder"
            )
    return found


class Collected:
    """What is found in all images, for programs and for people.

    Args:
        card: Names the classes.
    """

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.entries: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, found: Found, name: str) -> None:
        """Take down the objects of an image; ``name`` is what it is called in COCO's JSON."""
        height, width = found.pixels_CHW.shape[-2:]
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": name, "width": width, "height": height})
        objects = []
        for label, score, (left, top, right, bottom) in objects_of(found):
            objects.append(
                {"name": self.card.class_names[label], "score": score, "box": [left, top, right, bottom]}
            )
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
                    "area": round((right - left) * (bottom - top), 2),
                    "iscrowd": 0,
                    "score": score,
                }
            )
        self.entries.append({"image": found.image, "width": width, "height": height, "objects": objects})

    def coco(self) -> str:
        """COCO's JSON: images, categories from 1 in the order of the classes, annotations with scores."""
        categories = [{"id": number, "name": name} for number, name in enumerate(self.card.class_names, 1)]
        content = {"images": self.images, "categories": categories, "annotations": self.annotations}
        parts = (f'"{name}": {lines_of(entries)}' for name, entries in content.items())
        return "{\n" + ",\n".join(parts) + "\n}\n"


def lines_of(entries: Sequence[Mapping[str, Any]]) -> str:
    """JSON of a list, an entry per line."""
    return "[\n" + ",\n".join(map(json.dumps, entries)) + "\n]" if entries else "[]"


def objects_of(found: Found) -> list[tuple[int, float, tuple[float, float, float, float]]]:
    """Class, score and corners to a hundredth of a pixel of each object."""
    return [
        (
            int(row[1]),
            round(row[2], 4),
            (round(row[3], 2), round(row[4], 2), round(row[5], 2), round(row[6], 2)),
        )
        for row in found.rows_K7.tolist()
    ]


def save_picture(found: Found, card: ModelCard, path: Path) -> None:
    """Write the image with its objects drawn."""
    from PIL import Image

    from netaug.report.detection.pictures import draw_boxes

    objects = objects_of(found)
    texts = [f"{card.class_names[label]} {score:.2f}" for label, score, _ in objects]
    picture = draw_boxes(found.pixels_CHW, found.rows_K7[:, 3:], [label for label, *_ in objects], texts)
    content = io.BytesIO()
    kind = Image.registered_extensions()[path.suffix.lower()]
    picture.save(content, kind, quality=_QUALITY)  # formats without loss ignore it
    write_atomic(path, content.getvalue())


def as_lines(found: Found, card: ModelCard, *, short: bool) -> str:
    """An image for people: how many objects of each class, and unless ``short`` a line for each."""
    objects, names = objects_of(found), [line(name) for name in card.class_names]
    height, width = found.pixels_CHW.shape[-2:]
    counts = Counter(names[label] for label, *_ in objects)
    said = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing found"
    lines = [f"{line(found.image)}  {width}x{height}  {said}"]
    if not short:
        longest = max((len(name) for name in counts), default=0)
        for label, score, (left, top, right, bottom) in objects:
            corners = f"left {left:.0f}, top {top:.0f}, right {right:.0f}, bottom {bottom:.0f}"
            lines.append(f"  {names[label]:<{longest}}  {100 * score:5.1f} %  {corners}")
    return "\n".join(lines)


def predict_boxes(
    weights: Path,
    place: Path,
    images: Sequence[str],
    *,
    score: float,
    save: Path | None,
    as_json: bool,
    device: str,
    trusted: Collection[str] = (),
) -> None:
    """Print what is found in images, and write pictures and COCO's JSON into a folder."""
    from netaug.api.networks import detection_settings
    from netaug.core.device import choose_device
    from netaug.core.io import cannot_write
    from netaug.tasks.detect_images import find_objects
    from netaug.weights.metadata import load_weights

    config = detection_settings(place, score)
    paths = targets(images, save) if save else []
    model, card = load_weights(weights, trusted)
    collected = Collected(card)
    if save:
        try:
            save.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(save, error, "a folder that can be written") from error
    for number, found in enumerate(
        find_objects(model, card, images, config, choose_device(device, "--device"))
    ):
        collected.add(found, paths[number].name if save else found.image)
        if save:
            save_picture(found, card, paths[number])
        if not as_json:
            say(as_lines(found, card, short=save is not None), flush=True)
    if save:
        write_atomic(save / JSON_NAME, collected.coco())
    if as_json:
        say(json.dumps(collected.entries, indent=2))
    elif save:
        say(f"\n{len(images)} pictures and {JSON_NAME} in {save}")
