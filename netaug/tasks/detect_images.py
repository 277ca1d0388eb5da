"""Objects in image files, found by a detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netaug.config.detect import DetectConfig
from netaug.core.errors import DataError
from netaug.core.modules import evaluating
from netaug.data import Normalizer
from netaug.data.decode.image import decode_file
from netaug.data.detection.decoded import resized
from netaug.data.transforms.letterbox import canvas, letterbox
from netaug.detect.codec import decode
from netaug.detect.nms import Rows, detections
from netaug.tasks.kind import Unreadable
from netaug.weights.metadata import ModelCard


@dataclass(frozen=True)
class ImageDetections:
    """The objects that a detector finds in one image.

    Args:
        image: The file.
        pixels_CHW: Its uint8 pixels, upright.
        rows_K7: Position of the file among those given, class, score, left, top, right, bottom in its pixels; best
            scores first.
    """

    image: str
    pixels_CHW: Tensor
    rows_K7: Rows


def find_objects(
    model: nn.Module,
    metadata: ModelCard,
    images: Sequence[str],
    config: DetectConfig,
    device: torch.device,
    *,
    skip_errors: bool = False,
) -> Iterator[ImageDetections | Unreadable]:
    """Look for objects in image files, fitted whole into the network's input as evaluation images are.

    Args:
        model: A detector.
        metadata: Says how large its input is, how it is normalized, and its anchors.
        images: Paths; each is one forward.
        config: Least score, overlap of non-maximum suppression, most detections of an image.
        device: Where to compute.
        skip_errors: Whether a file that cannot be read is reported as such, and the next one follows.

    Raises:
        DataError: A file is missing or does not decode, unless ``skip_errors``.
    """
    model = model.to(device)
    normalizer = Normalizer(metadata.mean, metadata.std, device, channels_last=True)
    with evaluating(model):
        for number, image in enumerate(images):
            try:
                pixels_CHW = decode_file(image, metadata.in_chans)
            except DataError as error:
                if not skip_errors:
                    raise
                yield Unreadable(image, error)
                continue
            input_CHW, frame_6 = fitted(pixels_CHW, metadata.image_size)
            with torch.no_grad():  # not around the loop: a generator would leave it on in its caller's code
                decoded = decode(model(normalizer(input_CHW[None])), metadata.anchors)
            yield ImageDetections(
                image, pixels_CHW, detections(decoded, frame_6[None], torch.tensor([number]), config)
            )


def fitted(pixels_CHW: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return an image in a gray square of ``side`` pixels, and its row of ``DetectionBatch.frames_N6``."""
    height, width = pixels_CHW.shape[-2:]
    placement = letterbox(width, height, side)
    target = placement.target
    image_CHW = canvas(side)
    image_CHW[:, target.top : target.bottom, target.left : target.right] = resized(
        pixels_CHW, target.height, target.width
    )
    return image_CHW, torch.from_numpy(placement.frame((width, height), (width, height)))
