"""How a network is exported: what the command line and `netaug.export` take, checked."""

from __future__ import annotations

from dataclasses import dataclass

from netaug.core.errors import ConfigError
from netaug.export.boards import Budget, budget_of
from netaug.export.formats import check_via, find_format


@dataclass(frozen=True)
class ExportOptions:
    """How a network is exported.

    Args:
        to: Formats, as in :data:`netaug.export.formats.NAMES`.
        resolution: Height = width of the input in pixels; None is what the network was trained for.
        calibrate: Number of training images that the ranges of int8 are measured on.
        range: ``minmax``, or how much of the values a range has to hold, in percent, above 50 and up to 100.
        check: Number of evaluation images that all forms are measured on, or ``all``.
        board: A board of :func:`netaug.export.boards.boards`, whose memory the network must fit.
        sram: Memory for activations, such as ``256KB``; over the board's.
        flash: Memory for code and weights, such as ``1MB``; over the board's.
        via: ``litert`` has `.tflite` files written by Google's converter in place of ours.
        fetch: Whether the packages of other converters may be fetched, into environments of their own.

    Raises:
        ConfigError: A value is out of range.
    """

    to: tuple[str, ...] = ("tflite-int8", "micro")
    resolution: int | None = None
    calibrate: int = 512
    range: str = "minmax"
    check: str = "1000"
    board: str | None = None
    sram: str | None = None
    flash: str | None = None
    via: str | None = None
    fetch: bool = False

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
        check_via(self.via, self.to)
        _ = self.percentile, self.images, self.budget

    def words(self) -> list[str]:
        """Return the options of the command line that say the same."""
        side = [] if self.resolution is None else ["--resolution", str(self.resolution)]
        figures = ["--calibrate", str(self.calibrate), "--range", self.range, "--check", self.check]
        further = {"--board": self.board, "--sram": self.sram, "--flash": self.flash, "--via": self.via}
        given = [word for pair in further.items() if pair[1] is not None for word in pair if word]
        return ["--to", *self.to, *side, *figures, *given, *["--fetch"][: self.fetch]]

    @property
    def budget(self) -> Budget | None:
        """Return the memory that the network must fit, None if any will do; raises ConfigError."""
        return budget_of(self.board, self.sram, self.flash)

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
