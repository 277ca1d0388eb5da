"""One training run, from settings to a run folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from netaug.config import RunConfig
from netaug.core.device import choose_device, set_up
from netaug.core.errors import CheckpointError, TrainingError, first_line
from netaug.core.lock import RunLock, was_killed
from netaug.core.signals import Stopped, StopRequests
from netaug.data import Data, Normalizer, build_data
from netaug.data.single_class import check_classes
from netaug.distill.distillation import Distillation, open_distillation
from netaug.distributed.all_reduce import StepFlags
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
from netaug.models.trial import check_trains
from netaug.profile import Profile, profile
from netaug.regularize.layers import put_regularizers
from netaug.regularize.mixing import make_mixer
from netaug.runs.folder import RunFolder, refuse_existing
from netaug.runs.records import EpochRecord
from netaug.runs.resume import check_same_data, check_same_run, data_record, notice_decoder
from netaug.tasks.registry import choose_task, task_kind
from netaug.train.augmenting import check_steps
from netaug.train.build import build_model, build_network, example_input
from netaug.train.compile import check_compiler, compile_base
from netaug.train.console import TrainingConsole, print_introduction, print_resume_step
from netaug.train.journal import FolderJournal, Journal, NoJournal, summarize
from netaug.train.metrics import Tally
from netaug.train.microbatches import Preparation
from netaug.train.optim import check_optimizer
from netaug.train.torch_errors import explained
from netaug.train.trackers import check_trackers, open_tracking
from netaug.train.trainer import Trainer


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: Its files.
        summary: As in ``summary.json``.
    """

    folder: RunFolder
    summary: dict[str, Any]


def train(config: RunConfig, out: Path, *, resume: bool = False, trusted: Collection[str] = ()) -> RunResult:
    """Train one network and write its run folder, or resume an unfinished run of the same settings there.

    Under torchrun or `srun` each process calls this, and all train the one network together; rank 0 alone writes.

    Args:
        config: The run's settings.
        out: The run folder. A new one is filled once data and network are known to be good.
        resume: Whether the user asked to resume; a finished run is then resumed too if it gets more epochs.
        trusted: Factories ``package.module:function`` that the weights files of teachers may name, beside the
            network's own.

    Raises:
        NetaugError: Settings, data, network or folder cannot be used, or the loss becomes non-finite; an error of one
            process is raised on all.
        Stopped: Ctrl-C, SIGTERM or SIGUSR1, after a checkpoint; says what is saved and where.
    """
    report = partial(report_of, config, resume)
    with (
        ends_with_launcher(),
        process_group(config.train.device, config.train.timeout_minutes, report) as world,
    ):
        return _train(config, RunFolder(out), resume, world, trusted)


def _train(
    config: RunConfig, folder: RunFolder, resume: bool, world: World, trusted: Collection[str]
) -> RunResult:
    with world.raise_on_all_ranks():
        resumed = world.first and _resumes(config, folder, resume)
        check_divides(world, config.data.batch_size, config.train.accumulate)
        check_trackers(config)
        check_optimizer(config.train, sorts=config.netaug.enabled and config.netaug.sort)
        device = choose_device(world.device(config.train.device))
        if config.train.sync_batchnorm:
            check_syncing(device)
        set_up(device, config.train.threads, config.train.deterministic)
    load = partial(build_data, seed=config.train.seed, pin_memory=device.type == "cuda", share=world.share)
    data = world.main_process_first(
        config.data.download, lambda: load(config.data, regularize=config.regularize, detect=config.detect)
    )
    check_data_alike(world, data)
    with world.raise_on_all_ranks():
        kind = task_kind(data.info.task)
        kind.check_settings(config)
        kind.check_training_data(data)
        kind.check_data(data)
        check_classes(data, limited=config.data.limit is not None)
        model = build_model(config.model, data.info, config.train.seed)
        example = example_input(data.info)
        batch = config.data.batch_size // world.size
        check_trains(model, config.model.name, example[:batch], data.info.num_classes, kind.output_form())
        cost = profile(model, example)
        network = build_network(model, config, data.info)
        placed = put_regularizers(network.base, example, config.regularize)
        normalizer = Normalizer(data.info.mean, data.info.std, device, config.train.channels_last)
    check_network_alike(world, network, config.model.name, cost)
    distillation = open_distillation(config, data, normalizer, world, trusted)
    check_teacher_alike(world, distillation.hash)
    with world.raise_on_all_ranks():
        trainer = _trainer(network, data, config, normalizer, world, distillation)
        check_steps(network, trainer.total_steps)
    with ExitStack() as lock:
        with world.raise_on_all_ranks():
            if world.first:
                lock.enter_context(RunLock(folder.path))
        with ExitStack() as shown:
            about = [*distillation.about, *(f"regularizer: {one}" for one in placed)]
            journal, records = _begin(shown, folder, config, trainer, cost, resumed, about)
            try:
                with explained(config.train, config.data.batch_size):
                    records += _run(trainer, journal, config)
            except TrainingError as error:
                raise folder.with_last_checkpoint(error) from error
        summary = world.from_first(summarize(records, config, trainer, cost) if world.first else {})
        summary |= distillation.summary()
        if world.first:
            folder.finish(summary)
    if world.first:
        distillation.check_student(summary["val_top1"])
    return RunResult(folder, summary)


def _resumes(config: RunConfig, folder: RunFolder, resume: bool) -> bool:
    """Return whether the folder has an unfinished run; one killed after its last write counts as unfinished."""
    finished = folder.summary.exists() and not was_killed(folder.path)
    if folder.config.is_file() and (resume or not finished):
        check_same_run(folder, config, asked=resume)
        notice_decoder(folder)
        return True
    refuse_existing(folder.path)
    return False


def _begin(
    shown: ExitStack,
    folder: RunFolder,
    config: RunConfig,
    trainer: Trainer,
    cost: Profile,
    resumed: bool,
    about: Sequence[str],
) -> tuple[Journal, list[EpochRecord]]:
    """Open the run folder and bring every process's trainer to rank 0's checkpoint; return the epochs before it."""
    world, data = trainer.world, trainer.data
    records: list[EpochRecord] = []
    state: dict[str, Any] | None = None
    with world.raise_on_all_ranks():
        if world.first:
            console = shown.enter_context(TrainingConsole(config.train.epochs, len(trainer.data.train)))
            print_introduction(console, config, trainer, cost, folder.path, about)
            if resumed:
                records, state = folder.reopen()
            else:
                RunFolder.create(folder.path, config, trainer.normalizer.device)
    state = world.from_first(state)
    with world.raise_on_all_ranks():
        if state is not None:
            check_same_data(state["data"], data)
            _load(trainer, state, folder)
        elif world.size > 1:
            state = world.from_first(
                trainer.state_dict()
            )  # averaged weights too: each rank evaluates with its own
            if not world.first:
                _load(trainer, state, folder)
    with world.raise_on_all_ranks():
        if not world.first:
            return NoJournal(), []
        if resumed:
            print_resume_step(trainer, folder, console, started=state is not None)
            folder.describe(config, trainer.normalizer.device)
        tracking = shown.enter_context(open_tracking(config, folder.path, trainer, records))
        journal = FolderJournal(folder, config, data.info, data_record(data), console, tracking)
    return journal, records


def _load(trainer: Trainer, state: dict[str, Any], folder: RunFolder) -> None:
    try:
        trainer.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint in '{folder.checkpoints}' does not fit the network of these settings.",
            got=first_line(error),
            fix="resume with the versions of netaug and of the model's library that wrote it",
        ) from error


def _trainer(
    network: Network,
    data: Data,
    config: RunConfig,
    normalizer: Normalizer,
    world: World,
    distillation: Distillation,
) -> Trainer:
    device = normalizer.device
    network.to(device=device, memory_format=normalizer.memory_format)  # type: ignore[call-overload]
    if config.train.sync_batchnorm:
        synchronize(network.base, world)
    if config.train.compile:
        check_compiler(device)
        compile_base(network.base)
    task = choose_task(config, data)
    mixer = make_mixer(config.regularize, data.info.num_classes, config.train.seed)
    preparation = Preparation(mixer, distillation.loss, distillation.macs, distillation.hash)
    return Trainer(network, data, task, normalizer, config.train, config.netaug.sort, world, preparation)


def _run(trainer: Trainer, journal: Journal, config: RunConfig) -> list[EpochRecord]:
    """Train to the end, or until a process gets a signal; all processes decide the same, from all-reduced flags."""
    records, world = [], trainer.world

    def request() -> StepFlags:
        return StepFlags(save=journal.due(), signal=stop.signal)

    def keep() -> None:
        state = trainer.state_dict()
        with world.raise_on_all_ranks():
            journal.checkpoint(state)

    def leave(signal_number: int) -> Stopped:
        return Stopped(journal.saved_so_far(), signal_number, loud=world.first)

    def after_step(epoch: int, done: int, tally: Tally) -> None:
        journal.step(trainer, epoch, done, tally)
        flags = trainer.flags
        if flags.save or flags.signal is not None:
            keep()
        if flags.signal is not None:
            raise leave(flags.signal)

    with StopRequests() as stop:
        for record in trainer.fit(after_step, request):
            records.append(record)
            journal.epoch(trainer, record)
            signal = request().all_reduced(world, trainer.normalizer.device).signal
            done = record.epoch + 1
            last = done == config.train.epochs
            if last or done % config.train.checkpoint_every == 0 or signal is not None:
                with world.raise_on_all_ranks():
                    journal.network(trainer.result, record)
                keep()  # last: everything that it counts as done is on disk
            if signal is not None and not last:
                raise leave(signal)
    return records
