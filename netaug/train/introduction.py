"""What a run says of itself before its first step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netaug.config import RunConfig
from netaug.elastic.passes import smaller_side
from netaug.elastic.plain_network import BaseOnly
from netaug.profile import Profile
from netaug.runs.folder import RunFolder
from netaug.train.console import TrainingConsole
from netaug.train.trainer import Trainer


def introduce(
    console: TrainingConsole,
    config: RunConfig,
    trainer: Trainer,
    cost: Profile,
    out: Path,
    about: Sequence[str],
) -> None:
    """Say what is trained, on what, and where to."""
    info, network, world = trainer.data.info, trainer.network, trainer.world
    console.say(
        f"{config.model.name}: {cost.params:,} parameters, {cost.macs:,} MACs at "
        f"{info.in_chans}x{info.image_size}x{info.image_size}"
    )
    console.say(
        f"{info.name}: {info.train_size:,} training images, {info.val_size:,} in {info.val_split}, "
        f"{info.num_classes} classes"
    )
    if info.anchors:
        anchors = ", ".join(f"{width:.0f}x{height:.0f}" for width, height in info.anchors)
        console.say(f"anchors in pixels of the input: {anchors}")
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
        if network.config.resolution < 1:
            side = smaller_side(info.image_size, network.config.resolution)
            console.say(f"augmented passes see images of {side}x{side} pixels")
    if config.regularize.about_images:
        console.say(f"regularizers of images: {config.regularize.about_images}")
    for line in about:
        console.say(line)
    if world.size > 1:
        share = config.data.batch_size // world.size
        console.say(
            f"{world.size} processes with {share} of the {config.data.batch_size} images of each step"
        )
    console.say(f"run folder: {out}")


def say_where(trainer: Trainer, folder: RunFolder, console: TrainingConsole, *, started: bool) -> None:
    """Say from which step a run goes on; its summary is no longer true."""
    if not started:
        console.say("goes on with a run that was stopped before its first checkpoint: starts anew")
        return
    folder.summary.unlink(missing_ok=True)
    console.start_at(trainer.steps_done)
    console.say(f"goes on after step {trainer.steps_done:,} of {trainer.total_steps:,}")
