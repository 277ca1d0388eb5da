"""What the YAML file of a dataset with YOLO's labels says: splits, classes, and what a label line holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netaug.core.errors import ConfigError, DataError
from netaug.core.text_files import read_text
from netaug.core.yaml_files import parse_as_written

_NAMES = ("data.yaml", "data.yml", "dataset.yaml")
_NOTHING = (
    "",
    "~",
    "null",
    "Null",
    "NULL",
)  # YAML's null: values are read as text, so that names such as `no` stay


@dataclass(frozen=True)
class About:
    """The description of a dataset.

    Args:
        path: The file; None without one.
        content: Its values, all as texts.
    """

    path: Path | None = None
    content: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        """Return a value; None where there is none."""
        value = self.content.get(key)
        return None if isinstance(value, str) and value in _NOTHING else value

    def names(self, root: Path) -> tuple[str, ...]:
        """Return the names of the classes in label order, as they are written.

        Raises:
            DataError: There are none, a name is there twice, or numbers have holes.
        """
        names = self.get("names")
        if isinstance(names, dict):
            by_number = {_whole(number): name for number, name in names.items()}
            names = [by_number.get(number) for number in range(len(names))]
        written = isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)
        if written and len(set(names)) == len(names):
            return tuple(names)
        raise DataError(
            f"the classes of '{root}' are not named.",
            got="no data.yaml"
            if self.path is None
            else f"names: {str(self.get('names'))[:80]} in '{self.path}'",
            allowed="in data.yaml a list, `names: [cat, dog]`, or numbers from 0 without holes, "
            "`names: {0: cat, 1: dog}`",
            fix="--data.class_names FILE names them, one per line",
        )

    def check_count(self, names: tuple[str, ...]) -> None:
        """Refuse another number of classes than names.

        Raises:
            DataError: `nc` is there, and it is another number.
        """
        count = self.get("nc")
        if count is not None and _whole(count) != len(names):
            raise DataError(
                f"'{self.path}' says another number of classes than there are names.",
                got=f"nc: {count}, and {len(names)} names: {', '.join(names)[:80]}",
                allowed="nc equal to the number of names, or no nc",
                fix="correct nc or the names: labels would count from the wrong list",
            )

    def keypoints(self) -> tuple[int, int] | None:
        """Return how many keypoints a label has, and how many numbers each has; None if there are none.

        Raises:
            DataError: `kpt_shape` is there, and is not such a pair.
        """
        shape = self.get("kpt_shape")
        if shape is None:
            return None
        pair = [_whole(number) for number in shape] if isinstance(shape, list) else []
        if len(pair) == 2 and pair[0] is not None and pair[0] >= 1 and pair[1] in (2, 3):
            return pair[0], pair[1]
        raise DataError(
            f"kpt_shape in '{self.path}' cannot be read.",
            got=f"kpt_shape: {shape}",
            allowed="the number of keypoints, and 2 (x, y) or 3 (x, y, visible) numbers for each: [17, 3]",
        )


def read_about(root: Path) -> About:
    """Read the description in a dataset's folder; an empty one if there is no file.

    Raises:
        DataError: It is not YAML, holds no settings, or several files could be it.
    """
    candidates = [path for name in _NAMES if (path := root / name).is_file()][:1]
    candidates = candidates or sorted(
        path for path in root.iterdir() if path.suffix.lower() in (".yaml", ".yml")
    )
    described = [(path, _content(path)) for path in candidates]
    if len(described) > 1:
        described = [
            (path, content) for path, content in described if "names" in content or "train" in content
        ]
    if len(described) > 1:
        raise DataError(
            f"several files in '{root}' could describe the dataset.",
            got=", ".join(path.name for path, _ in described),
            allowed="one, or one of them called data.yaml",
        )
    return About(*described[0]) if described else About()


def _content(path: Path) -> dict[str, Any]:
    try:
        content = parse_as_written(read_text(path, "description"), str(path))
    except ConfigError as error:
        raise DataError(f"'{path}' is not a YAML file.", got=" ".join(str(error).split())) from None
    if content is None or isinstance(content, dict):
        return content or {}
    raise DataError(
        f"'{path}' does not describe a dataset.", got=str(content)[:80], allowed="train:, val: and names:"
    )


def _whole(text: object) -> int | None:
    return (
        int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 else None
    )
