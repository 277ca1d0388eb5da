"""Sort hidden channels by importance, so that the base network holds the important ones.

Groups that are ``expand`` (hidden channels of a block) and ``follow`` (those of a gate, with ``config.sort_gates``) are
sorted, as in the paper's code: each lives inside one block, whose last layer, or that of the gate, says how much it
reads of a channel. The channels of a ``width`` group are read by all blocks of a stage.

The widest network computes the same before and after, and so does its next update: every optimizer state and
every averaged copy is permuted along.

Optimizers whose states are not one number per element (Adafactor's factors) are refused. Those that act on
elements one by one do the same next update; Lamb, Lars and others scale the update of a tensor by its norm:
base and added weights of a layer are two tensors, whose norms change as channels move between them. Adam's
means move along but its step count does not. Running statistics exist for base channels only: a channel that
moves in gets their mean until they are re-learned.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from netaug.core.errors import ConfigError
from netaug.elastic.axes import added_dims, added_key, join, split

if TYPE_CHECKING:
    from netaug.elastic.supernet import Supernet


@torch.no_grad()
def sort_channels(
    supernet: Supernet, optimizer: torch.optim.Optimizer | None = None, averages: Iterable[Supernet] = ()
) -> dict[str, Tensor]:
    """Reorder the hidden channels of every block and gate, largest importance first.

    Importance is the L1 norm of what the last dense layer of the block, or of the gate, reads from a channel.

    Args:
        supernet: Sorted in place.
        optimizer: Its per-parameter states (momentum and the like) are permuted along.
        averages: Averaged copies of the supernet (EMA), permuted along.

    Returns:
        Per group the new order: entry ``i`` is the old channel that now is channel ``i``.

    Raises:
        ConfigError: An average is not one of the whole supernet, or a state of the optimizer cannot be permuted.

    Source:
        Channel sorting of NetAug, arXiv:2110.08890; importance by L1 norm as in Once-for-All, arXiv:1908.09791, whose
        released code sorts a squeeze-excite's hidden channels by the input columns of its second layer.
    """
    averages = list(averages)
    for average in averages:
        if not isinstance(average, type(supernet)):
            raise ConfigError(
                "an average is not one of the whole supernet.",
                got=type(average).__name__,
                allowed="copies of the supernet, such as the .module of ModelEmaV3(supernet)",
                fix="average the supernet: its base alone would keep channels where they were before sorting",
            )
    roles = ("expand", "follow") if supernet.config.sort_gates else ("expand",)
    orders: dict[str, Tensor] = {}
    for group in supernet.plan.groups.values():
        if group.role in roles and group.most > group.base:
            importance = _importance(supernet, group.name)
            if importance is not None:
                # Stable: channels of equal importance (a layer of zeros) keep their order on every machine.
                orders[group.name] = torch.sort(importance, descending=True, stable=True).indices.cpu()
    _move(supernet, optimizer, averages, orders)
    return orders


def _move(
    supernet: Supernet,
    optimizer: torch.optim.Optimizer | None,
    averages: list[Supernet],
    orders: dict[str, Tensor],
) -> None:
    """Permute parameters, statistics and states, or nothing if one of them cannot be permuted."""
    parameters, buffers = dict(supernet.base.named_parameters()), dict(supernet.base.named_buffers())
    moving = {name: moves for name in supernet.plan.axes if (moves := _moves(supernet, name, orders))}
    weights = [name for name in moving if name in parameters and added_dims(supernet.plan.axes[name])]
    # All checks before the first move: a supernet sorted by half could not be put back.
    for name in weights:
        if optimizer is not None:
            _check_states(optimizer, name, _parts(supernet, name))
    for name in weights:
        for copy in (supernet, *averages):
            _permute_parameter(copy, name, moving[name])
        if optimizer is not None:
            _permute_states(supernet, optimizer, name, moving[name])
    for name in moving.keys() & buffers.keys():
        for copy in (supernet, *averages):
            _permute_statistic(copy, name, moving[name])


def _parts(supernet: Supernet, name: str) -> list[Tensor]:
    """Return a base parameter and what is added to it."""
    dims = added_dims(supernet.plan.axes[name])
    return [supernet.base.get_parameter(name), *(_added(supernet, name, dim) for dim in dims)]


def _check_states(optimizer: torch.optim.Optimizer, name: str, tensors: list[Tensor]) -> None:
    """Refuse states whose entries cannot be assigned to channels."""
    states = [state for tensor in tensors if (state := optimizer.state.get(tensor))]
    got = None
    if any(set(state) != set(states[0]) for state in states):
        got = f"one part of '{name}' has the states {sorted(states[0])}, another has others"
    for tensor in tensors:
        for key, value in optimizer.state.get(tensor, {}).items():
            for member in value if isinstance(value, list | tuple) else [value]:
                if isinstance(member, Tensor) and member.numel() > 1 and member.shape != tensor.shape:
                    shapes = f"{tuple(member.shape)} for a parameter of shape {tuple(tensor.shape)}"
                    got = f"state {key!r} of shape {shapes}"
    if got is not None:
        raise ConfigError(
            f"channels cannot be sorted along with the optimizer {type(optimizer).__name__}.",
            got=got,
            allowed="states of the parameter's shape, and single numbers",
            fix="choose another optimizer, such as sgd or adamw, or train without sorting",
        )


def _importance(supernet: Supernet, group: str) -> Tensor | None:
    """Measure the L1 norm per channel over the dense layers that read the group, gates aside, shape ``[most]``."""
    total: Tensor | None = None
    gates = {g.name for g in supernet.plan.groups.values() if g.role == "follow"}
    seen = set()
    for layer in supernet.plan.layers:
        is_reader = group in layer.source and not layer.depthwise and not set(layer.target) & gates
        if not is_reader or layer.weight in seen:  # a shared layer counts once
            continue
        seen.add(layer.weight)
        whole = _whole(supernet, layer.weight)
        axis = supernet.plan.axes[layer.weight][layer.input_dim]
        per_input = whole.abs().transpose(0, layer.input_dim).flatten(1).sum(1)
        norm = per_input[axis.positions(group).to(whole.device)].sum(1)
        total = norm if total is None else total + norm
    return total


def _moves(supernet: Supernet, name: str, orders: dict[str, Tensor]) -> dict[int, Tensor]:
    """Return, per dimension of a tensor, the stored position that each stored position is filled from."""
    moves = {}
    for dim, axis in supernet.plan.axes[name].items():
        groups = {span.group for span in axis.spans} & orders.keys()
        if groups:
            index = torch.arange(axis.base_size + axis.added_size)
            for group in groups:
                positions = axis.positions(group)
                index[positions] = positions[orders[group]]
            moves[dim] = index
    return moves


def _reordered(whole: Tensor, moves: dict[int, Tensor]) -> Tensor:
    for dim, index in moves.items():
        whole = whole.index_select(dim, index.to(whole.device))
    return whole


def _whole(supernet: Supernet, name: str) -> Tensor:
    axes = supernet.plan.axes[name]
    base = supernet.base.get_parameter(name)
    return join(base, {dim: _added(supernet, name, dim) for dim in added_dims(axes)})


def _added(supernet: Supernet, name: str, dim: int) -> Tensor:
    added: Tensor = supernet.added[added_key(name, dim)]
    return added


def _permute_parameter(supernet: Supernet, name: str, moves: dict[int, Tensor]) -> None:
    base = supernet.base.get_parameter(name)
    dims = added_dims(supernet.plan.axes[name])
    new_base, new_added = split(_reordered(_whole(supernet, name), moves), base.shape, dims)
    base.copy_(new_base)
    for dim in dims:
        _added(supernet, name, dim).copy_(new_added[dim])


def _permute_states(
    supernet: Supernet, optimizer: torch.optim.Optimizer, name: str, moves: dict[int, Tensor]
) -> None:
    """Permute every state of a parameter's shape; a part without a state counts as one of zeros."""
    tensors = _parts(supernet, name)
    base, parts = tensors[0], added_dims(supernet.plan.axes[name])
    states = [optimizer.state.get(tensor, {}) for tensor in tensors]
    known = {
        key
        for tensor, state in zip(tensors, states, strict=True)
        for key, value in state.items()
        if isinstance(value, Tensor) and value.shape == tensor.shape and value.dim() > 0
    }
    for key in known:
        # Without an augmented pass so far only the base part has states; both are needed to move channels between them.
        _complete(optimizer, tensors, key)
        values = [optimizer.state[tensor][key] for tensor in tensors]
        whole = join(values[0], dict(zip(parts, values[1:], strict=True)))
        # In place: an optimizer may hold references to its states.
        new_base, new_added = split(_reordered(whole, moves), base.shape, parts)
        for value, new in zip(values, (new_base, *new_added.values()), strict=True):
            value.copy_(new)


def _complete(optimizer: torch.optim.Optimizer, tensors: list[Tensor], key: str) -> None:
    """Give every tensor the state ``key``: zeros, and counters as those of a tensor that has been updated."""
    example: dict[str, Any] = next(s for t in tensors if key in (s := optimizer.state.get(t, {})))
    for tensor in tensors:
        state = optimizer.state[tensor]
        for other, value in example.items():
            if other not in state or state[other] is None:
                per_element = isinstance(value, Tensor) and value.dim() > 0
                state[other] = (
                    torch.zeros_like(tensor)
                    if per_element
                    else value.clone()
                    if isinstance(value, Tensor)
                    else value
                )


def _permute_statistic(supernet: Supernet, name: str, moves: dict[int, Tensor]) -> None:
    """Permute running statistics; they exist for base channels only, so a channel that moves in gets their mean."""
    buffer = supernet.base.get_buffer(name)
    axis = supernet.plan.axes[name][0]
    whole = torch.cat([buffer, buffer.mean().expand(axis.added_size)])
    buffer.copy_(_reordered(whole, moves)[: axis.base_size])
