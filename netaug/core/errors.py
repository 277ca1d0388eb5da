"""Messages a user can act on: where, what arrived, what is allowed, how to fix."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


class NetaugError(Exception):
    """A mistake that the user can fix; the command line prints it without a traceback and exits with 2.

    Args:
        where: What is wrong and where, one sentence.
        got: What arrived.
        allowed: What would have been accepted.
        fix: The next action.

    Attributes:
        loud: Whether this process, one of several that train together, is the one to print it; None: they have not
            agreed on one.
    """

    loud: bool | None = None

    def __init__(
        self, where: str, *, got: object = None, allowed: object = None, fix: str | None = None
    ) -> None:
        self.where, self.got, self.allowed, self.fix = where, got, allowed, fix
        rows = [("got", got), ("allowed", allowed), ("fix", fix)]
        lines = [where, *(f"  {name + ':':<9}{value}" for name, value in rows if value is not None)]
        super().__init__("\n".join(lines))

    def report(self) -> str:
        """Return the message with its kind in front, as the command line prints it."""
        return f"{type(self).__name__}: {self}"


class ConfigError(NetaugError):
    """A setting, recipe or command-line key is wrong."""


class DataError(NetaugError):
    """A dataset, folder or image cannot be used."""


class NoEvaluationImagesError(DataError):
    """A dataset has training images alone; with ``data.holdout`` some of them are held out for evaluation."""


class ModelError(NetaugError):
    """A model cannot be found, built or fed."""


class UntrustedNetworkError(ModelError):
    """A file names a factory whose code the user has not named on this command line, so it is not imported.

    Attributes:
        confirm: The words that name it there, such as ``--model.name mynets:build``.
    """

    confirm: str = ""

    def with_command(self, arguments: Sequence[str]) -> UntrustedNetworkError:
        """Return the same error, whose fix is this command line with the confirmation appended."""
        option = self.confirm.split(" ")[0]
        kept = [
            word
            for before, word in zip(["", *arguments], arguments, strict=False)
            if before != option and word.split("=", 1)[0] != option
        ]
        command = shlex.join(arguments if option == "--trust" else kept)
        fix = f"only if that code is your own: {command} {self.confirm}" if self.confirm else self.fix
        return UntrustedNetworkError(self.where, got=self.got, allowed=self.allowed, fix=fix)


class UnsupportedModelError(ModelError):
    """Nothing in a model can be widened, or it cannot be traced."""


class ShapeError(NetaugError):
    """Tensors or widths do not fit together."""


class CheckpointError(NetaugError):
    """A weights file or checkpoint is damaged, foreign or does not fit the model."""


class RunFolderError(NetaugError):
    """A run folder is missing, incomplete, or would be overwritten."""


class TrainingError(NetaugError):
    """Training cannot continue, for example because the loss is not finite.

    Args:
        where: As of :class:`NetaugError`.
        got: Likewise.
        allowed: Likewise.
        fix: Likewise.
        diverged: Whether it is the loss, which depends on first weights and rate, and not the machine.
    """

    def __init__(
        self,
        where: str,
        *,
        got: object = None,
        allowed: object = None,
        fix: str | None = None,
        diverged: bool = False,
    ) -> None:
        super().__init__(where, got=got, allowed=allowed, fix=fix)
        self.diverged = diverged


class ResourceError(NetaugError):
    """The operating system refuses what a command needs: memory, processes, open files, or space for its output."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, for messages; empty if it has none."""
    return next(iter(str(error).strip().splitlines()), "")
