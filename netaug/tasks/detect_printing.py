"""Show the objects in image files: as text, as JSON, as pictures, as COCO's results."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from netaug.core.errors import ConfigError
from netaug.core.escaping import line, say
from netaug.core.io import cannot_write, write_atomic
from netaug.detect.drawing import draw_boxes
from netaug.tasks.detect_images import ImageDetections
from netaug.tasks.kind import Printer
from netaug.weights.metadata import ModelCard

JSON_NAME = "detections.json"
_KEPT = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}  # other kinds of files become PNG
_QUALITY = 92


class DetectionPrinter(Printer):
    """Prints objects while they are found; with a folder it writes a picture per image, and COCO's results.

    Args:
        metadata: Names the classes.
        images: Files, in the order of their predictions.
        as_json: Whether to print JSON, at the end.
        save: The folder; it is made.

    Raises:
        ConfigError: A picture would replace one of the images.
        RunFolderError: The folder cannot be made.
    """

    def __init__(
        self, metadata: ModelCard, images: Sequence[str], *, as_json: bool, save: Path | None
    ) -> None:
        self._results, self._as_json, self._save = CocoResults(metadata), as_json, save
        self._pictures = picture_paths(images, save) if save else []
        if save:
            try:
                save.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_write(save, error, "a folder that can be written") from error

    def add(self, prediction: ImageDetections) -> None:
        """Print the objects of the next image, and draw them."""
        metadata, number = self._results.metadata, len(self._results.images)
        self._results.add(prediction, self._pictures[number].name if self._save else prediction.image)
        if self._save:
            save_picture(prediction, metadata, self._pictures[number])
        if not self._as_json:
            say(as_lines(prediction, metadata, short=self._save is not None), flush=True)

    def finish(self) -> None:
        """Write COCO's results into the folder, and print the JSON."""
        if self._save:
            write_atomic(self._save / JSON_NAME, self._results.coco())
        if self._as_json:
            say(json.dumps(self._results.entries, indent=2))
        elif self._save:
            say(f"\n{len(self._pictures)} pictures and {JSON_NAME} in {self._save}")


def picture_paths(images: Sequence[str], out: Path) -> list[Path]:
    """Return where the picture of each image goes: a name of its own in the folder.

    Raises:
        ConfigError: A picture would be written over one of the images.
    """
    sources = {Path(image).resolve() for image in images}
    taken: set[str] = {JSON_NAME}
    paths = []
    for image in map(Path, images):
        suffix = image.suffix if image.suffix.lower() in _KEPT else ".png"
        name, number = f"{image.stem}{suffix}", 1
        while name.lower() in taken:  # some file systems know no case
            number += 1
            name = f"{image.stem}-{number}{suffix}"
        taken.add(name.lower())
        paths.append(out / name)
    for path in paths:
        if path.resolve() in sources:
            raise ConfigError(
                "--save would write over an image that is predicted on.",
                got=path,
                fix="give another folder",
            )
    return paths


class CocoResults:
    """The objects of all images in COCO's form, and as `netaug predict --json` prints them.

    Args:
        metadata: Names the classes.
    """

    def __init__(self, metadata: ModelCard) -> None:
        self.metadata = metadata
        self.entries: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, detections: ImageDetections, name: str) -> None:
        """Add the objects of the next image; ``name`` is its ``file_name`` in COCO's JSON."""
        height, width = detections.pixels_CHW.shape[-2:]
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": name, "width": width, "height": height})
        objects = []
        for label, score, (left, top, right, bottom) in objects_of(detections):
            objects.append(
                {"name": self.metadata.class_names[label], "score": score, "box": [left, top, right, bottom]}
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
        self.entries.append({"image": detections.image, "width": width, "height": height, "objects": objects})

    def coco(self) -> str:
        """Return COCO's JSON: images, categories from 1 in the order of the classes, annotations with scores."""
        categories = [
            {"id": number, "name": name} for number, name in enumerate(self.metadata.class_names, 1)
        ]
        content = {"images": self.images, "categories": categories, "annotations": self.annotations}
        parts = (f'"{name}": {lines_of(entries)}' for name, entries in content.items())
        return "{\n" + ",\n".join(parts) + "\n}\n"


def lines_of(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON of a list with one entry per line."""
    return "[\n" + ",\n".join(map(json.dumps, entries)) + "\n]" if entries else "[]"


def objects_of(detections: ImageDetections) -> list[tuple[int, float, tuple[float, float, float, float]]]:
    """Return class, score and corners to a hundredth of a pixel per object."""
    return [
        (
            int(row[1]),
            round(row[2], 4),
            (round(row[3], 2), round(row[4], 2), round(row[5], 2), round(row[6], 2)),
        )
        for row in detections.rows_K7.tolist()
    ]


def save_picture(detections: ImageDetections, metadata: ModelCard, path: Path) -> None:
    """Write the image with its objects drawn."""
    objects = objects_of(detections)
    texts = [f"{metadata.class_names[label]} {score:.2f}" for label, score, _ in objects]
    picture = draw_boxes(
        detections.pixels_CHW, detections.rows_K7[:, 3:], [label for label, *_ in objects], texts
    )
    content = io.BytesIO()
    kind = Image.registered_extensions()[path.suffix.lower()]
    picture.save(content, kind, quality=_QUALITY)  # formats without loss ignore it
    write_atomic(path, content.getvalue())


def as_lines(detections: ImageDetections, metadata: ModelCard, *, short: bool) -> str:
    """Format the objects of an image for people: their number per class, and unless ``short`` a line for each."""
    objects, names = objects_of(detections), [line(name) for name in metadata.class_names]
    height, width = detections.pixels_CHW.shape[-2:]
    counts = Counter(names[label] for label, *_ in objects)
    summary = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing found"
    lines = [f"{line(detections.image)}  {width}x{height}  {summary}"]
    if not short:
        longest = max((len(name) for name in counts), default=0)
        for label, score, (left, top, right, bottom) in objects:
            corners = f"left {left:.0f}, top {top:.0f}, right {right:.0f}, bottom {bottom:.0f}"
            lines.append(f"  {names[label]:<{longest}}  {100 * score:5.1f} %  {corners}")
    return "\n".join(lines)
