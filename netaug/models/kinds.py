"""What a network does with images, told from its name."""

from __future__ import annotations

DETECTOR = "yolov3:"
"""In front of a backbone's name it makes the name of a detector."""


def is_detector(name: str) -> bool:
    """Whether the network finds objects instead of naming images."""
    return name.startswith(DETECTOR)
