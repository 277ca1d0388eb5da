"""Adds the gradients of one update: of the base network's loss and of that of a wider network around it.

    L(W_t) + alpha * L([W_t, W_i])       one W_i drawn per step (Cai et al. 2022, arXiv:2110.08890)

The weight of a pass is 1 for the base network W_t and ``netaug.alpha`` for a wider network [W_t, W_i], which shares all
weights of the base network. Gradients add, so the order of the passes is free: in-place distillation needs the wide
network's outputs before the base pass.

To follow one update, read in this order: this file; ``train/trainer.py`` (learning rate, all-reduce, optimizer step);
``elastic/supernet.py`` (``passes`` draws the widths) and ``elastic/passes.py`` (what a pass is);
``train/microbatches.py`` (what the passes see); ``distill/distillation_loss.py``; ``train/updates.py`` (loss scale,
clipping).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from netaug.core.device import seed_everything
from netaug.core.seeding import key
from netaug.distill.distillation_loss import DistillationLoss
from netaug.elastic import Pass
from netaug.elastic.plain_network import Network
from netaug.tasks.base import Task
from netaug.train.microbatches import Microbatch
from netaug.train.observers import Observer
from netaug.train.updates import Updates


@dataclass(frozen=True)
class Step:
    """Adds up the gradients of one update.

    Args:
        network: A supernet, or a plain network, which has the base pass alone.
        task: Computes the losses of labels.
        distillation: Adds what teachers contribute, if there are any.
        updates: Scales losses for fp16 and collects gradients.
        device: Where the network is.
        seed: Of dropout and other noise.
    """

    network: Network
    task: Task[Any, Any]
    distillation: DistillationLoss
    updates: Updates
    device: torch.device
    seed: int

    def add_gradients(
        self, step: int, progress: float, microbatches: Sequence[Microbatch], observers: Sequence[Observer]
    ) -> None:
        """Add the gradients of all passes over this process's microbatches to those of the parameters.

        Args:
            step: Number of the update in the run, from 0.
            progress: Fraction of the run that is done, in [0, 1).
            microbatches: Their fractions add up to 1 over all processes.
            observers: Called in this order.
        """
        for observer in observers:
            observer.on_step_start(step)
        order = {"wide_first": self.distillation.wide_first, "teacher": self.distillation.widest_teaches}
        for pass_ in self.network.passes(step, progress, **order):
            for observer in observers:
                observer.on_pass_start(pass_)
            for microbatch in microbatches:
                x, y = pass_.take(microbatch.images_NCHW, microbatch.targets)
                # Before each forward: noise then does not depend on what ran before, so a resumed step draws the same.
                seed_everything(self.device, self._noise_key(step, pass_, microbatch))
                with self.updates.precision(), torch.set_grad_enabled(pass_.weight > 0):
                    outputs = self.network(x)
                    losses = self.task.losses(outputs, y)
                    loss = self.distillation.loss(pass_.name, microbatch.number, outputs, y, losses.total)
                if (
                    pass_.weight > 0
                ):  # 0: for running statistics (netaug.base_pass false), or outputs that teach
                    self.updates.backward(loss, pass_.weight * microbatch.fraction)
                for observer in observers:
                    observer.on_microbatch(pass_, microbatch, outputs, y, losses, loss)
            for observer in observers:
                observer.on_pass_end(pass_)

    def _noise_key(self, step: int, pass_: Pass, microbatch: Microbatch) -> int:
        """Return the seed of dropout and other noise: it depends on what is computed, never on which process does."""
        later_draw = [pass_.number] if pass_.number else []
        return key(self.seed, "step", step, pass_.name, microbatch.number, *later_draw)
