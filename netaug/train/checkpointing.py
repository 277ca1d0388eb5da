"""Trains with checkpoints: all processes start from one state, and stop together after a signal.

Randomness is keyed by step, so there is nothing to replay when a run resumes: the sampler starts at the step. A signal
is only noted; the step is finished, a checkpoint written, and all processes leave: they decide from all-reduced flags.
"""

from __future__ import annotations

from typing import Any

from netaug.core.errors import CheckpointError, first_line
from netaug.core.signals import Stopped, StopRequests
from netaug.distributed.all_reduce import StepFlags
from netaug.runs.folder import RunFolder
from netaug.runs.records import EpochRecord
from netaug.runs.resume import check_same_data
from netaug.train.console import TrainingConsole
from netaug.train.journal import Journal
from netaug.train.metrics import Tally
from netaug.train.trainer import Trainer


def synchronize_trainers(trainer: Trainer, state: dict[str, Any] | None, folder: RunFolder) -> None:
    """Give the trainers of all processes the state of a checkpoint, or of rank 0's new trainer without one."""
    if state is not None:
        check_same_data(state["data"], trainer.data)
        _load(trainer, state, folder)
    elif trainer.world.size > 1:
        # The averaged weights are part of it too: each rank evaluates with its own.
        state = trainer.world.from_first(trainer.state_dict())
        if not trainer.world.first:
            _load(trainer, state, folder)


def _load(trainer: Trainer, state: dict[str, Any], folder: RunFolder) -> None:
    try:
        trainer.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint in '{folder.checkpoints}' does not fit the network of these settings.",
            got=first_line(error),
            fix="resume with the versions of netaug and of the model's library that wrote it",
        ) from error


def print_resume_step(
    trainer: Trainer, folder: RunFolder, console: TrainingConsole, *, started: bool
) -> None:
    """Print from which step a run resumes, and remove its summary, which is no longer true."""
    if not started:
        console.say("the run was stopped before its first checkpoint: it starts again")
        return
    folder.summary.unlink(missing_ok=True)
    console.start_at(trainer.steps_done)
    console.say(f"resumes after step {trainer.steps_done:,} of {trainer.total_steps:,}")


def train_to_end(trainer: Trainer, journal: Journal, until: int | None = None) -> list[EpochRecord]:
    """Train to the end, or until a process gets a signal; all processes decide the same, from all-reduced flags.

    With ``train.patience`` the end may come before ``train.epochs``: the first process, which has the records of all
    epochs, decides. ``until`` is the epoch at which a trial stops.
    """
    records, world = list[EpochRecord](), trainer.world

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

    def stalled() -> bool:
        return trainer.config.patience is not None and world.from_first(journal.stalled())

    with StopRequests() as stop:
        if stalled():  # it had ended early, and is resumed
            return records
        for record in trainer.fit(after_step, request):
            records.append(record)
            journal.epoch(trainer, record)
            # Between two steps there is no message with gradients that would carry the flags.
            signal = request().all_reduced(world, trainer.normalizer.device).signal
            done = record.epoch + 1
            if record.val_score is not None and trainer.result_is_plain:
                with world.raise_on_all_ranks():
                    journal.best(trainer.result, record)
            last = done in (trainer.config.epochs, until) or stalled()
            if last or done % trainer.config.checkpoint_every == 0 or signal is not None:
                with world.raise_on_all_ranks():
                    if trainer.result_is_plain:
                        journal.network(trainer.result, record)
                keep()  # last: everything that it counts as done is on disk
            if last:
                break
            if signal is not None:
                raise leave(signal)
    return records
