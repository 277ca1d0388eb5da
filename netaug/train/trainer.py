"""The training loop: epochs of steps, each step the base network and then one wider network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import nn

from netaug.config import TrainConfig
from netaug.core.device import seed_everything
from netaug.core.errors import NetaugError, TrainingError
from netaug.core.seeding import key
from netaug.data import Data
from netaug.data.batch import Batch, Normalizer
from netaug.distributed.all_reduce import Exchange, Notes
from netaug.distributed.world import ALONE, World
from netaug.elastic import Pass, Supernet
from netaug.elastic.plain_network import BaseOnly, Network
from netaug.runs.records import EpochRecord
from netaug.tasks.base import Task
from netaug.tasks.validation import validate
from netaug.train.ema import Average
from netaug.train.freeze import keep_statistics
from netaug.train.gradients import GradientWatch
from netaug.train.metrics import Tally, record_of
from netaug.train.microbatches import Preparation
from netaug.train.nonfinite import FiniteGuard
from netaug.train.optim import layer_scales, make_optimizer, set_learning_rate
from netaug.train.schedule import Schedule
from netaug.train.skipping import Skips
from netaug.train.spikes import LossLog
from netaug.train.torch_errors import explained
from netaug.train.updates import Updates, parts

_CUDA_CHECK_EVERY = 100


OnStep = Callable[[int, int, Tally], None]
"""Called after each step with the epoch, the steps done in it, and what has been added up."""
Ask = Callable[[], Notes]
"""What this process wishes: that a checkpoint is written, or that the training stops."""


class Trainer:
    """A network in training: the state that steps change.

    Args:
        network: On the normalizer's device.
        data: Batches.
        task: Loss and metrics.
        normalizer: Moves and normalises images.
        config: Epochs, rates, seed.
        sort_until: Progress in [0, 1] before which hidden channels are sorted at epoch starts, once something is
            augmented; 0 never sorts.
        world: The processes that train together, each on its share of ``data``; all come to the same weights.
        preparation: What teaches beside the labels, and what mixes images.

    Attributes:
        steps_done: Updates so far.
        epochs_done: Epochs that are finished, evaluation included.
        wishes: What the processes wished for in the last step, the same on all of them.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        task: Task[Any, Any],
        normalizer: Normalizer,
        config: TrainConfig,
        sort_until: float = 0.0,
        world: World = ALONE,
        preparation: Preparation | None = None,
    ) -> None:
        self.network, self.data, self.task, self.normalizer = network, data, task, normalizer
        self.config, self.sort_until, self.world = config, sort_until, world
        self.preparation = preparation or Preparation()
        self.optimizer = make_optimizer(
            network.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            name=config.optimizer,
            options=config.optimizer_options,
            scales=None if config.layer_decay is None else layer_scales(network, config.layer_decay),
        )
        every = 1 if normalizer.device.type == "cpu" else _CUDA_CHECK_EVERY
        self._average = None if config.ema_decay is None else Average(network, config.ema_decay)
        self._skips, self._losses = Skips(config.skip_nonfinite), LossLog(every)
        self._gradients = GradientWatch(network.base.parameters(), config.measure_gradients)
        self._updates = Updates(self.optimizer, normalizer.device, config.amp, config.clip_norm)
        self._schedule = Schedule(config, len(data.train))
        self.total_steps = self._schedule.total_steps
        self._parts = max(config.accumulate, world.size) // world.size
        self._exchange = Exchange(network, world, self._parts)
        self._guard = FiniteGuard(every if world.size == 1 and not config.skip_nonfinite else None)
        self._ask: Ask = Notes
        self.wishes = Notes()
        self.steps_done = self.epochs_done = 0
        self._tally: Tally | None = None

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on. Randomness is keyed by step: no generator has a state.

        All processes have to ask, and get the same.

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
            "updates": {**self._updates.state_dict(), **self._skips.state_dict()},
            "average": None if self._average is None else self._average.state_dict(),
            **({} if self.preparation.teacher is None else {"teacher": self.preparation.teacher}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, on any device.

        Raises:
            RunFolderError: The teacher is another one.
        """
        self.preparation.check_teacher(state.get("teacher"))
        self.steps_done, self.epochs_done = state["step"], state["epochs"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._updates.load_state_dict(state["updates"])
        self._skips.load_state_dict(state["updates"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._tally = None
        if state["tally"] is not None:
            self._tally = Tally(self.task, self.network, self.world)
            self._tally.load_state_dict(state["tally"], self.normalizer.device)

    def fit(self, on_step: OnStep | None = None, ask: Ask = Notes) -> Iterator[EpochRecord]:
        """Train from where it stands, and hand over a record after each epoch; the network is then at base widths.

        Args:
            on_step: May raise to stop: what :meth:`state_dict` gives then continues to the same bits.
            ask: Called in each step; :attr:`wishes` is then what all processes answered.

        Raises:
            TrainingError: A loss is not finite.
            DataError: An image does not decode.
        """
        self._ask = ask
        steps = len(self.data.train)
        for epoch in range(self.epochs_done, self.config.epochs):
            tally = self._train_epoch(epoch, on_step)
            if not tally.images:
                raise TrainingError(
                    f"no step of epoch {epoch + 1} could be taken.",
                    got=f"losses that are not finite in all {steps} steps (train.skip_nonfinite)",
                    fix="look at the images named above, or lower train.lr",
                )
            total = tally.total()
            start = time.perf_counter()
            validated = self._validate(epoch)
            self.epochs_done, self._tally = epoch + 1, None
            yield record_of(
                epoch,
                tally,
                total,
                validated,
                lr=self.lr((epoch + 1) * steps - 1),
                steps=steps,
                val_seconds=time.perf_counter() - start if validated else 0.0,
                score=self.task.score,
            )

    @property
    def result(self) -> nn.Module:
        """The plain network that is evaluated and saved: the average's base with ``ema_decay``, else the base."""
        return (self.network if self._average is None else self._average.network).base

    @property
    def skipped(self) -> int:
        """Steps left out because a loss was not finite."""
        return self._skips.count

    @property
    def tally(self) -> Tally | None:
        """Of the epoch in progress; None between epochs."""
        return self._tally

    def lr(self, step: int) -> float:
        """The learning rate of a step."""
        return self._schedule.lr(step)

    def step(self, step: int, batch: Batch, tally: Tally) -> None:
        """One update: the gradients of the base network and of one wider network, or several, add.

        Source:
            Cai et al. 2022, arXiv:2110.08890: L(W_t) + alpha * L([W_t, W_i]), one W_i drawn a step.
        """
        set_learning_rate(self.optimizer, self.lr(step))
        self._updates.start()
        failure, undo = None, self._skips.remember(self.network, tally)
        try:
            with explained(self.config, len(batch) * self.world.size):
                self._add_gradients(step, batch, tally)
        except NetaugError as error:
            failure = error
        if self._meet(step, failure):
            undo()
            self._losses.forget(step)
        elif self._updates.apply() and self._average is not None:
            self._average.update(self.network, step)

    def _add_gradients(self, step: int, batch: Batch, tally: Tally) -> None:
        """Those of this process's parts of the batch; over all processes losses add up to the mean of the batch."""
        images_NCHW = self.normalizer(batch.images_NCHW)
        targets = batch.targets.to(self.normalizer.device, non_blocking=True)
        first, lessons = self.world.rank * self._parts, self.preparation.lessons
        cut = enumerate(parts(len(batch), self._parts), start=first)
        epoch = step // len(self.data.train)
        pieces = self.preparation.pieces(step, epoch, batch, (images_NCHW, targets), cut)
        tally.macs += len(batch) * self.preparation.teacher_macs
        area = images_NCHW.shape[-2] * images_NCHW.shape[-1] / self.data.info.image_size**2
        self._exchange.statistics.start()
        self._gradients.start(step)
        for pass_ in self.network.passes(step, step / self.total_steps, wide_first=lessons.wide_first):
            tally.draw(pass_)
            for piece in pieces:
                x, y = pass_.take(piece.images_NCHW, piece.targets)
                seed_everything(self.normalizer.device, self._key(step, pass_, piece.number))
                with self._updates.precision(), torch.set_grad_enabled(pass_.weight > 0):
                    outputs = self.network(x)
                    losses = self.task.losses(outputs, y)
                    loss = losses.total
                    taught = lessons.loss(pass_.name, piece.number, outputs, y, loss)
                share = len(piece.targets) / (len(batch) * self.world.size)
                if pass_.weight > 0:
                    self._updates.add(pass_.weight * share * taught)
                tally.add(pass_, outputs, y, losses, area)
                if pass_.statistics:
                    self._exchange.statistics.part_done(last=piece is pieces[-1])
                if pass_.name == "base" and self.world.first:
                    self._losses.add(step, len(piece.targets) / len(batch) * loss)
                indices_N = batch.indices_N[piece.rows][: len(y)]
                self._guard.add(taught, pass_.name, step, self.lr(step), indices_N)
            self._gradients.passed(pass_.name)
        tally.add_gradients(self._gradients.finish())

    def _key(self, step: int, pass_: Pass, part: int) -> int:
        """Of dropout and the like."""
        later = [pass_.number] if pass_.number else []
        return key(self.config.seed, "step", step, pass_.name, part, *later)

    def _meet(self, step: int, failure: NetaugError | None) -> bool:
        """Add up what all processes have; an error on one of them is an error on all, before weights change.

        Returns:
            Whether the step is to be left out, on all of them: a loss is not finite, and that is allowed.
        """
        wish = self._ask()
        if self.world.size == 1:
            self.world.agree(failure)
            self.wishes = self._exchange.run(wish, widens=False)
            if not self._skips.allowed:
                return False  # the guard looks by itself
            leave_out = bool(self._guard.nonfinite()) and self._leave_out(step)
            self._guard.forget()
            return leave_out
        notes = Notes(failure is not None, self._guard.nonfinite(), wish.save, wish.signal)
        self.wishes = self._exchange.run(notes, self.network.widens(step, step / self.total_steps))
        if self.wishes.failed:
            self.world.agree(failure)
        leave_out = bool(self.wishes.nonfinite) and self._leave_out(step)
        self._guard.forget()
        return leave_out

    def _leave_out(self, step: int) -> bool:
        """Leave out a step with a loss that is not finite; where no more are allowed, raise on all processes."""
        error = self._guard.first_bad()
        if self._skips.take(error, step):
            return True
        with self.world.together():
            if error is not None:
                raise error
        return False

    def agreed(self, wish: Notes) -> Notes:
        """What all processes wish together; all have to ask."""
        if self.world.size == 1:
            return wish
        message = torch.tensor(wish.numbers(), device=self.normalizer.device)
        self.world.add_up(message)
        return Notes.of(message.tolist())

    def _train_epoch(self, epoch: int, on_step: OnStep | None) -> Tally:
        """The steps of an epoch that are not done yet; before its first one channels are sorted."""
        clock = time.perf_counter()
        tally = self._tally
        if tally is None:
            self._sort(epoch)
            tally = self._tally = Tally(self.task, self.network, self.world)
        self.network.train()
        keep_statistics(self.network.base)
        first = epoch * len(self.data.train)
        for batch in self._batches(epoch, self.steps_done - first):
            self.step(self.steps_done, batch, tally)
            self.steps_done += 1
            now = time.perf_counter()
            tally.seconds, clock = tally.seconds + now - clock, now
            if on_step is not None:
                on_step(epoch, self.steps_done - first, tally)
                clock = time.perf_counter()  # showing and saving is not training
        self._guard.check()
        return tally

    def _batches(self, epoch: int, skip: int) -> Iterator[Batch]:
        """This process's batches; an error tells the others, who wait for this one's gradients."""
        try:
            with explained(self.config):
                yield from self.data.train.epoch(epoch, skip=skip)
        except NetaugError as error:
            self._meet(self.steps_done, error)

    def _validate(self, epoch: int) -> dict[str, float]:
        last = epoch + 1 == self.config.epochs
        if not last and (epoch + 1) % self.config.eval_every:
            return {}
        return validate(self.result, self.data.val, self.normalizer, self.task, self.world)

    def _sort(self, epoch: int) -> None:
        if isinstance(self.network, BaseOnly):
            return
        # Not before anything is augmented: untrained channels have no importance yet, and both arms keep one init.
        if self.network.config.start < epoch / self.config.epochs < self.sort_until:
            averages = () if self._average is None else (cast(Supernet, self._average.network),)
            self.network.sort_channels(self.optimizer, averages)
