"""Dropout, spatial dropout, DropBlock and stochastic depth for any network, as hooks that act in training only.

The modules stay as they are, and so do the names in ``state_dict``. Draws come from torch's generator of the device,
which the training loop keys by step.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import drop_block2d, stochastic_depth

from netaug.config.regularize import RegularizeConfig
from netaug.core.errors import ConfigError
from netaug.core.modules import TrainingHook
from netaug.regularize.graph_recorder import watch
from netaug.regularize.places import Found, classifier, late_maps, residual_branches

_SHOWN = 2


@dataclass(frozen=True)
class Placed:
    """What was put where.

    Args:
        kind: ``dropout``, ``spatial_dropout``, ``dropblock`` or ``stochastic_depth``.
        rates: Module to its rate, in the order they run.
        left_out: Places without it, with the reason.
    """

    kind: str
    rates: dict[str, float]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people."""
        named = [f"'{name}' ({rate:.3g})" for name, rate in self.rates.items()]
        shown = ", ".join(named) if len(named) <= _SHOWN else f"{named[0]} to {named[-1]}"
        more = f"; left out: {'; '.join(self.left_out)}" if self.left_out else ""
        return f"{self.kind} at {len(named)} place{'s' * (len(named) != 1)}: {shown}{more}"


class Dropping(TrainingHook):
    """Drops parts of what a module gives, or with ``before`` of what it takes, while it trains.

    Args:
        kind: As in :class:`Placed`.
        rate: Probability in [0, 1).
        size: Side of DropBlock's squares in pixels.
    """

    def __init__(self, kind: str, rate: float, size: int = 1) -> None:
        self.kind, self.rate, self.size = kind, rate, size

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], *output: Any) -> Any:
        """As a forward hook: the output with parts dropped. As a pre-hook: the inputs."""
        if not module.training or self.rate == 0:
            return None
        if output:
            return self.drop(output[0])
        return (self.drop(inputs[0]), *inputs[1:])

    def drop(self, x: Tensor) -> Tensor:
        """Drop parts of a tensor ``[N, ...]``; what stays is scaled up."""
        if self.kind == "dropout":
            return F.dropout(x, self.rate)
        if self.kind == "spatial_dropout":
            return F.dropout2d(x, self.rate)
        if self.kind == "dropblock":
            side = min(self.size, *x.shape[-2:])
            dropped: Tensor = drop_block2d(x, self.rate, side - (side + 1) % 2)
            return dropped
        kept: Tensor = stochastic_depth(x, self.rate, "row")
        return kept


def put_regularizers(model: nn.Module, example: Tensor, config: RegularizeConfig) -> tuple[Placed, ...]:
    """Put those regularizers into a network that act on its layers; none are in the evaluation mode's graph.

    Args:
        model: Gets hooks; its modules and names stay. `Supernet.extract` gives networks without them, and
            `netaug.core.modules.remove_training_hooks` takes them off.
        example: A batch of its input.
        config: Which, and how strong.

    Returns:
        What was put where.

    Raises:
        ConfigError: A regularizer finds no place in this network, or a pattern of ``places`` fits no module.
    """
    if not config.drops:
        return ()
    watched = watch(model, example)
    placed = []
    if config.dropout:
        head = classifier(watched)
        own = Found((head,) if head else ())
        placed.append(_even("dropout", config.dropout, _chosen(model, config, own)))
    if config.spatial_dropout:
        found = _chosen(model, config, late_maps(watched))
        placed.append(_even("spatial_dropout", config.spatial_dropout, found))
    if config.dropblock:
        placed.append(_even("dropblock", config.dropblock, _chosen(model, config, late_maps(watched))))
    if config.stochastic_depth:
        placed.append(_rising("stochastic_depth", config.stochastic_depth, residual_branches(watched)))
    for one in placed:
        if not one.rates:
            raise _nowhere(model, one)
    for one in placed:
        before = one.kind == "dropout" and not config.places
        for name, rate in one.rates.items():
            hook, module = Dropping(one.kind, rate, config.dropblock_size), model.get_submodule(name)
            module.register_forward_pre_hook(hook) if before else module.register_forward_hook(hook)
    return tuple(placed)


def _chosen(model: nn.Module, config: RegularizeConfig, own: Found) -> Found:
    """The modules that ``places`` names, or the regularizer's own."""
    if not config.places:
        return own
    names = [name for name, _ in model.named_modules() if name]
    for pattern in config.places:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"regularize.places {pattern!r} is the name of no module of {type(model).__name__}.",
                allowed=f"glob patterns of its modules, such as {names[-1]!r}"
                if names
                else "a network with modules",
            )
    return Found(
        tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in config.places))
    )


def _even(kind: str, rate: float, found: Found) -> Placed:
    return Placed(kind, dict.fromkeys(found.modules, rate), found.left_out)


def _rising(kind: str, rate: float, found: Found) -> Placed:
    """The rate of the l-th of L branches is ``rate * l / L`` (Huang et al. 2016, arXiv:1603.09382, equation 4)."""
    count = len(found.modules)
    rates = {name: rate * (number + 1) / count for number, name in enumerate(found.modules)}
    return Placed(kind, rates, found.left_out)


def _nowhere(model: nn.Module, placed: Placed) -> ConfigError:
    wanted = {
        "dropout": "a last linear layer that gives the logits",
        "spatial_dropout": "a convolution on maps of more than one pixel",
        "dropblock": "a convolution on maps of more than one pixel",
        "stochastic_depth": "a residual branch: something computed and then added to what it was computed from",
    }
    hint = (
        "leave it out"
        if placed.kind == "stochastic_depth"
        else "name modules with regularize.places, or leave it out"
    )
    return ConfigError(
        f"regularize.{placed.kind} finds no place in {type(model).__name__}.",
        got="; ".join(placed.left_out) or "nothing of this kind",
        allowed=f"a network with {wanted[placed.kind]}",
        fix=hint,
    )
