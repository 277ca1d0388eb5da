"""Measure how long a detector's training step and its evaluation take, beside torchvision's SSDLite at the same input.

Run alone on an idle machine: `python -m benchmarks.detection`. The kinds of step take turns, so that a drift of the
machine's speed meets all of them; quoted are medians over rounds, and medians of the ratios within a round. Every
round draws other widths for NetAug; `late` is the second phase of training, in which only expand groups are widened.

Evaluation is timed at its worst: every prediction of a fresh detector is made sure enough to be a candidate, so that
each image sends the most candidates to non-maximum suppression; average precision is counted over 1,000 images with
the most detections each and ten objects.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, Supernet, augment, create_model
from netaug.config.detect import DetectConfig
from netaug.core.device import set_up
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.annotations import Annotations
from netaug.detect.ap import voc_ap
from netaug.detect.codec import decode
from netaug.detect.loss import detection_loss
from netaug.detect.nms import Rows, detections
from netaug.detect.targets import BoxTargets
from netaug.profile import profile
from netaug.train.optim import make_optimizer

CLASSES = 20
OBJECTS = 10  # per image
IMAGES = 1000
SIDE = 320  # torchvision's detector scales every image to this
PLAIN, NETAUG, LATE, SSDLITE = "base", "NetAug", "NetAug, late", "ssdlite320_mobilenet_v3_large"
DETECTOR = "yolov3:mobilenetv2-0.35"

Times = dict[str, list[float]]


@dataclass(frozen=True)
class Setting:
    """Describe a measurement: name and options of a detector, side of images, batch size, rounds, the clock."""

    name: str
    side: int
    batch: int
    rounds: int
    options: dict[str, Any]
    yardstick: bool = True
    clock: Callable[[], float] = time.perf_counter


def step_times(setting: Setting) -> Times:
    """Return the seconds of each kind of training step, by round."""
    torch.manual_seed(0)
    images, targets = torch.rand(setting.batch, 3, setting.side, setting.side), make_targets(setting)
    images = images.contiguous(memory_format=torch.channels_last)
    plain = _detector(setting)
    supernet = augment(plain, torch.rand(2, 3, setting.side, setting.side), AugmentConfig())
    supernet.to(memory_format=torch.channels_last)
    steps: dict[str, Callable[[int], None]] = {
        PLAIN: _plain_step(plain, images, targets),
        NETAUG: _netaug_step(supernet, images, targets, 0.0),
        LATE: _netaug_step(supernet, images, targets, 0.9),
    }
    if setting.yardstick:
        steps[SSDLITE] = _ssdlite_step(_ssdlite(), images, targets)
    times: Times = {name: [] for name in steps}
    for number in range(-1, setting.rounds):
        for name, step in steps.items():
            seconds = _timed(setting, partial(step, number + 1))
            if number >= 0:  # the first round warms up
                times[name].append(seconds)
    return times


def evaluation_times(setting: Setting) -> Times:
    """Return the seconds per 1,000 images of each part of an evaluation, by round."""
    torch.manual_seed(0)
    images = torch.rand(setting.batch, 3, setting.side, setting.side)
    images = images.contiguous(memory_format=torch.channels_last)
    detector, config, batches = _detector(setting).eval(), DetectConfig(), IMAGES / setting.batch
    _make_sure(detector)
    frames = torch.tensor([[1.0, 1.0, 0.0, 0.0, setting.side, setting.side]], dtype=torch.float64)
    frames, indices = frames.repeat(setting.batch, 1), torch.arange(setting.batch)
    ssdlite = _ssdlite().eval() if setting.yardstick else None
    times: Times = {}
    with torch.inference_mode():
        for number in range(-1, setting.rounds):
            start = setting.clock()
            maps = detector(images)
            network = setting.clock()
            rows = detections(decode(maps, COCO_ANCHORS), frames, indices, config)
            seconds_by_part = {"network": network - start, "decoding and NMS": setting.clock() - network}
            if ssdlite is not None:
                seconds_by_part[SSDLITE] = _timed(setting, lambda: ssdlite(list(images)))
            for name, seconds in seconds_by_part.items() if number >= 0 else ():
                times.setdefault(name, []).append(seconds * batches)
    truth, many = make_truth(setting), _repeated(rows, setting.batch)
    times["average precision"] = [_timed(setting, lambda: voc_ap(many, truth)) for _ in range(setting.rounds)]
    return times


def make_targets(setting: Setting) -> BoxTargets:
    """Return ten objects of all sizes in each image of a batch."""
    random = torch.Generator().manual_seed(0)
    count = setting.batch * OBJECTS
    corners = torch.rand(count, 2, 2, generator=random).sort(1).values * (setting.side - 8)
    corners[:, 1] += 8
    return BoxTargets(
        corners.flatten(1),
        torch.randint(0, CLASSES, (count,), generator=random),
        torch.zeros(count, dtype=torch.bool),
        torch.full((setting.batch,), OBJECTS),
    )


def make_truth(setting: Setting) -> Annotations:
    """Return the objects of 1,000 images: those of :func:`make_targets` over and over."""
    targets, count = make_targets(setting), IMAGES * OBJECTS
    taken = np.arange(count) % len(targets.labels_M)
    boxes = targets.boxes_M4.numpy()[taken]
    nothing = np.zeros(count, dtype=np.bool_)
    return Annotations(
        np.full((IMAGES, 2), setting.side),
        boxes,
        targets.labels_M.numpy()[taken],
        nothing,
        nothing,
        (boxes[:, 2:] - boxes[:, :2]).prod(1),
        np.arange(IMAGES + 1) * OBJECTS,
        np.arange(IMAGES),
        np.arange(CLASSES),
    )


def _repeated(rows: Rows, batch: int) -> Rows:
    """Return the detections of a batch as those of 1,000 images."""
    copies = [rows + np.array([batch * copy, 0, 0, 0, 0, 0, 0]) for copy in range(-(-IMAGES // batch))]
    many: Rows = np.concatenate(copies)
    return many[many[:, 0] < IMAGES]


def _detector(setting: Setting) -> nn.Module:
    model = create_model(setting.name, num_classes=CLASSES, **setting.options)
    return model.to(memory_format=torch.channels_last)


def _make_sure(detector: nn.Module) -> None:
    """Raise the last biases, so that every prediction is a candidate."""
    for head in detector.get_submodule("heads").children():
        nn.init.constant_(head.get_parameter("1.bias"), 0.0)


def _ssdlite() -> nn.Module:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    model: nn.Module = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1
    )
    return model.to(memory_format=torch.channels_last)


def _optimizer(network: nn.Module) -> torch.optim.Optimizer:
    return make_optimizer(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=4e-5)


def _plain_step(network: nn.Module, images: Tensor, targets: BoxTargets) -> Callable[[int], None]:
    optimizer, config = _optimizer(network), DetectConfig()

    def step(number: int) -> None:
        optimizer.zero_grad()
        detection_loss(network(images), targets, COCO_ANCHORS, config).total.backward()
        optimizer.step()

    return step


def _netaug_step(
    supernet: Supernet, images: Tensor, targets: BoxTargets, progress: float
) -> Callable[[int], None]:
    optimizer, config = _optimizer(supernet), DetectConfig()

    def step(number: int) -> None:
        optimizer.zero_grad()
        for pass_ in supernet.passes(number, progress):
            loss = detection_loss(supernet(images), targets, COCO_ANCHORS, config).total
            (pass_.weight * loss).backward()
        optimizer.step()

    return step


def _ssdlite_step(network: nn.Module, images: Tensor, targets: BoxTargets) -> Callable[[int], None]:
    optimizer, objects = _optimizer(network), list[dict[str, Tensor]]()
    for image in range(len(targets)):
        targets_of_image = targets[image : image + 1]
        objects.append({"boxes": targets_of_image.boxes_M4, "labels": targets_of_image.labels_M + 1})

    def step(number: int) -> None:
        optimizer.zero_grad()
        sum(network(list(images), objects).values()).backward()
        optimizer.step()

    return step


def _timed(setting: Setting, work: Callable[[], object]) -> float:
    start = setting.clock()
    work()
    return setting.clock() - start


def main() -> None:
    """Measure and print a line for each kind of step and each part of an evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time of one thread: for a machine that is not idle"
    )
    arguments = parser.parse_args()
    threads, clock = arguments.threads, time.perf_counter
    if arguments.cpu_time:
        threads, clock = 1, time.process_time
    set_up(torch.device("cpu"), threads)
    setting = Setting(DETECTOR, SIDE, arguments.batch, arguments.rounds, {}, clock=clock)
    macs = profile(_detector(setting), torch.rand(1, 3, SIDE, SIDE)).macs
    print(
        f"torch {torch.__version__}, {threads} threads{', processor time' * arguments.cpu_time}, {SIDE}x{SIDE}, "
        f"{CLASSES} classes, batch {arguments.batch}, {arguments.rounds} rounds; MACs of {DETECTOR}: "
        f"{macs / 1e6:.0f} M, of {SSDLITE}: {_ssdlite_macs() / 1e6:.0f} M"
    )
    steps = step_times(setting)
    for name, times in steps.items():
        ratios = [seconds / plain for seconds, plain in zip(times, steps[PLAIN], strict=True)]
        print(
            f"step        {name:30} {statistics.median(times) * 1e3:6.0f} ms   / base {statistics.median(ratios):.2f}"
        )
    for name, times in evaluation_times(setting).items():
        print(f"evaluation  {name:30} {statistics.median(times):6.2f} s for {IMAGES} images")


def _ssdlite_macs() -> int:
    from torch.utils.flop_counter import FlopCounterMode

    counter, model = FlopCounterMode(display=False), _ssdlite().eval()  # building it runs it, so not within
    with counter, torch.no_grad():
        model([torch.rand(3, SIDE, SIDE)])
    return round(counter.get_total_flops() / 2)


if __name__ == "__main__":
    main()
