"""`netaug.export`: a trained network as files for microcontrollers, phones and servers, checked and measured."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from netaug.api.evaluation import (
    TrainedNetwork,
    check_classes,
    evaluation_data,
    evaluation_settings,
    open_network,
)
from netaug.api.settings import words_of
from netaug.core.errors import ConfigError, RunFolderError
from netaug.core.io import cannot_write
from netaug.core.whole_folder import is_taken, new_folder
from netaug.data import build_data
from netaug.data.loading import EvalLoader
from netaug.export.comparison import Ladder
from netaug.export.conversion import Conversion
from netaug.export.delivery import deliver
from netaug.export.formats import find_format
from netaug.models.trial import check_fits
from netaug.tasks.registry import task_kind

_BATCH = 32
"""Images of a batch: all activations of a batch are in memory while the NumPy reference runs."""


@dataclass(frozen=True)
class ExportOptions:
    """How a network is exported.

    Args:
        to: Formats, as in :data:`netaug.export.formats.NAMES`.
        resolution: Height = width of the input in pixels; None is what the network was trained for.
        calibrate: Number of training images that the ranges of int8 are measured on.
        range: ``minmax``, or how much of the values a range has to hold, in percent, above 50 and up to 100.
        check: Number of evaluation images that all forms are measured on, or ``all``.

    Raises:
        ConfigError: A value is out of range.
    """

    to: tuple[str, ...] = ("tflite-int8", "micro")
    resolution: int | None = None
    calibrate: int = 512
    range: str = "minmax"
    check: str = "1000"

    def __post_init__(self) -> None:
        """Check the values."""
        for name in self.to:
            find_format(name)
        if not self.to:
            raise ConfigError("--to names no format.", fix="--to tflite-int8 micro")
        if self.calibrate < 1:
            raise ConfigError("--calibrate is out of range.", got=self.calibrate, allowed="at least 1 image")
        if self.resolution is not None and self.resolution < 1:
            raise ConfigError(
                "--resolution is out of range.", got=self.resolution, allowed="at least 1 pixel"
            )
        _ = self.percentile, self.images

    def words(self) -> list[str]:
        """Return the options of the command line that say the same."""
        side = [] if self.resolution is None else ["--resolution", str(self.resolution)]
        figures = ["--calibrate", str(self.calibrate), "--range", self.range, "--check", self.check]
        return ["--to", *self.to, *side, *figures]

    @property
    def percentile(self) -> float:
        """Return the percentile of ranges, in percent; raises ConfigError."""
        value = _number(self.range, 100.0 if self.range == "minmax" else None)
        if value is None or not 50 < value <= 100:
            raise ConfigError(
                "--range is out of range.",
                got=self.range,
                allowed="minmax, or a percentage above 50 up to 100",
            )
        return value

    @property
    def images(self) -> int | None:
        """Return the number of images to check on, None for all; raises ConfigError."""
        if self.check == "all":
            return None
        value = _number(self.check)
        if value is None or value < 1 or value != int(value):
            raise ConfigError(
                "--check is out of range.", got=self.check, allowed="a number of images, or all"
            )
        return int(value)


def _number(text: str, otherwise: float | None = None) -> float | None:
    try:
        return float(text)
    except ValueError:
        return otherwise


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
    trusted: Collection[str] = (),
    **settings: Any,
) -> Exported:
    """Write the network of a run folder or weights file in formats that other programs and devices read.

    Args:
        source: A run folder, whose own data calibrates and checks, or a weights file; then name the data in
            ``settings``.
        to: Formats: ``tflite-int8``, ``micro``, ``onnx``, ``onnx-int8``, ``torch``.
        out: A new folder; ``NAME-export`` in the working directory by default.
        resolution: Height = width of the input in pixels; None is what the network was trained for.
        calibrate: Number of training images that the ranges of int8 are measured on, without augmentation.
        range: ``minmax``, or the percentage of values that a range has to hold.
        check: Number of evaluation images that all forms are measured on, or ``all``.
        trusted: Factories ``package.module:function`` of your own that the file may name; they are imported.
        **settings: As for :func:`netaug.evaluate`.

    Returns:
        The folder, and the accuracy and memory of every form.

    Raises:
        ExportError: The network cannot be exported, or a check fails; nothing is written then.
        NetaugError: There is no network, its data cannot be read, or the folder exists.
    """
    options = ExportOptions(
        (to,) if isinstance(to, str) else tuple(to), resolution, calibrate, str(range), str(check)
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
            place.publish()
    except BlockingIOError:
        raise RunFolderError(f"another process is exporting into '{target}'.", fix="wait for it") from None
    except OSError as error:
        raise cannot_write(target, error) from error
    return Exported(target, ladder)


def conversion_of(network: TrainedNetwork, options: ExportOptions) -> Conversion:
    """Return a network with the images that its export is calibrated and checked on.

    Raises:
        ConfigError: It is not a classifier.
        ModelError: It does not take images of this resolution.
        DataError: The data cannot be read, or has other classes.
    """
    card, config = network.card, network.config
    if card.task != "classify":
        raise ConfigError(
            f"netaug cannot export networks of the task {card.task!r} yet.",
            got=card.name,
            allowed="classifiers",
        )
    side = options.resolution or config.data.image_size or card.image_size
    kind = task_kind(card.task)
    example = torch.zeros(2, card.in_chans, side, side)
    check_fits(network.model, card.name, example, card.num_classes, kind.output_form())
    settings = replace(
        evaluation_data(config.data, card),
        image_size=side,
        eval_batch_size=_BATCH,
        limit=config.data.limit,
        shots=config.data.shots,
        cache="none",  # a few images of each split are read
    )
    data = build_data(settings, seed=config.train.seed)
    check_classes(card, data.info)
    assert isinstance(data.val, EvalLoader), "classification data"
    images = options.images
    return Conversion(
        network=network.model.eval(),
        card=replace(card, image_size=side),
        calibration=data.labeled.unaugmented(data.val, options.calibrate),
        evaluation=data.val if images is None else data.val.evenly_spaced(images),
        val_split=data.info.val_split,
        dataset=data.info.name,
        percentile=options.percentile,
    )
