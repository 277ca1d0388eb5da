"""Find the convolutions whose output a batch norm reads, and nothing else: what is put in there can be taken out again.

The graph tells which operation reads which tensor; the modules behind both have to be torch's own, since their
attributes say what they compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.fx import Node

from netaug.core.errors import ConfigError
from netaug.elastic.trace import Trace, arguments, module_of, operator_name, trace

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_OPERATORS = {"conv1d", "conv2d", "conv3d"}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


@dataclass(frozen=True)
class Pair:
    """Names a convolution and the batch norm behind it.

    Args:
        conv: Name of the convolution's module.
        norm: Name of the norm's module.
    """

    conv: str
    norm: str


@dataclass(frozen=True)
class Left:
    """Names a convolution that is left as it is.

    Args:
        conv: Name of its module.
        reason: Why.
    """

    conv: str
    reason: str


def find_pairs(
    model: nn.Module, example: tuple[Tensor, ...], keep: Collection[str] = ()
) -> tuple[list[Pair], list[Left]]:
    """Return the convolutions with a batch norm of their own behind them, and the others with the reason.

    Args:
        model: Any network that :func:`netaug.elastic.trace.trace` records; it is not touched.
        example: A batch of its inputs.
        keep: Glob patterns of modules that are left out.

    Raises:
        ModelError: The model does not run on the example.
        UnsupportedModelError: Its operations cannot be recorded.
        ConfigError: A pattern matches no module.
    """
    names = [name for name, _ in model.named_modules()]
    for pattern in keep:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"keep {pattern!r} matches no module of '{type(model).__name__}'.", got=pattern)
    recorded = trace(model, example)
    convolutions = [node for node in recorded.operations if operator_name(node) in _OPERATORS]
    uses = Counter(module_of(node) for node in convolutions)
    pairs, left = list[Pair](), dict[str, Left]()
    for node in convolutions:
        conv = module_of(node)
        reason = _obstacle(model, recorded, node, uses, keep)
        if reason:
            left.setdefault(conv, Left(conv, reason))
        else:
            pairs.append(Pair(conv, module_of(_reader(node))))
    return pairs, list(left.values())


def _reader(node: Node) -> Node:
    return next(iter(node.users))


def _obstacle(
    model: nn.Module, recorded: Trace, node: Node, uses: Counter[str], keep: Collection[str]
) -> str:
    """Return why a convolution is no part of a pair; empty if it is."""
    name = module_of(node)
    module = model.get_submodule(name)
    if any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") for pattern in keep):
        return "kept by a pattern of keep"
    if type(module) not in CONVOLUTIONS:
        return f"its module is a {type(module).__name__}, not torch's own convolution"
    if uses[name] > 1:
        return f"used {uses[name]} times in a forward"
    owner = _owner(recorded, arguments(node)["weight"])
    if owner != name:
        return (
            "its weight belongs to several modules" if owner is None else f"its weight is that of '{owner}'"
        )
    if len(node.users) != 1 or node in recorded.outputs:
        return f"its output is read {len(node.users)} times"
    return _obstacle_of_norm(model, recorded, _reader(node)) or _obstacle_of_modules(
        model, module, model.get_submodule(module_of(_reader(node)))
    )


def _obstacle_of_norm(model: nn.Module, recorded: Trace, reader: Node) -> str:
    if operator_name(reader) != "batch_norm":
        return f"followed by {operator_name(reader)}, not by a batch norm"
    name = module_of(reader)
    norm = model.get_submodule(name)
    if not isinstance(norm, _NORMS):
        return f"the norm behind it is computed in a {type(norm).__name__}"
    mean = arguments(reader)["running_mean"]
    if mean is None or not norm.track_running_stats:
        return f"'{name}' keeps no running statistics"
    if _owner(recorded, mean) != name:
        return f"'{name}' is used for several tensors"
    if (
        sum(module_of(node) == name and operator_name(node) == "batch_norm" for node in recorded.operations)
        > 1
    ):
        return f"'{name}' is used for several tensors"
    return ""


def _obstacle_of_modules(model: nn.Module, conv: nn.Module, norm: nn.Module) -> str:
    for module in (conv, norm):
        if sum(other is module for _, other in model.named_modules(remove_duplicate=False)) > 1:
            return f"its {type(module).__name__} has several names"
        if module._forward_hooks or module._forward_pre_hooks:
            return f"a hook is registered at its {type(module).__name__}"
    trained = [parameter.requires_grad for module in (conv, norm) for parameter in module.parameters()]
    return "" if all(trained) else "frozen"


def _owner(recorded: Trace, node: Node) -> str | None:
    """Return the one module that holds the tensor behind a node; None if there are several."""
    owners = recorded.owners.get(recorded.tensors.get(node, ""), ())
    return owners[0][0] if len(owners) == 1 else None


def replace_module(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of another one; the order of keys in ``state_dict`` stays."""
    parent, _, leaf = name.rpartition(".")
    network.get_submodule(parent)._modules[leaf] = module
