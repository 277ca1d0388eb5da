"""One training run, from settings to a run folder."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from netaug.config import RunConfig
from netaug.data import Data, Normalizer, build_data
from netaug.data.batch import DataInfo
from netaug.errors import CheckpointError, first_line
from netaug.profile import Profile, profile
from netaug.tasks import ClassificationTask
from netaug.train.build import build_model, build_network, check_trains, example_input, make_card
from netaug.train.compiling import check_compiler, compile_base
from netaug.train.console import TrainingConsole
from netaug.train.device import choose_device, set_up
from netaug.train.lock import RunLock
from netaug.train.loop import EpochRecord, Tally, Trainer
from netaug.train.network import BaseOnly, Network
from netaug.train.optim import check_optimizer
from netaug.train.resume import check_same_data, check_same_run, fingerprint
from netaug.train.runlog import RunFolder, refuse_existing
from netaug.train.stopping import Stopped, StopRequests
from netaug.train.tracking import Tracking, check_trackers, open_tracking


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: Its files.
        summary: As in ``summary.json``.
    """

    folder: RunFolder
    summary: dict[str, Any]


def train(config: RunConfig, out: Path, *, resume: bool = False) -> RunResult:
    """Train one network and write its run folder, or go on with an unfinished run of the same settings there.

    Args:
        config: The run's settings.
        out: The run folder. A new one is filled once data and network are known to be good.
        resume: Whether going on is what was asked for; a finished run then goes on too if it gets more epochs.

    Raises:
        NetaugError: Settings, data, network or folder cannot be used, or the loss stops being a number.
        Stopped: Ctrl-C, SIGTERM or SIGUSR1, after a checkpoint; says what is saved and where.
    """
    folder = RunFolder(out)
    goes_on = folder.config.is_file() and (resume or not folder.summary.exists())
    if goes_on:
        check_same_run(folder, config, asked=resume)
    else:
        refuse_existing(out)
    check_trackers(config)
    check_optimizer(config.train, sorts=config.netaug.enabled and config.netaug.sort)
    device = choose_device(config.train.device)
    set_up(device, config.train.threads, config.train.deterministic)
    data = build_data(config.data, seed=config.train.seed, pin_memory=device.type == "cuda")
    model = build_model(config.model, data.info, config.train.seed)
    example = example_input(data.info)
    check_trains(model, config.model.name, example[: config.data.batch_size], data.info.num_classes)
    cost = profile(model, example)
    network = build_network(model, config, data.info)
    trainer = _trainer(network, data, config, device)
    with RunLock(out):
        with TrainingConsole(config.train.epochs, len(data.train)) as console:
            _introduce(console, config, data.info, network, cost, out)
            if goes_on:
                records = _reopen(folder, trainer, data.info, console)
                folder.reconfigure(config)
            else:
                records = []
                folder = RunFolder.create(out, config, device)
            with open_tracking(config, out, trainer, records) as tracking:
                records += _run(trainer, folder, config, data.info, console, tracking)
        summary = summarize(records, config, data.info, cost)
        folder.finish(summary)
    return RunResult(folder, summary)


def _reopen(
    folder: RunFolder, trainer: Trainer, info: DataInfo, console: TrainingConsole
) -> list[EpochRecord]:
    """Put the trainer where the newest checkpoint is; the epochs that were finished then."""
    records, content = folder.reopen()
    if content is None:
        console.say("goes on with a run that was stopped before its first checkpoint: starts anew")
        return []
    check_same_data(content["data"], info)
    try:
        trainer.load_state_dict(content)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint in '{folder.checkpoints}' does not fit the network of these settings.",
            got=first_line(error),
            fix="go on with the versions of netaug and of the model's library that wrote it",
        ) from error
    folder.summary.unlink(missing_ok=True)
    console.start_at(trainer.steps_done)
    console.say(f"goes on after step {trainer.steps_done:,} of {trainer.total_steps:,}")
    return records


def _trainer(network: Network, data: Data, config: RunConfig, device: torch.device) -> Trainer:
    last = config.train.channels_last
    network.to(device=device, memory_format=torch.channels_last if last else torch.contiguous_format)  # type: ignore[call-overload]
    if config.train.compile:
        check_compiler(device)
        compile_base(network.base)
    normalizer = Normalizer(data.info.mean, data.info.std, device, last)
    task = ClassificationTask.of(config.train.label_smoothing, data.info)
    sort_until = config.netaug.width_until if config.netaug.sort else 0.0
    return Trainer(network, data, task, normalizer, config.train, sort_until)


def _run(
    trainer: Trainer,
    folder: RunFolder,
    config: RunConfig,
    info: DataInfo,
    console: TrainingConsole,
    tracking: Tracking,
) -> list[EpochRecord]:
    records = []
    seconds = math.inf if config.train.checkpoint_minutes is None else 60 * config.train.checkpoint_minutes
    clock = time.monotonic()
    mark = fingerprint(info)

    def after_step(epoch: int, done: int, tally: Tally) -> None:
        nonlocal clock
        console.step(epoch, done, tally)
        tracking.step(trainer, tally)
        if stop.signal is not None or time.monotonic() - clock >= seconds:
            folder.save(trainer.state_dict(), config, mark)
            clock = time.monotonic()
        if stop.signal is not None:
            raise Stopped(folder.saved_so_far(), stop.signal)

    with StopRequests() as stop:
        for record in trainer.fit(after_step):
            records.append(record)
            folder.log(record)
            console.epoch(record)
            tracking.epoch(trainer.steps_done, record)
            done = record.epoch + 1
            last = done == config.train.epochs
            if last or done % config.train.checkpoint_every == 0 or stop.signal is not None:
                folder.save_network(trainer.result, make_card(config.model, info, record.val_top1))
                folder.save(trainer.state_dict(), config, mark)  # last: what it counts as done is written
            if stop.signal is not None and not last:
                raise Stopped(folder.saved_so_far(), stop.signal)
    return records


def summarize(
    records: Sequence[EpochRecord], config: RunConfig, info: DataInfo, cost: Profile
) -> dict[str, Any]:
    """The content of ``summary.json``: the last epoch's metrics, and totals."""
    last = records[-1]
    return {
        "epochs": len(records),
        "steps": sum(record.steps for record in records),
        "val_top1": last.val_top1,
        "val_loss": last.val_loss,
        "val_mean_per_class": last.val_mean_per_class,
        "train_top1": last.train_top1,
        "train_loss": last.train_loss,
        "train_seconds": sum(record.seconds for record in records),
        "val_seconds": sum(record.val_seconds for record in records),
        "train_macs": sum(record.train_macs for record in records),
        "params": cost.params,
        "macs": cost.macs,
        "val_split": info.val_split,
        "seed": config.train.seed,
        "arm": "netaug" if config.netaug.enabled else "baseline",
    }


def _introduce(
    console: TrainingConsole, config: RunConfig, info: DataInfo, network: Network, cost: Profile, out: Path
) -> None:
    console.say(
        f"{config.model.name}: {cost.params:,} parameters, {cost.macs:,} MACs at "
        f"{info.in_chans}x{info.image_size}x{info.image_size}"
    )
    console.say(
        f"{info.name}: {info.train_size:,} training images, {info.val_size:,} in {info.val_split}, "
        f"{info.num_classes} classes"
    )
    if config.model.weights is not None:
        but = ", with a new classifier" if config.model.new_head else ""
        console.say(f"starts from the weights of {config.model.weights}{but}")
    if isinstance(network, BaseOnly):
        console.say("NetAug off: the baseline")
    else:
        widening = [group for group in network.groups.values() if group.most > group.base]
        widest = network.macs({group.name: group.most for group in widening})
        console.say(
            f"NetAug: {len(widening)} of {len(network.groups)} width groups widen; the widest network has "
            f"{widest / cost.macs:.1f}x the MACs"
        )
    console.say(f"run folder: {out}")
