"""The training loop: epochs of steps, each step the base network and then one wider network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from netaug.config import TrainConfig
from netaug.data import Data
from netaug.data.batch import ClassificationBatch, Normalizer
from netaug.elastic import Pass, Supernet
from netaug.evaluate import evaluate
from netaug.seeding import key
from netaug.tasks.base import Task
from netaug.train.device import seed_everything
from netaug.train.ema import Average
from netaug.train.freeze import keep_statistics
from netaug.train.guard import FiniteGuard
from netaug.train.layers import layer_scales
from netaug.train.network import BaseOnly, Network
from netaug.train.optim import make_optimizer, set_learning_rate
from netaug.train.schedule import Schedule
from netaug.train.updates import Updates, parts

_CUDA_CHECK_EVERY = 100


@dataclass(frozen=True)
class EpochRecord:
    """One line of ``metrics.jsonl``.

    Args:
        epoch: 0-based.
        train_loss: Mean loss in nats of the base pass over the epoch, label smoothing included.
        train_top1: Percent right in the base pass, on augmented images, while the weights change.
        val_loss: Of the base network after the epoch, the same loss; None when not evaluated.
        val_top1: Percent; None when not evaluated.
        lr: Of the epoch's last step.
        seconds: Time of the training part, sorting included.
        val_seconds: Time of the evaluation, 0 without one.
        images_per_second: Training images over ``seconds``.
        steps: Optimizer updates in the epoch.
        train_macs: Multiply-accumulates of all forwards of all images and passes of the training part.
        widths: Mean channels drawn in the epoch's augmented passes, per group; empty without any.
        val_mean_per_class: Mean over classes of the percentage right; None where it is not customary or not evaluated.
    """

    epoch: int
    train_loss: float
    train_top1: float
    val_loss: float | None
    val_top1: float | None
    lr: float
    seconds: float
    val_seconds: float
    images_per_second: float
    steps: int
    train_macs: int
    widths: dict[str, float]
    val_mean_per_class: float | None = None


class Tally:
    """What an epoch adds up; sums stay on the device until they are asked for."""

    def __init__(self, task: Task, network: Network) -> None:
        self._task, self._network = task, network
        self._sums: Tensor | None = None
        self._channels: dict[str, int] = {}
        self._draws = 0
        self.images = 0
        self.macs = 0
        self.seconds = 0.0

    def add(self, pass_: Pass, outputs: Tensor, labels_N: Tensor, loss: Tensor) -> None:
        """Count one pass."""
        self.macs += len(labels_N) * self._network.macs(pass_.widths)
        if pass_.name == "base":
            sums = self._task.sums(outputs, labels_N, loss)
            self._sums = sums if self._sums is None else self._sums + sums
            self.images += len(labels_N)
        else:
            self._draws += 1
            for group, channels in pass_.widths.items():
                self._channels[group] = self._channels.get(group, 0) + channels

    def metrics(self) -> dict[str, float]:
        """The task's metrics of the base passes so far; waits for the device."""
        assert self._sums is not None, "asked before the first pass"
        return self._task.metrics(self._sums)

    def widths(self) -> dict[str, float]:
        """Mean channels per group over the augmented passes."""
        return {group: round(total / self._draws, 3) for group, total in self._channels.items()}

    def state_dict(self) -> dict[str, Any]:
        """All of it as plain values and a tensor."""
        counts = {"draws": self._draws, "images": self.images, "macs": self.macs, "seconds": self.seconds}
        return {**counts, "sums": self._sums, "channels": dict(self._channels)}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self._draws, self.images, self.macs = state["draws"], state["images"], state["macs"]
        self._channels, self.seconds = dict(state["channels"]), state["seconds"]
        self._sums = None if state["sums"] is None else state["sums"].to(device)


OnStep = Callable[[int, int, Tally], None]
"""Called after each step with the epoch, the steps done in it, and what has been added up."""


class Trainer:
    """A network in training: the state that steps change.

    Args:
        network: On the normalizer's device.
        data: Batches.
        task: Loss and metrics.
        normalizer: Moves and normalises images.
        config: Epochs, rates, seed.
        sort_until: Progress in [0, 1] before which hidden channels are sorted at epoch starts; 0 never sorts.

    Attributes:
        steps_done: Updates so far.
        epochs_done: Epochs that are finished, evaluation included.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        task: Task,
        normalizer: Normalizer,
        config: TrainConfig,
        sort_until: float = 0.0,
    ) -> None:
        self.network, self.data, self.task, self.normalizer = network, data, task, normalizer
        self.config, self.sort_until = config, sort_until
        self.optimizer = make_optimizer(
            network.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            name=config.optimizer,
            options=config.optimizer_options,
            scales=None if config.layer_decay is None else layer_scales(network, config.layer_decay),
        )
        self._average = None if config.ema_decay is None else Average(network, config.ema_decay)
        self._updates = Updates(self.optimizer, normalizer.device, config.amp, config.clip_norm)
        self._schedule = Schedule(config, len(data.train))
        self.total_steps = self._schedule.total_steps
        self._guard = FiniteGuard(1 if normalizer.device.type == "cpu" else _CUDA_CHECK_EVERY)
        self.steps_done = self.epochs_done = 0
        self._tally: Tally | None = None

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on. Randomness is keyed by step: no generator has a state.

        Raises:
            TrainingError: A loss since the last check is not finite.
        """
        self._guard.check()
        return {
            "step": self.steps_done,
            "epochs": self.epochs_done,
            "tally": None if self._tally is None else self._tally.state_dict(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self._updates.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, on any device."""
        self.steps_done, self.epochs_done = state["step"], state["epochs"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._updates.load_state_dict(state["updates"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._tally = None
        if state["tally"] is not None:
            self._tally = Tally(self.task, self.network)
            self._tally.load_state_dict(state["tally"], self.normalizer.device)

    def fit(self, on_step: OnStep | None = None) -> Iterator[EpochRecord]:
        """Train from where it stands, and hand over a record after each epoch; the network is then at base widths.

        ``on_step`` may raise to stop: what :meth:`state_dict` gives then continues to the same bits.

        Raises:
            TrainingError: A loss is not finite.
            DataError: An image does not decode.
        """
        steps = len(self.data.train)
        for epoch in range(self.epochs_done, self.config.epochs):
            tally = self._train_epoch(epoch, on_step)
            trained = tally.metrics()
            start = time.perf_counter()
            validated = self._validate(epoch)
            self.epochs_done, self._tally = epoch + 1, None
            yield EpochRecord(
                epoch=epoch,
                train_loss=trained["loss"],
                train_top1=trained["top1"],
                val_loss=validated.get("loss"),
                val_top1=validated.get("top1"),
                lr=self.lr((epoch + 1) * steps - 1),
                seconds=tally.seconds,
                val_seconds=time.perf_counter() - start if validated else 0.0,
                images_per_second=tally.images / tally.seconds,
                steps=steps,
                train_macs=tally.macs,
                widths=tally.widths(),
                val_mean_per_class=validated.get("mean_per_class"),
            )

    @property
    def result(self) -> nn.Module:
        """The plain network that is evaluated and saved: the average's base with ``ema_decay``, else the base."""
        return (self.network if self._average is None else self._average.network).base

    @property
    def tally(self) -> Tally | None:
        """Of the epoch in progress; None between epochs."""
        return self._tally

    def lr(self, step: int) -> float:
        """The learning rate of a step."""
        return self._schedule.lr(step)

    def step(self, step: int, batch: ClassificationBatch, tally: Tally) -> None:
        """One update: the gradients of the base network and of one wider network add.

        Source:
            Cai et al. 2022, arXiv:2110.08890: L(W_t) + alpha * L([W_t, W_i]), one W_i drawn a step.
        """
        lr = self.lr(step)
        set_learning_rate(self.optimizer, lr)
        seed_everything(self.normalizer.device, key(self.config.seed, "step", step))  # dropout and the like
        images_NCHW = self.normalizer(batch.images_NCHW)
        labels_N = batch.labels_N.to(self.normalizer.device, non_blocking=True)

        self._updates.start()
        for pass_ in self.network.passes(step, step / self.total_steps):
            x, y = pass_.take(images_NCHW, labels_N)
            for part in parts(len(y), self.config.accumulate):
                with self._updates.precision():
                    outputs = self.network(x[part])
                    loss = self.task.loss(outputs, y[part])
                self._updates.add(pass_.weight * (len(y[part]) / len(y)) * loss)
                tally.add(pass_, outputs, y[part], loss)
                self._guard.add(loss, pass_.name, step, lr, batch.indices_N[part])
        self._updates.apply()
        if self._average is not None:
            self._average.update(self.network, step)

    def _train_epoch(self, epoch: int, on_step: OnStep | None) -> Tally:
        """The steps of an epoch that are not done yet; before its first one channels are sorted."""
        clock = time.perf_counter()
        tally = self._tally
        if tally is None:
            self._sort(epoch)
            tally = self._tally = Tally(self.task, self.network)
        self.network.train()
        keep_statistics(self.network.base)
        first = epoch * len(self.data.train)
        for batch in self.data.train.epoch(epoch, skip=self.steps_done - first):
            self.step(self.steps_done, batch, tally)
            self.steps_done += 1
            now = time.perf_counter()
            tally.seconds, clock = tally.seconds + now - clock, now
            if on_step is not None:
                on_step(epoch, self.steps_done - first, tally)
                clock = time.perf_counter()  # showing and saving is not training
        self._guard.check()
        return tally

    def _validate(self, epoch: int) -> dict[str, float]:
        last = epoch + 1 == self.config.epochs
        if not last and (epoch + 1) % self.config.eval_every:
            return {}
        return evaluate(self.result, self.data.val, self.normalizer, self.task)

    def _sort(self, epoch: int) -> None:
        # Not before the first epoch: untrained channels have no importance yet, and both arms keep one init.
        wanted = 0 < epoch / self.config.epochs < self.sort_until
        if wanted and not isinstance(self.network, BaseOnly):
            averages = () if self._average is None else (cast(Supernet, self._average.network),)
            self.network.sort_channels(self.optimizer, averages)
