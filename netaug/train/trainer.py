"""Trains a network: its state, the epochs, and what happens around the gradients of an update."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import nn

from netaug.config import TrainConfig
from netaug.core.errors import NetaugError, TrainingError
from netaug.data import Data
from netaug.data.batch import Batch, Normalizer
from netaug.distributed.all_reduce import AllReduce, StepFlags
from netaug.distributed.world import SINGLE_PROCESS, World
from netaug.elastic import Supernet
from netaug.elastic.plain_network import Network
from netaug.reparameterize.training_layers import Several, TrainingLayers
from netaug.runs.records import EpochRecord
from netaug.tasks.base import Task
from netaug.train.diagnostics import GradientFractions
from netaug.train.ema import Average
from netaug.train.evaluation import Evaluation
from netaug.train.exchange import Exchange, Request
from netaug.train.freeze import keep_statistics
from netaug.train.metrics import Tally, Validation, record_of
from netaug.train.microbatches import Preparation
from netaug.train.observers import Observer, StatisticsObserver
from netaug.train.optim import layer_scales, optimizer_of, set_learning_rate
from netaug.train.schedule import Schedule
from netaug.train.stability import CUDA_CHECK_EVERY, FiniteGuard, SkippedSteps, SpikeLog
from netaug.train.step import Step
from netaug.train.torch_errors import explained
from netaug.train.updates import Updates

_NONE = Several()
OnStep = Callable[[int, int, Tally], None]
"""Called after each step with the epoch, the steps done in it, and the sums of the epoch."""


class Trainer:
    """Holds a network in training: the state that steps change.

    Args:
        network: On the normalizer's device.
        data: Batches.
        task: Loss and metrics.
        normalizer: Moves images to the device and normalizes them.
        config: Epochs, rates, seed.
        sort: Whether hidden channels are sorted at the epoch starts that :meth:`netaug.Supernet.sorts` names.
        world: The processes that train together, each on its slice of ``data``; all end with the same weights.
        preparation: Mixes images and adds teachers' losses.
        layers: What the network has during its training alone.

    Attributes:
        steps_done: Updates so far.
        epochs_done: Epochs that are finished, evaluation included.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        task: Task[Any, Any],
        normalizer: Normalizer,
        config: TrainConfig,
        sort: bool = False,
        world: World = SINGLE_PROCESS,
        preparation: Preparation | None = None,
        layers: TrainingLayers = _NONE,
    ) -> None:
        self.network, self.data, self.task, self.normalizer = network, data, task, normalizer
        self.config, self.world, self._sorts, self._layers = config, world, sort, layers
        self.preparation = preparation or Preparation()
        scales = None if config.layer_decay is None else layer_scales(network, config.layer_decay)
        self.optimizer = optimizer_of(config, network.parameters(), scales)
        self._average = None if config.ema_decay is None else Average(network, config.ema_decay)
        self._updates = Updates(self.optimizer, normalizer.device, config.amp, config.clip_norm)
        self._schedule = Schedule(config, len(data.train))
        self.total_steps = self._schedule.total_steps
        self._microbatches = max(config.accumulate, world.size) // world.size
        if isinstance(network, Supernet):
            network.accumulate_at_once()  # nothing here waits for single gradients, as DistributedDataParallel would
        self._all_reduce = AllReduce(network, world, self._microbatches)
        every = 1 if normalizer.device.type == "cpu" else CUDA_CHECK_EVERY
        self._skipped = SkippedSteps(config.skip_nonfinite)
        self._spikes = SpikeLog(every, world.size)
        self._gradients = GradientFractions.of(network, config.measure_gradients)
        # With several processes, or steps that may be skipped, the exchange asks the guard: all have to decide alike.
        self._guard = FiniteGuard(every if world.size == 1 and not config.skip_nonfinite else None, self.lr)
        statistics = self._all_reduce.statistics
        self._observers: list[Observer] = [
            *([StatisticsObserver(statistics)] if statistics.are_collected else []),
            *([self._spikes] if world.first else []),
            *([self._gradients] if config.measure_gradients else []),
            self._guard,  # last: it raises, and the sums of the others are then complete
        ]
        self._exchange = Exchange(self._all_reduce, self._guard, self._skipped, world)
        self.steps_done = self.epochs_done = 0
        self._tally: Tally | None = None
        self._evaluation = Evaluation(data, task, normalizer, config, world)
        self._recalibrated: nn.Module | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on. Randomness is keyed by step: no generator has a state.

        All processes have to call it, and get the same.

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
            "updates": {**self._updates.state_dict(), **self._skipped.state_dict()},
            "average": None if self._average is None else self._average.state_dict(),
            **({} if self.preparation.teacher is None else {"teacher": self.preparation.teacher}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned, on any device.

        Raises:
            RunFolderError: The teacher is not the original one.
        """
        self.preparation.check_teacher(state.get("teacher"))
        self.steps_done, self.epochs_done = state["step"], state["epochs"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._updates.load_state_dict(state["updates"])
        self._skipped.load_state_dict(state["updates"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._tally = None
        if state["tally"] is not None:
            self._tally = Tally(self.task, self.network, self.world)
            self._tally.load_state_dict(state["tally"], self.normalizer.device)

    def fit(self, on_step: OnStep | None = None, request: Request = StepFlags) -> Iterator[EpochRecord]:
        """Train to the end, and yield a record after each epoch; the network is then at base widths.

        Args:
            on_step: May raise to stop: what :meth:`state_dict` returns then continues to the same bits.
            request: Called in each step; :attr:`flags` is then what all processes requested.

        Raises:
            TrainingError: A loss is not finite.
            DataError: An image does not decode.
        """
        self._exchange.request = request
        steps = len(self.data.train)
        for epoch in range(self.epochs_done, self.config.epochs):
            tally = self._train_epoch(epoch, on_step)
            if not tally.images:
                raise TrainingError(
                    f"no step of epoch {epoch + 1} could be taken.",
                    got=f"non-finite losses in all {steps} steps (train.skip_nonfinite)",
                    fix="look at the images named above, or lower train.lr",
                    diverged=True,
                )
            total, validation = tally.total(), self._validate(epoch)
            # Before the record is yielded: a checkpoint that its receiver writes counts the epoch as finished.
            self.epochs_done, self._tally = epoch + 1, None
            yield record_of(
                epoch,
                tally,
                total,
                validation,
                lr=self.lr((epoch + 1) * steps - 1),
                steps=steps,
                score=self.task.score,
            )

    @property
    def result(self) -> nn.Module:
        """Return the plain network that is evaluated and saved: the averaged one with ``ema_decay``, else the base.

        After an evaluation with ``recalibrate`` it is a copy with the statistics that were estimated for it.
        """
        if self._recalibrated is not None:
            return self._recalibrated
        base = (self.network if self._average is None else self._average.network).base
        self._layers.on_step(base, self.steps_done / self.total_steps)
        return self._layers.finish(base) if self.result_is_plain else base

    @property
    def result_is_plain(self) -> bool:
        """Return whether :attr:`result` has the layers of the plain network alone; if not, it cannot be saved."""
        return self._layers.is_plain_at(self.steps_done / self.total_steps)

    @property
    def flags(self) -> StepFlags:
        """Return the all-reduced flags of the last step, the same on all processes."""
        return self._exchange.flags

    @property
    def skipped(self) -> int:
        """Return the number of steps skipped because a loss was not finite."""
        return self._skipped.count

    @property
    def tally(self) -> Tally | None:
        """Return the sums of the epoch in progress; None between epochs."""
        return self._tally

    def lr(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self._schedule.lr(step)

    def step(self, step: int, batch: Batch, tally: Tally) -> None:
        """Make one update: the gradients of all passes (:mod:`netaug.train.step`), all-reduced, then applied."""
        set_learning_rate(self.optimizer, self.lr(step))
        self._updates.zero_grad()
        failure, restore = None, self._skipped.remember(self.network, tally)
        try:
            with explained(self.config, len(batch) * self.world.size):
                self._add_gradients(step, batch, tally)
        except NetaugError as error:
            # Kept, not raised here: the other processes already wait for this one in the all-reduce.
            failure = error
        widens = self.network.widens(step, step / self.total_steps)
        if self._exchange.run(step, failure, widens=widens):
            restore()
            self._spikes.forget(step)
        elif self._updates.apply() and self._average is not None:
            self._average.update(self.network, step)

    def _add_gradients(self, step: int, batch: Batch, tally: Tally) -> None:
        """Add the gradients of this process's microbatches; summed over all processes they are the batch's mean."""
        prepared, seed = self.preparation, self.config.seed
        microbatches = prepared.microbatches(
            step,
            step // len(self.data.train),
            batch,
            self.normalizer,
            image_size=self.data.info.image_size,
            count=self._microbatches,
            world=self.world,
        )
        tally.macs += len(batch) * prepared.teacher_macs
        device, loss = self.normalizer.device, prepared.distillation
        update = Step(self.network, self.task, loss, self._updates, device, seed)
        self._layers.on_step(self.network.base, step / self.total_steps)
        update.add_gradients(step, step / self.total_steps, microbatches, [tally, *self._observers])
        tally.add_gradients(self._gradients.finish())

    def _train_epoch(self, epoch: int, on_step: OnStep | None) -> Tally:
        """Take the steps of an epoch that are not done yet; channels are sorted before its first one."""
        clock, self._recalibrated = time.perf_counter(), None
        tally = self._tally
        if tally is None:
            self._sort(epoch)
            tally = self._tally = Tally(self.task, self.network, self.world)
        self.network.train()
        # After train(), which puts the norms of frozen parts into training mode as well.
        keep_statistics(self.network.base)
        first = epoch * len(self.data.train)
        for batch in self._batches(epoch, self.steps_done - first):
            self.step(self.steps_done, batch, tally)
            self.steps_done += 1
            now = time.perf_counter()
            tally.seconds, clock = tally.seconds + now - clock, now
            if on_step is not None:
                on_step(epoch, self.steps_done - first, tally)
                clock = time.perf_counter()  # time to display and save does not count
        self._guard.check()
        return tally

    def _batches(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield this process's batches; an error is exchanged, as the others wait for this one's gradients."""
        try:
            with explained(self.config):
                yield from self.data.train.epoch(epoch, skip=skip)
        except NetaugError as error:
            step = self.steps_done
            self._exchange.run(step, error, widens=self.network.widens(step, step / self.total_steps))

    def _validate(self, epoch: int) -> Validation:
        if not self._evaluation.is_due(epoch):
            return Validation({})
        measured, network = self._evaluation.run(epoch, self.result)
        self._recalibrated = network if self.config.recalibrate else None
        return measured

    def _sort(self, epoch: int) -> None:
        if (
            self._sorts
            and isinstance(self.network, Supernet)
            and self.network.sorts(epoch / self.config.epochs)
        ):
            averages = () if self._average is None else (cast(Supernet, self._average.network),)
            self.network.sort_channels(self.optimizer, averages)
