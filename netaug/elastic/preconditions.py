"""Refuse models and examples that cannot be augmented, and say where in a model an error comes from."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from netaug.core.errors import ModelError, first_line

_TORCH = str(Path(torch.__file__).parent)
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")


def check_preconditions(model: object, example: tuple[Tensor, ...]) -> None:
    """Refuse models and examples that nothing can be done with, naming the module.

    Raises:
        ModelError: The model is not a plain, built, finite network of this process, or the example does not fit it.
    """
    if isinstance(model, type):
        raise ModelError(
            "what is to be augmented is a class, not a network.",
            got=model.__name__,
            allowed="an nn.Module",
            fix=f"make one: {model.__name__}(...)",
        )
    if not isinstance(model, nn.Module):
        raise ModelError(
            "what is to be augmented is not a network.", got=type(model).__name__, allowed="an nn.Module"
        )
    for name, module in model.named_modules():
        _check_module(f"'{name}'" if name else f"the model, a {type(module).__name__},", module)
        _check_computed(name or type(module).__name__, module)
    for name, tensor in _tensors(model):
        _check_tensor(name, tensor, mask=not isinstance(tensor, nn.Parameter))
    _check_example(model, example)


def place_of(error: BaseException, model: nn.Module) -> str:
    """Say where an error was raised: the innermost module of the model, and the last line of code outside torch.

    Returns:
        ``in 'name' (file.py:12)``, or as much of it as is known.
    """
    names = {id(module): name or type(module).__name__ for name, module in model.named_modules()}
    module = line = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        # The frame of a method holds its module as ``self``.
        owner = id(frame.f_locals.get("self"))
        module = names.get(owner, module)
        if owner in names and not frame.f_code.co_filename.startswith(_TORCH):
            line = f"{Path(frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return " ".join(
        part for part in (f"in '{module}'" if module else "", f"({line})" if line else "") if part
    )


def account_of(error: BaseException, model: nn.Module) -> str:
    """Say where an error was raised, its kind, and the first line of its text."""
    return f"{place_of(error, model)} {type(error).__name__}: {first_line(error)}".lstrip()


def describe(tensors: tuple[Tensor, ...]) -> str:
    """Write type and shape of the inputs, for messages."""
    return ", ".join(f"{tensor.dtype} {list(tensor.shape)}" for tensor in tensors)


def types_of(model: nn.Module) -> str:
    """Write the types of a model's parameters, for messages."""
    return ", ".join(sorted({str(parameter.dtype) for parameter in model.parameters()})) or "none"


def _check_module(subject: str, module: nn.Module) -> None:
    # By name, since importing the supernet here would make a circle.
    if type(module).__name__ == "Supernet" and type(module).__module__.startswith("netaug."):
        raise ModelError(
            f"{subject} is a supernet already.",
            got="a network with added weights",
            fix="augment its .base, or what its .extract() gives; a network that holds one has to hold that instead",
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"{subject} is scripted or traced.",
            got=type(module).__name__,
            allowed="a network whose forward is Python",
            fix="augment the network it was made of, and script what .extract() gives",
        )
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    if isinstance(module, parallel) or type(module).__name__ == "FullyShardedDataParallel":
        raise ModelError(
            f"{subject} is wrapped for several devices.",
            got=type(module).__name__,
            fix="augment its .module first, then wrap the supernet",
        )
    if "_orig_mod" in module._modules:
        raise ModelError(
            f"{subject} is compiled.",
            got=type(module).__name__,
            fix="augment its ._orig_mod first, then torch.compile the supernet",
        )
    if type(module).__module__.startswith(_QUANTIZED):
        raise ModelError(
            f"{subject} is quantized.",
            got=f"{type(module).__module__}.{type(module).__name__}",
            fix="augment and train the network of floating-point numbers, and quantize what .extract() gives",
        )


def _check_computed(name: str, module: nn.Module) -> None:
    """Refuse weights that hooks of torch compute before each forward: they are not parameters that can widen."""
    for attribute, value in vars(module).items():
        sources = [parameter for parameter in module._parameters if parameter.startswith(f"{attribute}_")]
        if isinstance(value, Tensor) and not value.is_leaf and sources:
            raise ModelError(
                f"'{name}.{attribute}' is computed from {' and '.join(sources)} before each forward.",
                got="a hook, as of torch.nn.utils.weight_norm or torch.nn.utils.prune",
                allowed="parameters; torch.nn.utils.parametrizations",
                fix="make it a parameter with remove_weight_norm or prune.remove before augmenting",
            )


def _check_tensor(name: str, tensor: Tensor, *, mask: bool = False) -> None:
    """Refuse a tensor that cannot be used; a buffer may be a ``mask`` of attention, which holds minus infinity."""
    if is_lazy(tensor):
        raise ModelError(
            f"parameter '{name}' is not built yet.", fix="run the model once before augmenting it"
        )
    if tensor.is_meta:
        raise ModelError(
            f"'{name}' has a shape but no values: it is on the meta device.",
            fix="build or load the model on a real device; added weights start like the model's own",
        )
    if tensor.is_inference():
        raise ModelError(
            f"'{name}' was made in inference mode and cannot be trained.",
            fix="build the model outside torch.inference_mode()",
        )
    if tensor.is_floating_point() and not (torch.isfinite(tensor) | (mask & torch.isneginf(tensor))).all():
        count = int((~torch.isfinite(tensor)).sum())
        raise ModelError(
            f"'{name}' holds values that are not finite.",
            got=f"{count:,} of {tensor.numel():,} values are NaN or infinite",
            fix="check where it comes from: weights of a training that diverged, or memory that was never initialized",
        )


def _check_example(model: nn.Module, example: tuple[Tensor, ...]) -> None:
    for value in example:
        if not isinstance(value, Tensor):
            raise ModelError(
                "an example input is not a tensor.",
                got=type(value).__name__,
                allowed="a tensor, or a tuple of them for several inputs",
                fix="for other inputs wrap the model in a module whose forward takes tensors and makes them",
            )
    try:
        signature = inspect.signature(model.forward)
        signature.bind(*example)
    except ValueError:
        pass  # a forward without a signature: running it will tell
    except TypeError as error:
        raise ModelError(
            f"'{type(model).__name__}' takes other inputs than the example gives.",
            got=f"{len(example)} input{'s' * (len(example) != 1)}: {describe(example)}: {error}",
            allowed=f"forward{signature}",
            fix="give all inputs as one tuple, augment(model, (first, second)); for inputs by keyword wrap the model "
            "in a module whose forward names them",
        ) from error
    if any(tensor.dim() and len(tensor) == 0 for tensor in example):
        raise ModelError(
            "the example input is empty.", got=describe(example), allowed="a batch of one or more"
        )
    devices = {tensor.device for _, tensor in _tensors(model)}
    for tensor in example:
        if devices and tensor.device not in devices:
            raise ModelError(
                "the example input is on another device than the model.",
                got=f"input on {tensor.device}, model on {', '.join(map(str, devices))}",
                fix="move one of them with .to(device)",
            )


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
