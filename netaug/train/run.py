"""One training run, from settings to a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from netaug.config import RunConfig
from netaug.data import Data, Normalizer, build_data
from netaug.data.batch import DataInfo
from netaug.profile import Profile, profile
from netaug.tasks import ClassificationTask
from netaug.train.build import build_model, build_network, check_trains, example_input, make_card
from netaug.train.console import TrainingConsole
from netaug.train.device import choose_device, set_up
from netaug.train.loop import EpochRecord, Trainer
from netaug.train.network import BaseOnly, Network
from netaug.train.runlog import RunFolder, refuse_existing


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: Its files.
        summary: As in ``summary.json``.
    """

    folder: RunFolder
    summary: dict[str, Any]


def train(config: RunConfig, out: Path) -> RunResult:
    """Train one network and write its run folder.

    Args:
        config: The run's settings.
        out: The run folder; new or empty. It is made once data and network are known to be good.

    Raises:
        NetaugError: Settings, data, network or folder cannot be used, or the loss stops being a number.
        KeyboardInterrupt: Ctrl-C; says what is saved and where.
    """
    refuse_existing(out)
    device = choose_device(config.train.device)
    set_up(device, config.train.threads)
    data = build_data(config.data, seed=config.train.seed, pin_memory=device.type == "cuda")
    model = build_model(config.model, data.info, config.train.seed)
    example = example_input(data.info)
    check_trains(model, config.model.name, example[: config.data.batch_size], data.info.num_classes)
    cost = profile(model, example)
    network = build_network(model, config, data.info)
    trainer = _trainer(network, data, config, device)
    folder = RunFolder.create(out, config, device)
    with TrainingConsole(config.train.epochs, len(data.train)) as console:
        _introduce(console, config, data.info, network, cost, out)
        records = _run(trainer, folder, config, data.info, console)
    summary = summarize(records, config, data.info, cost)
    folder.finish(summary)
    return RunResult(folder, summary)


def _trainer(network: Network, data: Data, config: RunConfig, device: torch.device) -> Trainer:
    last = config.train.channels_last
    network.to(device=device, memory_format=torch.channels_last if last else torch.contiguous_format)  # type: ignore[call-overload]
    normalizer = Normalizer(data.info.mean, data.info.std, device, last)
    task = ClassificationTask(config.train.label_smoothing)
    sort_until = config.netaug.width_until if config.netaug.sort else 0.0
    return Trainer(network, data, task, normalizer, config.train, sort_until)


def _run(
    trainer: Trainer, folder: RunFolder, config: RunConfig, info: DataInfo, console: TrainingConsole
) -> list[EpochRecord]:
    records = []
    try:
        for record in trainer.fit(console.step):
            records.append(record)
            folder.log(record)
            console.epoch(record)
            done = record.epoch + 1
            if done == config.train.epochs or done % config.train.checkpoint_every == 0:
                card = make_card(config.model, info, record.val_top1)
                folder.save(trainer.network, trainer.optimizer, config, card)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(folder.saved_so_far()) from None
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
