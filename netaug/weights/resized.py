"""Weights files of networks that are wider than what their factory builds: what differs, recorded and applied.

The tensors' shapes are in the file. What is left are the numbers that modules keep of their sizes, such as the groups
of a depthwise layer. Recording those, and not the width groups, lets a file be read without recording the network's
graph again, and by versions that name groups differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from netaug.core.errors import ModelError

Sizes = dict[str, dict[str, Any]]
"""By module name and attribute: a whole number, or a list of them."""

_PLAIN = (bool, int, float, str, type(None))


def size_changes(base: nn.Module, network: nn.Module) -> Sizes:
    """Return the size attributes of a network's modules that differ from those of the same modules in the base network.

    Raises:
        ModelError: Something else differs as well, so that sizes alone would not give the network back.
    """
    changes: Sizes = {}
    for name, module in network.named_modules():
        before = vars(base.get_submodule(name))
        for attribute, value in vars(module).items():
            old = before.get(attribute)
            if attribute == "training" or not (_is_plain(value) and _is_plain(old)) or value == old:
                continue
            if not _alike(old, value):
                raise ModelError(
                    f"'{name}.{attribute}' of the network cannot be described in a weights file.",
                    got=f"{value!r}, in the base network {old!r}",
                    allowed="whole numbers and lists of them may differ",
                    fix="save the whole module with torch.save",
                )
            changes.setdefault(name, {})[attribute] = list(value) if isinstance(value, tuple) else value
    return changes


def resize(model: nn.Module, tensors: Mapping[str, Tensor], sizes: Sizes) -> None:
    """Give a model's parameters and buffers the shapes of these tensors, and its modules these sizes.

    Args:
        model: As its factory builds it; the values of resized tensors are undefined afterwards.
        tensors: A ``state_dict``; a tensor with another number of dimensions leaves the model's own as it is.
        sizes: From :func:`size_changes`.

    Raises:
        ValueError: A module or attribute does not exist, or is not a size.
    """
    modules = dict(model.named_modules())
    for name, values in sizes.items():
        for attribute, value in values.items():
            old = vars(modules[name]).get(attribute) if name in modules else None
            if not _alike(old, value):
                raise ValueError(f"'{name}.{attribute}' is {old!r} and cannot be {value!r}")
            setattr(modules[name], attribute, tuple(value) if isinstance(old, tuple) else value)
    replaced: dict[int, Tensor] = {}  # a tensor held in two places stays one
    for prefix, module in modules.items():
        for tensors_of_module in (module._parameters, module._buffers):
            for name, tensor in tensors_of_module.items():
                wanted = tensors.get(f"{prefix}.{name}" if prefix else name)
                if tensor is not None and wanted is not None and _differ_in_size(tensor, wanted):
                    tensors_of_module[name] = replaced.setdefault(id(tensor), _empty(tensor, wanted))


def check_sizes(sizes: object) -> bool:
    """Whether a value read from a file has the form of :data:`Sizes`."""
    return isinstance(sizes, dict) and all(
        isinstance(name, str)
        and isinstance(values, dict)
        and all(isinstance(key, str) and _count(value) is not None for key, value in values.items())
        for name, values in sizes.items()
    )


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN) or (
        isinstance(value, list | tuple) and all(isinstance(item, _PLAIN) for item in value)
    )


def _count(value: object) -> int | None:
    """Count the whole numbers above zero in a value; 0 for a bare one, None if it is something else."""
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not all(type(item) is int and item >= 1 for item in items):
        return None
    return len(items) if isinstance(value, list | tuple) else 0


def _alike(old: object, new: object) -> bool:
    return _count(old) is not None and _count(old) == _count(new)


def _differ_in_size(tensor: Tensor, wanted: Tensor) -> bool:
    return tensor.dim() == wanted.dim() and tensor.shape != wanted.shape


def _empty(tensor: Tensor, wanted: Tensor) -> Tensor:
    empty = tensor.new_empty(wanted.shape)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty
