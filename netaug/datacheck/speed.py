"""Measures how many images per second the train pipeline delivers and the network consumes on this machine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.config import DataConfig, ModelConfig, NetAugConfig, TrainConfig
from netaug.core.device import choose_device, set_up
from netaug.core.errors import DataError
from netaug.data import Data, DataInfo, Normalizer, build_data
from netaug.data.registry import Source
from netaug.data.store import MemoryImages, common_side
from netaug.elastic.plain_network import BaseOnly, Network
from netaug.models import default_image_size
from netaug.train.build import build_model, build_network

_SECONDS, _MOST_BATCHES = 4.0, 50
_ROUNDS, _ROUND_SECONDS = 7, 12.0
_CPU_BATCH = 32
_USUAL_SIDE, _SMALL_SIDE = 176, 96
_SPARE = 1.1


@dataclass(frozen=True)
class Speed:
    """Holds what was timed, in images per second.

    Args:
        image_size: Side of the images in pixels.
        augment: How they were augmented.
        delivered: By one loader process on one core.
        cores: Processors that this process may use.
        model: Name of the network; None if none was measured.
        device: Where it was trained.
        base: Consumed by training it plainly.
        netaug: Consumed by training it with NetAug: the base network and a wider one.
    """

    image_size: int
    augment: str
    delivered: float
    cores: int
    model: str | None = None
    device: str = "cpu"
    base: float | None = None
    netaug: float | None = None

    def workers(self, consumed: float) -> int:
        """Return the number of loader processes that keep up with so many images per second, a tenth to spare."""
        return max(1, math.ceil(_SPARE * consumed / self.delivered))

    def verdict(self) -> str:
        """Return a sentence about what limits training."""
        if self.base is None or self.netaug is None:
            return "add --model NAME to see whether that is enough for a network"
        needed = [self.workers(rate) for rate in (self.base, self.netaug)]
        wanted = (
            f"{needed[0]}" if needed[0] == needed[1] else f"{needed[0]} without NetAug, {needed[1]} with it"
        )
        if needed[1] <= self.cores:
            ratio = self.delivered * min(self.cores, needed[1]) / self.netaug
            limit = f"the network limits: --data.workers {needed[1]} deliver {ratio:.1f} times what NetAug consumes"
        else:
            limit = f"the input limits: {self.cores} cores cannot keep the network busy; pack the dataset"
        note = "; loaders take their share of the cores that train" if self.device == "cpu" else ""
        return f"{limit} (loader processes needed: {wanted}{note})"


@dataclass(frozen=True)
class TimedNetwork:
    """Names a network whose training steps are timed, with and without NetAug.

    Args:
        model: What to build.
        netaug: How it is augmented.
        train: Device, threads and memory format.
    """

    model: ModelConfig
    netaug: NetAugConfig
    train: TrainConfig


def measure(
    data: DataConfig, network: TimedNetwork | None, cores: int, *, augment: str | None, side: int | None
) -> Speed:
    """Time the train pipeline in this process, and steps of the network on random images.

    Args:
        data: As for a run.
        network: None times the pipeline alone.
        cores: Processors that there are.
        augment: ``data.augment`` where it was asked for; else that of photos or of small images, by their size.
        side: Height and width of the dataset's images in pixels; None if they differ.

    Raises:
        NetaugError: The data cannot be fed, or the network cannot be built.
    """
    usual = _USUAL_SIDE if network is None else default_image_size(network.model.name)
    size = data.image_size or side or usual
    feed = replace(
        data,
        image_size=size,
        augment=augment or ("small" if size <= _SMALL_SIDE else "imagenet"),  # type: ignore[arg-type]
        workers=0,
        on_error="skip",
        batch_size=min(data.batch_size, 64),
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one core is the unit
    try:
        built = _build(feed)
        delivered = _delivered(built)
    finally:
        torch.set_num_threads(threads)
    speed = Speed(built.info.image_size, feed.augment, delivered, cores)
    return speed if network is None else _with_network(speed, network, built.info, data.batch_size)


def _build(feed: DataConfig) -> Data:
    try:
        return build_data(feed, seed=0)
    except DataError as error:
        if "do not fill one batch" not in error.where:
            raise
        return build_data(replace(feed, batch_size=1), seed=0)


def _delivered(data: Data) -> float:
    """Measure the images per second of one process, over a few seconds, as many epochs as it takes."""
    images, batches, start = 0, 0, time.perf_counter()
    while batches < _MOST_BATCHES and (not images or time.perf_counter() - start < _SECONDS):
        for batch in data.train.epoch(0):
            if batches == 0:
                start = time.perf_counter()  # the first batch opens files
            else:
                images += len(batch)
            batches += 1
            if time.perf_counter() - start >= _SECONDS and images:
                break
    return images / (time.perf_counter() - start)


def _with_network(speed: Speed, timed: TimedNetwork, info: DataInfo, batch_size: int) -> Speed:
    train, config = timed.train, timed.model
    device = choose_device(train.device)
    set_up(device, train.threads)
    wide = replace(timed.netaug, enabled=True)
    model = build_model(config, info, seed=0)
    network = build_network(model, config, wide, info, seed=train.seed, frozen=train.freeze)
    batch = batch_size if device.type == "cuda" else min(_CPU_BATCH, batch_size)
    plain = BaseOnly(build_model(config, info, seed=0), macs=0)
    base, netaug = (_consumed(each, info, device, train.channels_last, batch) for each in (plain, network))
    return replace(speed, model=config.name, device=str(device), base=base, netaug=netaug)


def _consumed(
    network: Network, info: DataInfo, device: torch.device, channels_last: bool, batch: int
) -> float:
    """Measure the images per second of training steps, by the median time of a step; each draws other widths."""
    network.to(device=device, memory_format=torch.channels_last if channels_last else torch.contiguous_format)  # type: ignore[call-overload]
    normalize = Normalizer(info.mean, info.std, device, channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    shape = (batch, info.in_chans, info.image_size, info.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    labels = torch.randint(0, info.num_classes, (batch,), device=device)
    step = _step(network, normalize, optimizer, images, labels)
    times, start = list[float](), time.perf_counter()
    for number in range(_ROUNDS + 1):
        begin = time.perf_counter()
        step(number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number:  # the first one warms up
            times.append(time.perf_counter() - begin)
        if times and time.perf_counter() - start > _ROUND_SECONDS:
            break
    return batch / statistics.median(times)


def _step(
    network: Network, normalize: Normalizer, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> Callable[[int], None]:
    def step(number: int) -> None:
        optimizer.zero_grad()
        inputs = normalize(images)
        for pass_ in network.passes(number, 0.0):
            x, y = pass_.take(inputs, labels)
            (pass_.weight * F.cross_entropy(network(x), y)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def try_measure(
    data: DataConfig, source: Source, network: TimedNetwork | None, cores: int, *, augment: str | None
) -> tuple[Speed | None, str]:
    """Return the speed, or why it is unknown: a dataset too damaged to be loaded has been reported already."""
    images = source.train.images
    try:
        side = source.image_size
        if side is None and not isinstance(images, MemoryImages):
            side = common_side(images, skip_errors=True)
        return measure(data, network, cores, augment=augment, side=side), ""
    except DataError as error:
        return None, error.where
