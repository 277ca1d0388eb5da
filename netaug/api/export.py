"""`netaug.export`: a trained network as files for microcontrollers, phones and servers, checked and measured."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from netaug.api.evaluation import (
    TrainedNetwork,
    check_classes,
    detect_settings,
    evaluation_data,
    evaluation_settings,
    open_network,
)
from netaug.api.export_options import ExportOptions
from netaug.api.settings import words_of
from netaug.core.errors import ConfigError, ModelError, RunFolderError
from netaug.core.io import append_line, cannot_write
from netaug.core.whole_folder import is_taken, new_folder
from netaug.data import Data, build_data
from netaug.data.detection.loaders import BoxEvalLoader, BoxTrainLoader
from netaug.data.loading import EvalLoader, TrainLoader
from netaug.data.prepared import EvalBatches
from netaug.export.boards import Budget, show_size
from netaug.export.budget import MemoryNeed, largest_side, verdict
from netaug.export.conversion import Conversion
from netaug.export.delivery import deliver
from netaug.export.ladder import Ladder
from netaug.export.micro.need import need_at_side
from netaug.models.trial import check_fits
from netaug.report.ladder_page import EXPORTS, PAGE, write_ladder_page
from netaug.tasks.registry import choose_task, task_kind

_log = logging.getLogger("netaug")
_BATCH = 32
"""Images of a batch: all activations of a batch are in memory while the NumPy reference runs."""


@dataclass(frozen=True)
class Exported:
    """A written export.

    Args:
        folder: Has a folder per format, ``ladder.json`` and ``README.md``.
        ladder: What was measured.
    """

    folder: Path
    ladder: Ladder


def export(
    source: str | Path,
    to: str | Sequence[str] = ExportOptions.to,
    *,
    out: str | Path | None = None,
    resolution: int | None = None,
    calibrate: int = ExportOptions.calibrate,
    range: float | str = ExportOptions.range,
    check: int | str = ExportOptions.check,
    board: str | None = None,
    sram: str | None = None,
    flash: str | None = None,
    via: str | None = None,
    fetch: bool = False,
    trusted: Collection[str] = (),
    **settings: Any,
) -> Exported:
    """Write the network of a run folder or weights file in formats that other programs and devices read.

    Args:
        source: A run folder, whose own data calibrates and checks, or a weights file; then name the data in
            ``settings``.
        to: Formats: ``tflite-int8``, ``micro``, ``tflite``, ``onnx``, ``onnx-int8``, ``torch``, ``pte``.
        out: A new folder; ``NAME-export`` in the working directory by default.
        resolution: Height = width of the input in pixels; None is what the network was trained for.
        calibrate: Number of training images that the ranges of int8 are measured on, without augmentation.
        range: ``minmax``, or the percentage of values that a range has to hold.
        check: Number of evaluation images that all forms are measured on, or ``all``.
        board: A board of `netaug boards`: an int8 network that does not fit its memory is refused.
        sram: Memory for activations, such as ``256KB``; over the board's.
        flash: Memory for code and weights, such as ``1MB``; over the board's.
        via: ``litert`` has `.tflite` files written by Google's converter, which knows operators that ours refuses.
        fetch: Whether to make the environment that ``via`` or the format ``pte`` needs, if it is not there.
        trusted: Factories ``package.module:function`` of your own that the file may name; they are imported.
        **settings: As for :func:`netaug.evaluate`.

    Returns:
        The folder, and the accuracy and memory of every form.

    Raises:
        ExportError: The network cannot be exported, or a check fails; nothing is written then.
        ModelError: It does not fit the board; the message has the layer with the largest need, and what would fit.
        NetaugError: There is no network, its data cannot be read, or the folder exists.
    """
    options = ExportOptions(
        (to,) if isinstance(to, str) else tuple(to),
        resolution,
        calibrate,
        str(range),
        str(check),
        board,
        sram,
        flash,
        via,
        fetch,
    )
    given = words_of(settings)
    words = ["netaug", "export", str(source), *options.words(), *given]
    return run_export(Path(source), options, out, given, trusted, shlex.join(words))


def run_export(
    source: Path,
    options: ExportOptions,
    out: str | Path | None,
    given: Sequence[str],
    trusted: Collection[str],
    command: str,
) -> Exported:
    """Export as :func:`export` does; ``command`` is written into README.md, ``given`` are ``--group.key=value``."""
    target = (
        Path(out)
        if out is not None
        else Path(f"{source.absolute().name.removesuffix('.safetensors')}-export")
    )
    if is_taken(target):
        raise RunFolderError(
            f"'{target}' exists already; nothing is overwritten.",
            allowed="a new or an empty folder",
            fix="choose another with --out, or remove it yourself",
        )
    # float32 on the CPU: the forms are compared with it to 1e-4
    config = evaluation_settings(source, [*given, "--train.device=cpu"])
    conversion = conversion_of(open_network(source, config, trusted), options)
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        with new_folder(target.absolute(), "exporting") as place:
            ladder = deliver(conversion, options.to, place.filling, command)
            write_ladder_page(ladder.to_json(), conversion.card.name, command, place.filling / PAGE)
            place.publish()
    except BlockingIOError:
        raise RunFolderError(f"another process is exporting into '{target}'.", fix="wait for it") from None
    except OSError as error:
        raise cannot_write(target, error) from error
    if source.is_dir():
        _tell_run(source, target, command)
    return Exported(target, ladder)


def _tell_run(run: Path, target: Path, command: str) -> None:
    """Note the export in the run folder, whose page links to it."""
    # relative, so that both may move together
    entry = {"folder": os.path.relpath(target.absolute(), run.absolute()), "command": command}
    try:
        append_line(run / EXPORTS, json.dumps(entry))
    except OSError as error:
        _log.warning("the run's page will not link to the export: '%s' cannot be written (%s).", run, error)


def conversion_of(network: TrainedNetwork, options: ExportOptions) -> Conversion:
    """Return a network with the images that its export is calibrated and checked on.

    Raises:
        ConfigError: It is neither a classifier nor a detector, or a detector cannot have this side.
        ModelError: It does not take images of this resolution, or does not fit the memory.
        DataError: The data cannot be read, or has other classes.
    """
    card, config = network.card, network.config
    kind = task_kind(card.task)
    side = options.resolution or config.data.image_size or card.image_size
    kind.check_side("--resolution" if options.resolution else "data.image_size", side)
    example = torch.zeros(2, card.in_chans, side, side)
    check_fits(network.model, card.name, example, card.num_classes, kind.output_form())
    if options.budget is not None:
        _refuse_what_does_not_fit(network, side, options.budget)
    data = _images_of(network, side)
    train, val, count = data.train, data.val, options.images
    if isinstance(train, TrainLoader) and isinstance(val, EvalLoader):
        calibration: EvalBatches = train.unaugmented(val, options.calibrate)
        data = replace(data, val=val if count is None else val.evenly_spaced(count))
    elif isinstance(train, BoxTrainLoader) and isinstance(val, BoxEvalLoader):
        calibration = train.unaugmented(val, options.calibrate)
        chosen = val if count is None else val.evenly_spaced(count)
        data = replace(data, val=chosen, truth=chosen.split.annotations)
    else:
        raise ConfigError(
            f"netaug cannot export networks of the task {card.task!r}.",
            got=card.name,
            allowed="classifiers and detectors",
        )
    kind.check_data(data)
    return Conversion(
        network=network.model.eval(),
        card=replace(card, image_size=side),
        calibration=calibration,
        evaluation=data.val,
        task=choose_task(config, data),
        val_split=data.info.val_split,
        dataset=data.info.name,
        percentile=options.percentile,
        detect=config.detect if card.anchors else None,
        via=options.via,
        fetch=options.fetch,
    )


def _refuse_what_does_not_fit(network: TrainedNetwork, side: int, budget: Budget) -> None:
    """Raise ModelError, before anything is converted, for a network that needs more memory than there is."""
    card = network.card

    def need_at(side: int) -> MemoryNeed:
        task_kind(card.task).check_side("--resolution", side)
        return need_at_side(network.model, card.in_chans, side)

    need = need_at(side)
    if need.fits(budget):
        return
    smaller = largest_side(need_at, side, need, budget)
    fix = "train a narrower network"
    if smaller is not None:
        fix = f"--resolution {smaller[0]} needs {show_size(smaller[1].sram)} of SRAM; or {fix}"
    raise ModelError(
        f"the network '{card.name}' does not fit the memory it is exported for.",
        got=verdict(need, budget),
        fix=f"{fix} (`netaug inspect` says beforehand what fits)",
    )


def _images_of(network: TrainedNetwork, side: int) -> Data:
    """Return the images that a network was trained on and is evaluated on, all of them.

    Raises:
        DataError: They cannot be read, or have other classes.
    """
    card, config = network.card, network.config
    settings = replace(
        evaluation_data(config.data, card),
        image_size=side,
        eval_batch_size=_BATCH,
        limit=config.data.limit,
        shots=config.data.shots,
        cache="none",  # a few images of each split are read
    )
    data = build_data(
        settings,
        seed=config.train.seed,
        detect=detect_settings(config, card),
        crop_ratio=card.crop_ratio,
    )
    check_classes(card, data.info)
    return data
