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
from netaug.core.escaping import csv_text, line, say
from netaug.core.io import write_atomic
from netaug.detect.drawing import draw_boxes
from netaug.tasks.detect_images import ImageDetections
from netaug.tasks.kind import Printer, Unreadable
from netaug.tasks.saving import SaveTarget, names_a_file
from netaug.weights.metadata import ModelCard

JSON_NAME = "detections.json"
_KEPT = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}  # other kinds of files become PNG
_QUALITY = 92


class DetectionPrinter(Printer):
    """Prints objects while they are found, and saves them.

    Args:
        metadata: Names the classes.
        images: Files, in the order of their predictions.
        as_json: Whether to print JSON, at the end.
        save: A file whose name ends in .json or .csv; or a folder for a picture per image, and COCO's results.

    Raises:
        ConfigError: A picture would replace one of the images.
        RunFolderError: The folder cannot be made.
    """

    def __init__(
        self, metadata: ModelCard, images: Sequence[str], *, as_json: bool, save: Path | None
    ) -> None:
        self._results, self._as_json = CocoResults(metadata), as_json
        self._folder = None if save is None or names_a_file(save) else save
        self._pictures = picture_paths(images, self._folder) if self._folder else []
        self._target = None if save is None else SaveTarget(save)
        self._taken = 0

    def add(self, prediction: ImageDetections | Unreadable) -> None:
        """Print the objects of the next image, and draw them."""
        picture = self._pictures[self._taken] if self._folder else None
        self._taken += 1
        if isinstance(prediction, Unreadable):
            self._results.leave_out(prediction)
            return
        metadata = self._results.metadata
        self._results.add(prediction, prediction.image if picture is None else picture.name)
        if picture is not None:
            save_picture(prediction, metadata, picture)
        if not self._as_json:
            say(as_lines(prediction, metadata, short=picture is not None), flush=True)

    def finish(self) -> None:
        """Write what is saved, and print the JSON."""
        entries = json.dumps(self._results.entries, indent=2)
        if self._folder is not None:
            write_atomic(self._folder / JSON_NAME, self._results.coco())
        elif self._target is not None:
            self._target.write("detections", entries, detections_csv(self._results.entries))
        if self._as_json:
            say(entries)
        elif self._folder is not None:
            count = len(self._results.images)
            say(f"\n{count} picture{'s' * (count != 1)} and {JSON_NAME} in {self._folder}")


def detections_csv(entries: Sequence[Mapping[str, Any]]) -> str:
    """Format the objects of images as CSV: a line per object, in pixels of the file; one without, if nothing is found.

    Args:
        entries: One per image, as ``netaug predict --json`` prints them.
    """
    corners = ("left", "top", "right", "bottom")
    lines: list[dict[str, object]] = []
    for entry in entries:
        for found in entry.get("objects") or [{}]:
            line_: dict[str, object] = {"image": entry["image"], "error": entry.get("error")}
            line_ |= {"class": found.get("name"), "score": found.get("score")}
            lines.append(line_ | dict(zip(corners, found.get("box", ()), strict=False)))
    return csv_text(["image", "class", "score", *corners, "error"], lines)


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

    def leave_out(self, image: Unreadable) -> None:
        """Add an image that cannot be read: COCO's results do not have it."""
        self.entries.append({"image": image.image, "error": image.error.where})

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
