"""Regularizers of layers for any network, as forward hooks on its modules that act in training mode only.

The modules stay as they are, and so do the names in ``state_dict``: checkpoints, the exported graph and evaluation do
not depend on the regularizers, base and wide passes both run them, and ``extract()`` takes them off. Draws come from
torch's generator of the device, which the training loop keys by step. Where a regularizer goes is read off one eager
forward (`graph_recorder.py`), which also works for networks that ``torch.export`` cannot record.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from netaug.config.regularize import RegularizeConfig
from netaug.core.errors import ConfigError
from netaug.core.modules import TrainingHook
from netaug.regularize.base import LayerRegularizer, TensorFunction
from netaug.regularize.dropblock import DROPBLOCK
from netaug.regularize.dropout import DROPOUT
from netaug.regularize.graph_recorder import Watched, watch
from netaug.regularize.places import Found
from netaug.regularize.spatial_dropout import SPATIAL_DROPOUT
from netaug.regularize.stochastic_depth import STOCHASTIC_DEPTH

LAYER_REGULARIZERS: tuple[LayerRegularizer, ...] = (DROPOUT, SPATIAL_DROPOUT, DROPBLOCK, STOCHASTIC_DEPTH)
"""In the order in which their hooks are added to a module."""
_SHOWN = 2


@dataclass(frozen=True)
class Placed:
    """List the modules that a regularizer was put at.

    Args:
        kind: The regularizer's name.
        rates: Module to its probability, in the order they run.
        left_out: Places without it, with the reason.
    """

    kind: str
    rates: dict[str, float]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line for people."""
        named = [f"'{name}' ({rate:.3g})" for name, rate in self.rates.items()]
        shown = ", ".join(named) if len(named) <= _SHOWN else f"{named[0]} to {named[-1]}"
        more = f"; left out: {'; '.join(self.left_out)}" if self.left_out else ""
        return f"{self.kind} at {len(named)} place{'s' * (len(named) != 1)}: {shown}{more}"


class Dropping(TrainingHook):
    """Drop parts of what a module returns, or of what it takes as a pre-hook, while it trains.

    Args:
        drop: Drops parts of a tensor.
    """

    def __init__(self, drop: TensorFunction) -> None:
        self.drop = drop

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], *output: Any) -> Any:
        """Return the output with parts dropped, as a forward hook; as a pre-hook return the inputs."""
        if not module.training:
            return None
        if output:
            return self.drop(output[0])
        return (self.drop(inputs[0]), *inputs[1:])


def put_regularizers(model: nn.Module, example: Tensor, config: RegularizeConfig) -> tuple[Placed, ...]:
    """Put those regularizers into a network that act on its layers; none are in the evaluation mode's graph.

    Args:
        model: Gets hooks; its modules and names stay. `Supernet.extract` gives networks without them, and
            `netaug.core.modules.remove_training_hooks` takes them off.
        example: A batch of its input.
        config: Which regularizers act, and how strongly.

    Returns:
        What was put where.

    Raises:
        ConfigError: A regularizer finds no place in this network, or a pattern of ``places`` fits no module.
    """
    names = config.settings_on("layers")
    if not names:
        return ()
    watched = watch(model, example)
    chosen = [entry for entry in LAYER_REGULARIZERS if entry.name in names]
    placed = tuple(_place(entry, model, watched, config) for entry in chosen)
    for regularizer, places in zip(chosen, placed, strict=True):
        before = regularizer.before_module and not config.places
        for name, rate in places.rates.items():
            hook, module = Dropping(regularizer.make_drop(config, rate)), model.get_submodule(name)
            module.register_forward_pre_hook(hook) if before else module.register_forward_hook(hook)
    return placed


def _place(
    regularizer: LayerRegularizer, model: nn.Module, watched: Watched, config: RegularizeConfig
) -> Placed:
    """Return the modules of one regularizer with their probabilities."""
    if config.places and regularizer.follows_places:
        places = _named(model, config.places)
    else:
        places = regularizer.default_places(watched)
    if not places.modules:
        raise _nowhere(model, regularizer, places)
    rate, count = getattr(config, regularizer.name), len(places.modules)
    rates = {
        name: rate * number / count if regularizer.rising else rate
        for number, name in enumerate(places.modules, 1)
    }
    return Placed(regularizer.name, rates, places.left_out)


def _named(model: nn.Module, patterns: tuple[str, ...]) -> Found:
    """Return the modules that `regularize.places` names."""
    names = [name for name, _ in model.named_modules() if name]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"regularize.places {pattern!r} matches no module of {type(model).__name__}.",
                allowed=f"glob patterns of its modules, such as {names[-1]!r}"
                if names
                else "a network with modules",
            )
    return Found(tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)))


def _nowhere(model: nn.Module, regularizer: LayerRegularizer, places: Found) -> ConfigError:
    return ConfigError(
        f"regularize.{regularizer.name} finds no place in {type(model).__name__}.",
        got="; ".join(places.left_out) or "nothing of this kind",
        allowed=f"a network with {regularizer.needs}",
        fix="name modules with regularize.places, or leave it out"
        if regularizer.follows_places
        else "leave it out",
    )
