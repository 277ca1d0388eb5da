"""Train a job of the search for a regime: its networks, its step, its teacher, and starts that compete."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import netaug
from benchmarks.regime_data import Batch, Batches
from benchmarks.regime_job import Job, splits
from benchmarks.regime_nets import build_network, layers_of_arm
from netaug.core.seeding import seeded
from netaug.reparameterize.training_layers import TrainingLayers
from netaug.train.starts import WINDOW, halve, rounds

CPU = torch.device("cpu")


def make_optimizer(network: nn.Module, job: Job) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, or AdamW; biases and norms are not decayed."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": job.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if job.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=job.lr, fused=True)
    return torch.optim.SGD(groups, lr=job.lr, momentum=0.9, nesterov=True, fused=True)


def learning_rate(job: Job, step: int, steps: int, warmup: int) -> float:
    """Return the rate at a step: linear warm-up over ``warmup`` steps, then a cosine to zero."""
    if step < warmup:
        return job.lr * (step + 1) / warmup
    return 0.5 * job.lr * (1 + float(np.cos(np.pi * (step - warmup) / max(1, steps - warmup))))


def update(
    supernet: netaug.Supernet | nn.Module,
    job: Job,
    batch: Batch,
    step: int,
    steps: int,
    teacher: Teacher | None = None,
) -> Tensor:
    """Add up the gradients of one step and return the base network's loss, without waiting for it."""
    images, labels = batch.images_NCHW, batch.labels_N
    cross_entropy = nn.CrossEntropyLoss(label_smoothing=job.smoothing)
    taught = None if teacher is None else teacher(batch)

    def loss_of(outputs: Tensor) -> Tensor:
        loss: Tensor = cross_entropy(outputs, labels)
        if taught is not None:
            loss = loss + job.distill * netaug.kd_loss(outputs, taught, temperature=job.temperature)
        return loss

    if not isinstance(supernet, netaug.Supernet):
        loss = loss_of(supernet(images))
        loss.backward()
        return loss.detach()
    wide, base_loss = None, images.new_zeros(())
    for pass_ in supernet.passes(step, progress=step / steps, wide_first=job.in_place > 0):
        outputs = supernet(images)
        loss = pass_.weight * loss_of(outputs)
        if pass_.name == "augmented":
            wide = outputs.detach()
        else:
            base_loss = loss.detach()
            if wide is not None and job.in_place:
                loss = loss + job.in_place * netaug.kd_loss(outputs, wide)
        loss.backward()
    return base_loss


@dataclass
class Training:
    """Hold a job that is being trained: its data, its networks and its position."""

    job: Job
    checkpoint: Path
    batches: Batches
    judge: Batches
    base: nn.Module
    supernet: nn.Module
    optimizer: torch.optim.Optimizer
    layers: TrainingLayers
    teacher: Teacher | None = None
    epoch: int = 0
    seconds: float = 0.0
    loss: float = 0.0

    @classmethod
    def start(cls, job: Job, root: Path, work: Path, device: torch.device = CPU, draw: int = 0) -> Training:
        """Build the networks of a job, with the state of its checkpoint in ``work`` if there is one.

        Args:
            job: What is trained.
            root: Pictures.
            work: Shrunk pictures, checkpoints and teachers.
            device: Where it is trained.
            draw: Of the first weights.
        """
        work.mkdir(parents=True, exist_ok=True)
        images, held = splits(job, root, work)
        flat = images.pixels_NHWC.float().flatten(0, 2)
        batches, judge = (
            Batches(
                split, flat.mean(0), flat.std(0), mirrors=not job.task.startswith("digits"), device=device
            )
            for split in (images, held)
        )
        with seeded(job.seed, "weights", *([draw] if draw else [])):
            network = build_network(**job.network, init=job.init).to(memory_format=torch.channels_last)
        layers = layers_of_arm(job.arm, job.seed)
        network = layers.wrap(network, (torch.zeros(2, 3, judge.side, judge.side),))
        supernet: nn.Module = network.to(memory_format=torch.channels_last)
        if job.arm == "netaug":
            settings = netaug.AugmentConfig(
                width=tuple(job.width),
                expand=tuple(job.expand),
                width_until=job.width_until,
                alpha=job.alpha,
                seed=job.seed,
            )
            supernet = netaug.augment(network, torch.zeros(2, 3, judge.side, judge.side), settings)
        supernet = supernet.to(device)
        base = supernet.base if isinstance(supernet, netaug.Supernet) else supernet
        optimizer = make_optimizer(supernet, job)
        teacher = teacher_of(job, root, work, batches)
        training = cls(
            job, work / f"{job.name}.pt", batches, judge, base, supernet, optimizer, layers, teacher
        )
        if training.checkpoint.exists():
            training.restore(torch.load(training.checkpoint, weights_only=True, map_location=device))
        return training

    def restore(self, saved: dict[str, Any]) -> None:
        """Resume from what :meth:`save` wrote."""
        self.supernet.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.epoch, self.seconds, self.loss = saved["epoch"], saved["seconds"], saved["loss"]

    def save(self) -> None:
        """Write the checkpoint in one stroke."""
        temporary = self.checkpoint.with_suffix(".tmp")
        states = {"network": self.supernet.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**states, "epoch": self.epoch, "seconds": self.seconds, "loss": self.loss}, temporary)
        temporary.replace(self.checkpoint)

    def run_epoch(self) -> None:
        """Train one epoch; in the first phase, hidden channels are sorted before it."""
        job, started = self.job, self.clock()
        losses = torch.zeros((), device=self.judge.device)
        per_epoch = len(self.batches.images.labels_N) // job.batch_size
        steps, warmup = per_epoch * job.epochs, per_epoch * max(1, job.epochs // 30)
        self.supernet.train()
        if isinstance(self.supernet, netaug.Supernet) and 0 < self.epoch < job.epochs * job.width_until:
            self.supernet.sort_channels(self.optimizer)
        for number, batch in enumerate(self.batches.training(job.seed, self.epoch, job.batch_size)):
            step = self.epoch * per_epoch + number
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(job, step, steps, warmup)
            self.optimizer.zero_grad()
            self.layers.on_step(self.base, step / steps)
            losses += update(self.supernet, job, batch, step, steps, self.teacher)
            self.optimizer.step()
        self.epoch, self.loss = self.epoch + 1, float(losses) / per_epoch
        self.seconds += self.clock() - started

    def clock(self) -> float:
        """Return seconds of the processor, or on another device of the clock on the wall."""
        return time.process_time() if self.judge.device.type == "cpu" else time.monotonic()


def best_start(job: Job, root: Path, work: Path, device: torch.device) -> Training:
    """Let draws of the first weights compete by their training loss, and return the winner, charged with their cost."""
    entered = [Training.start(job, root, work, device)]
    if entered[0].epoch:  # the checkpoint is that of a winner
        return entered[0]
    entered += [Training.start(job, root, work, device, draw) for draw in range(1, job.starts)]
    window = max(1, round(WINDOW * job.epochs))
    losses: list[list[float]] = [[] for _ in entered]

    def losses_at(draws: Sequence[int], end: int) -> Iterator[float]:
        for draw in draws:
            while entered[draw].epoch < end:
                entered[draw].run_epoch()
                losses[draw].append(entered[draw].loss)
            yield float(np.nan_to_num(np.mean(losses[draw][-window:]), nan=np.inf))

    best = 0
    for played in halve(range(len(entered)), rounds(job.starts, job.until, job.epochs), losses_at):
        best = played.kept[0]
    entered[best].seconds = sum(training.seconds for training in entered)
    return entered[best]


def run_to_end(training: Training) -> nn.Module:
    """Train to the end, saving about once a minute, and return the network that is kept."""
    last_saved = time.monotonic()
    while training.epoch < training.job.epochs:
        training.run_epoch()
        if time.monotonic() - last_saved > 60:
            training.save()
            last_saved = time.monotonic()
    training.layers.on_step(training.base, 1.0)
    return training.layers.finish(training.base)


class Teacher:
    """Give the teacher's logits for a batch.

    Args:
        network: In evaluation mode.
        table: Its logits for all variants of all images, ``[variants, classes]``; None computes them in each step.
    """

    def __init__(self, network: nn.Module, table: Tensor | None) -> None:
        self.network, self.table = network, table

    def __call__(self, batch: Batch) -> Tensor:
        """Return logits ``[N, classes]``."""
        if self.table is not None:
            return self.table[batch.variant_N]
        with torch.no_grad():
            logits: Tensor = self.network(batch.images_NCHW)
        return logits


def teacher_of(job: Job, root: Path, work: Path, batches: Batches) -> Teacher | None:
    """Return the teacher of a job, trained first by whichever process needs it first."""
    if not job.teacher:
        return None
    training = Training.start(Job(**{"task": job.task, **job.teacher}), root, work, batches.device)
    weights, table = work / f"{training.job.name}-weights.pt", work / f"{training.job.name}-logits.pt"
    with (work / f"{training.job.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not weights.exists():
            torch.save(run_to_end(training).state_dict(), weights)
            training.checkpoint.unlink(missing_ok=True)
        training.base.load_state_dict(torch.load(weights, weights_only=True, map_location=batches.device))
        network = training.base.eval().requires_grad_(False)
        if job.cached and not table.exists():
            with torch.no_grad():
                torch.save(torch.cat([network(images) for images in batches.variants()]), table)
    print(f"teacher: {training.judge.score(network):.2f}", flush=True)
    network.eval()
    if not job.cached:
        return Teacher(network, None)
    return Teacher(network, torch.load(table, weights_only=True, map_location=batches.device))
