"""Continue a training of the paper's released code: the widest network in its checkpoint becomes a supernet."""

from __future__ import annotations

import torch
from torch import Tensor

from netaug.core.errors import CheckpointError
from netaug.elastic import Supernet
from netaug.elastic.axes import Axis, added_dims, added_key, split
from netaug.weights.files import WeightsFile
from netaug.weights.matching import match


@torch.no_grad()
def put_widest(supernet: Supernet, file: WeightsFile, name: str) -> None:
    """Give a supernet all weights of the widest network in a file, base and added ones.

    Args:
        supernet: Changed in place, or not at all. Its multipliers have to be those of the training.
        file: A training checkpoint of the released code.
        name: What the network is called in messages.

    Raises:
        CheckpointError: The file holds another network, the tiny one alone, or a network of other multipliers.
    """
    matched = match(supernet.base, file, name=name)
    axes, shapes = supernet.plan.axes, {}
    for key, parameter in supernet.base.named_parameters():
        ours = axes.get(key, {})
        shapes[key] = tuple(
            size + (ours[dim].added_size if dim in ours else 0) for dim, size in enumerate(parameter.shape)
        )
    differing = [
        f"{key} is {tuple(matched.wide[key].shape) if key in matched.wide else 'that of the tiny network'} in the "
        f"file, {shape} here"
        for key, shape in shapes.items()
        if key not in matched.wide or tuple(matched.wide[key].shape) != shape
    ]
    if differing:
        raise CheckpointError(
            f"'{file.path}' does not hold the widest network of these settings.",
            got=f"{len(differing)} of {len(shapes)} weights differ, the first: {differing[0]}",
            allowed="a training checkpoint of NetAug's released code, with netaug.width and netaug.expand as there",
            fix="set both as in that training; without model.widest_weights the tiny network in it is taken",
        )
    supernet.base.load_state_dict({**supernet.base.state_dict(), **matched.tensors})
    for key in shapes:
        whole = matched.wide[key]
        for dim, axis in axes.get(key, {}).items():
            whole = whole.index_select(dim, _stored_order(axis))
        base, added = split(whole, supernet.base.get_parameter(key).shape, added_dims(axes.get(key, {})))
        supernet.base.get_parameter(key).copy_(base)
        for dim, values in added.items():
            supernet.added[added_key(key, dim)].copy_(values)


def _stored_order(axis: Axis) -> Tensor:
    """Return the positions along a dimension of the widest network in the order of storing: base first, then added."""
    base, added, start = [], [], 0
    for span in axis.spans:
        middle, stop = start + span.base * span.repeat, start + span.most * span.repeat
        base.append(torch.arange(start, middle))
        added.append(torch.arange(middle, stop))
        start = stop
    return torch.cat([*base, *added])
