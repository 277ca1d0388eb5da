"""Start a network from the weights in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from torch import nn

from netaug.core.errors import CheckpointError
from netaug.weights.files import WeightsFile, read_weights
from netaug.weights.matching import Match, match


@dataclass(frozen=True)
class Loaded:
    """Holds the result of loading weights.

    Args:
        layout: How the file names its tensors.
        part: Where in the file they were, such as ``state_dict``; empty for the file itself.
        others: Further parts of the file that could have been taken.
        tensors: How many came from the file.
        parameters: Trainable numbers among them.
        kept: The network's tensors that were left as they were.
        widened: Whether the file holds a wider network, of which the first channels were taken.
        unused: What of the file was left out, such as ``2 of classifier``.
    """

    layout: str
    part: str
    others: tuple[str, ...]
    tensors: int
    parameters: int
    kept: tuple[str, ...]
    widened: bool
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it in one line."""
        return (
            f"{self.tensors} tensors with {self.parameters:,} parameters, {self.layout}"
            + f", from its {self.part!r}" * bool(self.part)
            + f" (it also has {', '.join(self.others)})" * bool(self.others)
            + ", the first channels of a wider network" * self.widened
            + f"; left as drawn: {', '.join(self.kept)}" * bool(self.kept)
            + f"; tensors left out: {', '.join(self.unused)}" * bool(self.unused)
        )


def load_weights(
    model: nn.Module, path: str | Path, *, keep: Sequence[str] = (), part: str | None = None
) -> Loaded:
    """Give a network the weights of a file, all of them and nothing else; `netaug.augment` can follow.

    Args:
        model: Changed in place; unchanged if anything is wrong.
        path: Safetensors or a PyTorch checkpoint, with the network's own names or with those of the NetAug paper's
            released code. It is untrusted: no code of it runs.
        keep: Glob patterns of names in ``model.state_dict()`` that stay as they are, such as ``classifier.*`` for
            other classes; the file need not have them.
        part: Key of the checkpoint that holds the tensors; None finds it.

    Returns:
        What was loaded; ``print`` shows it in a line.

    Raises:
        CheckpointError: The file cannot be read, does not fit exactly, has values that are not finite, or a
            pattern of ``keep`` fits no name.
    """
    kept = _kept(model, keep)
    file = read_weights(path, part)
    return put(model, file, match(model, file, kept=kept), kept)


def put(
    model: nn.Module, file: WeightsFile, matched: Match, kept: Sequence[str], unused: Sequence[str] = ()
) -> Loaded:
    """Copy matched tensors into their network."""
    model.load_state_dict({**model.state_dict(), **matched.tensors})
    parameters = dict(model.named_parameters())
    return Loaded(
        layout=matched.layout.about,
        part=".".join(filter(None, (file.part, matched.part))),
        others=(*matched.others, *file.others),
        tensors=len(matched.tensors),
        parameters=sum(parameters[name].numel() for name in matched.tensors if name in parameters),
        kept=tuple(kept),
        widened=matched.widened,
        unused=(*matched.unused, *unused),
    )


def _kept(model: nn.Module, keep: Sequence[str]) -> list[str]:
    names = list(model.state_dict())
    for pattern in keep:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise CheckpointError(
                f"keep={pattern!r} is the name of no tensor of {type(model).__name__}.",
                got=pattern,
                allowed=f"glob patterns of its names, such as {names[-1]!r}"
                if names
                else "a model with tensors",
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in keep)]
