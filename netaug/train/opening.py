"""Opens a run folder for a training: a new one, or an unfinished one to resume in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from netaug.config import RunConfig
from netaug.config.loading import to_mapping
from netaug.core.lock import was_killed
from netaug.profile import Profile
from netaug.runs.folder import RunFolder, refuse_existing
from netaug.runs.records import EpochRecord
from netaug.runs.resume import check_same_run, data_record, notice_decoder
from netaug.train.checkpointing import print_resume_step, synchronize_trainers
from netaug.train.console import TrainingConsole, print_introduction
from netaug.train.journal import FolderJournal, Journal, NoJournal
from netaug.train.trackers import open_tracking
from netaug.train.trainer import Trainer


def resumes(config: RunConfig, folder: RunFolder, resume: bool) -> bool:
    """Return whether the folder has an unfinished run; one killed after its last write counts as unfinished."""
    finished = folder.summary.exists() and not was_killed(folder.path)
    if folder.config.is_file() and (resume or not finished):
        check_same_run(folder, config, extend=resume)
        notice_decoder(folder)
        return True
    refuse_existing(folder.path)
    return False


def open_run(
    shown: ExitStack,
    folder: RunFolder,
    config: RunConfig,
    trainer: Trainer,
    cost: Profile,
    resumed: bool,
    about: Sequence[str],
    console: TrainingConsole,
) -> tuple[Journal, list[EpochRecord]]:
    """Open the run folder and bring every process's trainer to rank 0's checkpoint; return the epochs before it."""
    world, data, device = trainer.world, trainer.data, trainer.normalizer.device
    records: list[EpochRecord] = []
    state: dict[str, Any] | None = None
    with world.raise_on_all_ranks():
        if world.first:
            shown.enter_context(console)
            print_introduction(console, config.model, trainer, cost, config.data.batch_size, about)
            console.say(f"run folder: {folder.path}")
            if resumed:
                records, state = folder.reopen()
            else:
                RunFolder.create(folder.path, config, device)
                if config.data.holdout > 0 and data.listing is not None:
                    folder.name_held_out([*map(os.fsdecode, data.listing.val.images.identities())])
    state = world.from_first(state)
    with world.raise_on_all_ranks():
        synchronize_trainers(trainer, state, folder)
    with world.raise_on_all_ranks():
        if not world.first:
            return NoJournal(), []
        if resumed:
            print_resume_step(trainer, folder, console, started=state is not None)
            folder.describe(config, device)
        settings, record = to_mapping(config), data_record(data)
        tracking = shown.enter_context(open_tracking(settings, folder.path, trainer, records))
        return FolderJournal(
            folder,
            settings,
            config.model,
            config.train,
            data.info,
            record,
            console,
            tracking,
            list(records),
        ), records
