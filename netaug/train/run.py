"""Trains one network, from settings to a run folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from netaug.config import RunConfig
from netaug.config.loading import with_values
from netaug.core.consoles import SafeConsole
from netaug.core.device import choose_device, set_up
from netaug.core.errors import TrainingError
from netaug.core.lock import RunLock
from netaug.data import Data, Normalizer, build_data
from netaug.data.registry import find_dataset
from netaug.data.single_class import check_classes
from netaug.distill.cache_check import AugmentedImages
from netaug.distill.distillation import Distillation, open_distillation
from netaug.distributed.consistency import (
    check_data_alike,
    check_network_alike,
    check_teacher_alike,
    report_of,
)
from netaug.distributed.launcher_watch import ends_with_launcher
from netaug.distributed.process_group import process_group
from netaug.distributed.sync_batchnorm import check_syncing, synchronize
from netaug.distributed.world import World, check_divides
from netaug.elastic.plain_network import Network
from netaug.models import check_name
from netaug.models.trial import check_trains
from netaug.profile import Profile, profile
from netaug.regularize.layers import put_regularizers
from netaug.regularize.mixing import make_mixer
from netaug.reparameterize.training_layers import TrainingLayers, training_layers
from netaug.runs.folder import RunFolder
from netaug.runs.resume import as_started
from netaug.tasks.registry import choose_task, task_kind
from netaug.train.build import build_model, build_network, check_steps, example_input
from netaug.train.checkpointing import train_to_end
from netaug.train.compile import check_compiler, compile_base
from netaug.train.console import TrainingConsole
from netaug.train.diagnostics import regularizers_of
from netaug.train.journal import summarize
from netaug.train.microbatches import Preparation
from netaug.train.opening import open_run, resumes
from netaug.train.optim import check_optimizer
from netaug.train.own_teacher import cost_with_teacher, train_own_teacher, with_teacher_folder
from netaug.train.starts import Loaded, choose_start, cost_with_starts, seed_of_weights, with_chosen_start
from netaug.train.threads import set_threads
from netaug.train.torch_errors import explained
from netaug.train.trackers import check_trackers
from netaug.train.trainer import Trainer


@dataclass(frozen=True)
class RunResult:
    """Holds a finished run.

    Args:
        folder: Its files.
        summary: As in ``summary.json``.
    """

    folder: RunFolder
    summary: dict[str, Any]


def train(
    config: RunConfig,
    out: Path,
    *,
    resume: bool = False,
    trusted: Collection[str] = (),
    until: int | None = None,
    loaded: Loaded | None = None,
) -> RunResult:
    """Train one network and write its run folder, or resume an unfinished run of the same settings there.

    Under torchrun or `srun` each process calls this, and all train the one network together; rank 0 alone writes.

    Args:
        config: The run's settings.
        out: The run folder. A new one is filled once data and network are known to be good.
        resume: Whether the user asked to resume; a finished run is then resumed too if it gets more epochs.
        trusted: Factories ``package.module:function`` that the weights files of teachers may name, beside the
            network's own.
        until: Epoch at which a trial stops, with a checkpoint from which the training can resume; it prints nothing.
        loaded: Where the first of several trials leaves the data for those that follow.

    Raises:
        NetaugError: Settings, data, network or folder cannot be used, or the loss becomes non-finite; an error of one
            process is raised on all.
        Stopped: Ctrl-C, SIGTERM or SIGUSR1, after a checkpoint; says what is saved and where.
    """
    train_own_teacher(config, out, lambda settings, folder: train(settings, folder, trusted=trusted))
    loaded = Loaded() if loaded is None else loaded

    def trial(settings: RunConfig, folder: Path, end: int) -> None:
        train(settings, folder, trusted=trusted, until=end, loaded=loaded)

    choose_start(config, out, trial)
    report = partial(report_of, config, resume)
    with (
        ends_with_launcher(),
        process_group(config.train.device, config.train.timeout_minutes, report) as world,
    ):
        return _train(config, RunFolder(out), resume, world, trusted, until, loaded)


def _train(
    config: RunConfig,
    folder: RunFolder,
    resume: bool,
    world: World,
    trusted: Collection[str],
    until: int | None,
    loaded: Loaded,
) -> RunResult:
    with world.raise_on_all_ranks():
        # What may fail on one rank stands in such a block: raised there alone, the others would wait for it forever.
        older = as_started(folder, config) if world.first and folder.config.is_file() else {}
    config = with_values(config, world.from_first(older))
    with world.raise_on_all_ranks():
        resumed = world.first and resumes(config, folder, resume)
        device = _prepare_process(config, world)
    data = loaded.of(config) or loaded.keep(config, _load_data(config, device, world))
    with world.raise_on_all_ranks():
        built = _build(with_chosen_start(config, folder.path), data, device, world)
    check_network_alike(world, built.network, config.model.name, built.cost)
    set_threads(config, built.network.base, data.info, built.cost, folder if resumed else None, device, world)
    distillation = _open_distillation(
        with_teacher_folder(config, folder.path), data, built.normalizer, world, trusted
    )
    check_teacher_alike(world, distillation.hash)
    with world.raise_on_all_ranks():
        trainer = _trainer(config, data, built, world, distillation)
        check_steps(trainer.network, trainer.total_steps)
    with ExitStack() as lock:
        with world.raise_on_all_ranks():
            if world.first:
                lock.enter_context(RunLock(folder.path))
        with ExitStack() as shown:
            about = [*_about_regularizers(config), *distillation.about, *built.about]
            target = None if until is None else SafeConsole(quiet=True)
            console = TrainingConsole(config.train.epochs, len(data.train), target)
            journal, records = open_run(shown, folder, config, trainer, built.cost, resumed, about, console)
            try:
                with explained(config.train, config.data.batch_size):
                    records += train_to_end(trainer, journal, until)
            except TrainingError as error:
                raise folder.with_last_checkpoint(error) from error
        if until is not None:
            return RunResult(folder, {})
        holding = regularizers_of(config.train, config.data.augment, config.regularize, trainer.network.base)
        summary = world.from_first(summarize(records, trainer, built.cost, holding) if world.first else {})
        summary |= distillation.summary()
        summary |= cost_with_teacher(config, folder.path, summary)
        summary |= cost_with_starts(folder.path, summary)
        if world.first:
            folder.finish(summary)
    if world.first:
        distillation.check_student(summary["val_top1"])
    return RunResult(folder, summary)


def _prepare_process(config: RunConfig, world: World) -> torch.device:
    """Refuse settings that cannot work, before any time is spent; return the device, with threads and kernels set."""
    check_name(config.model.name)  # names first: all else imports much more
    find_dataset(config.data.name)
    check_divides(world, config.data.batch_size, config.microbatches, most=config.data.norm_batch)
    check_trackers(config.train)
    check_optimizer(config.train, sorts=config.netaug.enabled and config.netaug.sort)
    device = choose_device(world.device(config.train.device))
    if config.train.sync_batchnorm:
        check_syncing(device)
    set_up(device, config.train.threads, config.train.deterministic)
    return device


def _load_data(config: RunConfig, device: torch.device, world: World) -> Data:
    """Load and check the data on all processes; what has to be downloaded is loaded by the main process first."""

    def load() -> Data:
        return build_data(
            config.data,
            seed=config.train.seed,
            pin_memory=device.type == "cuda",
            share=world.share,
            regularize=config.regularize,
            detect=config.detect,
        )

    data = world.main_process_first(config.data.download, load)
    check_data_alike(world, data)
    with world.raise_on_all_ranks():
        kind = task_kind(data.info.task)
        kind.check_settings(config)
        kind.check_training_data(data)
        kind.check_data(data)
        check_classes(data, limited=config.data.limit is not None)
    return data


@dataclass(frozen=True)
class _Built:
    """Holds what is trained, still on the CPU.

    Args:
        network: With its regularizers.
        cost: Of the base network.
        normalizer: Knows the device.
        about: Lines that say where layers were added.
        layers: Those that the network has during its training alone.
    """

    network: Network
    cost: Profile
    normalizer: Normalizer
    about: list[str]
    layers: TrainingLayers


def _build(config: RunConfig, data: Data, device: torch.device, world: World) -> _Built:
    seed = seed_of_weights(config)
    model = build_model(config.model, data.info, seed)
    example = example_input(data.info)
    batch = config.data.batch_size // world.size
    outputs = task_kind(data.info.task).output_form()
    check_trains(model, config.model.name, example[:batch], data.info.num_classes, outputs)
    cost = profile(
        model, example
    )  # before regularizers are put in: they are not part of the network that is saved
    train = config.train
    layers = training_layers(config.reparameterize, config.deepen, seed)
    network = build_network(
        model, config.model, config.netaug, data.info, seed=seed, frozen=train.freeze, layers=layers
    )
    about = layers.about(network.base)
    places = put_regularizers(network.base, example, config.regularize)
    normalizer = Normalizer(data.info.mean, data.info.std, device, train.channels_last)
    return _Built(network, cost, normalizer, [*about, *(f"regularizer: {place}" for place in places)], layers)


def _open_distillation(
    config: RunConfig, data: Data, normalizer: Normalizer, world: World, trusted: Collection[str]
) -> Distillation:
    seed = config.train.seed
    return open_distillation(
        config.distill,
        data,
        normalizer,
        AugmentedImages.of(config.data, config.regularize, seed=seed, epochs=config.train.epochs),
        augmented=config.netaug.enabled,
        seed=seed,
        world=world,
        trusted={config.model.name, *trusted},
    )


def _about_regularizers(config: RunConfig) -> Iterator[str]:
    if config.regularize.about_images:
        yield f"regularizers of images: {config.regularize.about_images}"


def _trainer(
    config: RunConfig, data: Data, built: _Built, world: World, distillation: Distillation
) -> Trainer:
    network, normalizer = built.network, built.normalizer
    network.to(device=normalizer.device, memory_format=normalizer.memory_format)  # type: ignore[call-overload]
    if config.train.sync_batchnorm:
        synchronize(network.base, world)
    if config.train.compile:
        check_compiler(normalizer.device)
        compile_base(network.base)
    task = choose_task(config, data)
    mixer = make_mixer(config.regularize, data.info.num_classes, config.train.seed)
    preparation = Preparation(mixer, distillation.loss, distillation.macs, distillation.hash)
    settings, sorts = replace(config.train, accumulate=config.microbatches), config.netaug.sort
    return Trainer(network, data, task, normalizer, settings, sorts, world, preparation, built.layers)
