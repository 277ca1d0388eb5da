"""From what a detector says to the detections that are judged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.config.detect import DetectConfig
from netaug.detect.codec import Decoded

Rows = npt.NDArray[np.float64]
_CANDIDATES = 1000  # of an image, for each of its detections at most ten are looked at


def detections(decoded: Decoded, frames_N6: Tensor, indices_N: Tensor, config: DetectConfig) -> Rows:
    """Keep the best predictions of each image, without those that say the same twice.

    The score of a class is ``sigmoid(objectness) * sigmoid(class)``; a prediction is a candidate for every class in
    which it reaches ``config.score_threshold``. The 1000 best candidates of an image (or ten times
    ``config.max_detections``, if that is more) are looked at.

    Args:
        decoded: From :func:`netaug.detect.codec.decode`.
        frames_N6: float64, how each image came from its file: factors on x and y, left and top edge of the file's
            image in the input, width and height of the file in pixels.
        indices_N: Positions of the images in the split.
        config: Threshold, overlap of non-maximum suppression, most detections of an image.

    Returns:
        float64 ``[K, 7]``: position of the image in the split, class, score, left, top, right, bottom in pixels of the
        file, clipped to it. Images in order, best scores first. What an image gets does not depend on the others.
    """
    frames_N6 = frames_N6.to(torch.float64).cpu()
    most = max(_CANDIDATES, 10 * config.max_detections)
    rows = [torch.empty(0, 7, dtype=torch.float64)]
    objectness_NP = decoded.objectness_NP.float().sigmoid()
    for image, position in enumerate(indices_N.tolist()):
        candidates = _candidates(
            objectness_NP[image], decoded.logits_NPC[image], config.score_threshold, most
        )
        scores_K, classes_K, slots_K = (tensor.cpu() for tensor in candidates)
        boxes_K4 = decoded.boxes_NP4[image][slots_K.to(decoded.boxes_NP4.device)].double().cpu()
        boxes_K4 = _in_file(boxes_K4, frames_N6[image])
        kept = _suppressed(boxes_K4, scores_K, classes_K, config)
        columns = [torch.full_like(scores_K, position), classes_K.double(), scores_K]
        rows.append(torch.cat([torch.stack(columns, 1), boxes_K4], 1)[kept])
    rows_K7: Rows = torch.cat(rows).numpy()
    return rows_K7


def _candidates(
    objectness_P: Tensor, logits_PC: Tensor, threshold: float, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores as float64, classes and slots, best first; of equals the first slot."""
    slots_Q = (objectness_P >= threshold).nonzero().flatten()  # a class can only lower the score
    scores_QC = objectness_P[slots_Q, None] * logits_PC[slots_Q].float().sigmoid()
    rows_K, classes_K = (scores_QC >= threshold).nonzero(as_tuple=True)
    scores_K = scores_QC[rows_K, classes_K]
    if len(scores_K) > most:  # sorting all would take most of the time
        kept = (scores_K >= scores_K.topk(most).values[-1]).nonzero().flatten()
        scores_K, classes_K, rows_K = scores_K[kept], classes_K[kept], rows_K[kept]
    order = scores_K.argsort(descending=True, stable=True)[:most]
    return scores_K[order].double(), classes_K[order], slots_Q[rows_K[order]]


def _in_file(boxes_K4: Tensor, frame_6: Tensor) -> Tensor:
    """Return boxes in pixels of the file, clipped to it."""
    factors, edges, sizes = frame_6[:2].repeat(2), frame_6[2:4].repeat(2), frame_6[4:].repeat(2)
    return ((boxes_K4 - edges) / factors).clamp(min=0).minimum(sizes)


def _suppressed(boxes_K4: Tensor, scores_K: Tensor, classes_K: Tensor, config: DetectConfig) -> Tensor:
    from torchvision.ops import batched_nms  # on first use: slow to import

    visible = ((boxes_K4[:, 2:] - boxes_K4[:, :2]) > 0).all(1).nonzero().flatten()
    kept = batched_nms(boxes_K4[visible], scores_K[visible], classes_K[visible], config.nms_iou)
    best: Tensor = visible[kept][: config.max_detections]
    return best
