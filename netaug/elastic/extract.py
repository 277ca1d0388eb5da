"""Take a plain network out of a supernet: the caller's class, no trace of augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from netaug.core.modules import copied, remove_training_hooks

if TYPE_CHECKING:
    from netaug.elastic.supernet import Supernet


def extract(supernet: Supernet) -> nn.Module:
    """Copy the network of the supernet's present widths into plain modules."""
    network = copied(supernet.base)
    remove_training_hooks(network)  # regularizers drop in training only and are no part of the result
    if supernet.widths == supernet.plan.base_widths:
        return network
    modules: dict[str, nn.Module] = {}
    for name in supernet.plan.axes:
        owners = supernet.plan.owners[name]
        value = _wide_value(supernet, name)
        for module_name, attribute in owners:
            module = modules[module_name] = network.get_submodule(module_name)
            # Not setattr: a parametrization or custom __setattr__ would act on the value.
            if attribute in module._parameters:
                module._parameters[attribute] = value  # type: ignore[assignment]
            else:
                module._buffers[attribute] = value
    for size in supernet.plan.sizes:
        setattr(network.get_submodule(size.module), size.attribute, size.value(supernet.widths))
    for module in modules.values():
        _adapt_sizes(module)
    return network


def _wide_value(supernet: Supernet, name: str) -> Tensor:
    """Return a tensor at the present widths; running statistics of added channels are those of no data."""
    axes = supernet.plan.axes[name]
    if name in dict(supernet.base.named_parameters()):
        base = supernet.base.get_parameter(name)
        value = supernet.wide_tensor(name).detach()
        return nn.Parameter(
            value.clone(memory_format=torch.preserve_format), requires_grad=base.requires_grad
        )
    buffer = supernet.base.get_buffer(name)
    fill = 1.0 if name.endswith("running_var") else 0.0
    added = buffer.new_full((axes[0].added_size,), fill)
    segments = axes[0].segments(supernet.widths)
    return torch.cat(
        [(added if segment.added else buffer)[segment.start : segment.stop] for segment in segments]
    )


def _adapt_sizes(module: nn.Module) -> None:
    """Let a module's own record of its sizes agree with its weights."""
    if isinstance(module, _ConvNd):
        first, second = module.weight.shape[:2]
        module.out_channels, module.in_channels = first, second * module.groups
        # The weight of a transposed convolution has its inputs first.
        if module.transposed:
            module.in_channels, module.out_channels = first, second * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = module.weight.shape[0]
    elif isinstance(module, _NormBase):
        sized = module.weight if module.weight is not None else module.running_mean
        if sized is not None:
            module.num_features = sized.shape[0]
