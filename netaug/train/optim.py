"""Makes optimizers by name: SGD in torch's fused form, any other by timm's factory; none decays biases and norms.

Names that cannot be used, and why, are in ``train/optim_names.py``; all others resume to the same bits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from netaug.config import TrainConfig
from netaug.core.errors import ConfigError, first_line
from netaug.elastic.plain_network import Network
from netaug.train.optim_names import check_sorting, optimizer_class, used_options


def optimizer_of(
    config: TrainConfig,
    parameters: Iterable[nn.Parameter],
    scales: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.Optimizer:
    """Return the optimizer of these settings over these parameters; see :func:`make_optimizer`."""
    return make_optimizer(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        name=config.optimizer,
        options=config.optimizer_options,
        scales=scales,
    )


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    name: str = "sgd",
    options: Mapping[str, Any] | None = None,
    scales: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.Optimizer:
    """Make the optimizer of this name; parameters of one dimension (biases, norms) are not decayed.

    Args:
        parameters: All of them, those that NetAug adds included.
        lr: Learning rate until :func:`set_learning_rate` is called.
        momentum: In [0, 1), for those that have one; 0 makes ``sgd`` plain SGD, else it is Nesterov's.
        weight_decay: Factor on parameters of two or more dimensions, applied as the optimizer does.
        name: ``sgd``, or a name of timm.
        options: Further arguments of the optimizer's class, such as ``betas`` and ``eps``.
        scales: Factors on the learning rate by parameter; None is 1 for all.

    Raises:
        ConfigError: There is no such optimizer, it cannot be used here, or an option is not one of its.
    """
    groups = _groups(parameters, weight_decay, scales)
    kind = optimizer_class(name)
    given = used_options(name, kind, options or {})
    try:
        if name == "sgd":
            return _sgd(groups, {"lr": lr, "momentum": momentum, "nesterov": momentum > 0, **given})
        return _of_timm(name, kind, groups, {"lr": lr, "momentum": momentum, **given})
    except (ValueError, TypeError, AssertionError, RuntimeError, IndexError) as error:
        raise ConfigError(
            f"train.optimizer {name} cannot be made with these settings.",
            got=f"{first_line(error)} (momentum {momentum:g}, options {dict(given)})",
            fix="correct train.optimizer_options",
        ) from error


def check_optimizer(config: TrainConfig, *, sorts: bool) -> None:
    """Make the optimizer for a small weight, to say what is wrong with its settings before any time is spent.

    Raises:
        ConfigError: It cannot be made, or channels are sorted and it cannot follow.
    """
    optimizer_of(config, [nn.Parameter(torch.zeros(2, 2))])
    if sorts:
        check_sorting(config.optimizer)


def _groups(
    parameters: Iterable[nn.Parameter], weight_decay: float, scales: Mapping[nn.Parameter, float] | None
) -> list[dict[str, Any]]:
    groups = decay_groups(parameters, weight_decay)
    if scales is not None:
        groups = [part for group in groups for part in _by_scale(group, scales)]
    if not groups:
        raise ConfigError("there is nothing to train: no parameter of the network requires a gradient.")
    return groups


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: those that are decayed, then those that are not; frozen ones are left out."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    spared = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _by_scale(group: dict[str, Any], scales: Mapping[nn.Parameter, float]) -> list[dict[str, Any]]:
    """Cut a parameter group into those of one ``lr_scale`` each, in the parameters' order."""
    parts: dict[float, list[nn.Parameter]] = {}
    for parameter in group["params"]:
        parts.setdefault(scales[parameter], []).append(parameter)
    return [{**group, "params": members, "lr_scale": scale} for scale, members in parts.items()]


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Use this rate for every parameter from the next step on, times its group's ``lr_scale`` where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


_FUSED = ("weight_decay", "momentum", "lr", "dampening", "nesterov", "maximize")


class PlainSGD(torch.optim.SGD):
    """Does what torch's SGD does, without what surrounds its methods for profilers, hooks and ``torch.compile``.

    With a network of a few hundred parameters that takes several times as long as the update, and it imports torch's
    compiler, 1.4 seconds at the start of each training. Hooks of the optimizer are not called. Copies, parameters on
    several devices and buffers that do not exist yet take torch's own method.
    """

    _are_alike = False

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, as torch does."""
        inspect.unwrap(torch.optim.SGD.add_param_group)(self, param_group)
        kinds = {(p.device, p.dtype) for group in self.param_groups for p in group["params"]}
        self._are_alike = len(kinds) == 1

    state_dict = inspect.unwrap(torch.optim.SGD.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.SGD.load_state_dict)
    _update = inspect.unwrap(torch.optim.SGD.step)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Let no parameter have a gradient."""
        assert set_to_none
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one update."""
        if closure is not None or not self._are_alike or getattr(self, "found_inf", None) is not None:
            return self._update(closure)  # the scaler of fp16 has set `found_inf`
        updates = []
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            buffers = [self.state[p].get("momentum_buffer") for p in parameters] if group["momentum"] else []
            if any(buffer is None for buffer in buffers):
                return self._update()
            updates.append((parameters, buffers, {name: group[name] for name in _FUSED}))
        for parameters, buffers, settings in updates:
            if parameters:
                gradients = [parameter.grad for parameter in parameters]
                torch._fused_sgd_(parameters, gradients, buffers, is_first_step=False, **settings)
        return None

    step.hooked = True  # type: ignore[attr-defined]  # else torch wraps it when one is made


def _sgd(groups: list[dict[str, Any]], settings: dict[str, Any]) -> torch.optim.SGD:
    # Fused is one call instead of one per parameter: 5x faster on the CPU for hundreds of small ones.
    optimizer = PlainSGD(groups, fused=True, **settings)
    if settings["momentum"] > 0:
        start_momentum(optimizer)
    return optimizer


def start_momentum(optimizer: torch.optim.SGD) -> None:
    """Give every parameter a momentum of zero.

    Fused SGD cannot start a buffer late, as for channels that the first steps do not draw. Zeros are what it would
    start from: the first update is then momentum * 0 + gradient.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _of_timm(
    name: str, kind: type[torch.optim.Optimizer], groups: list[dict[str, Any]], settings: dict[str, Any]
) -> torch.optim.Optimizer:
    from timm.optim import create_optimizer_v2

    if kind in (torch.optim.Adam, torch.optim.AdamW):
        settings.setdefault(
            "fused", True
        )  # faster, as for SGD; their states may start late, which those of SGD cannot
    made: torch.optim.Optimizer = create_optimizer_v2(groups, opt=name, weight_decay=0.0, **settings)
    return made


def layer_scales(network: Network, decay: float) -> dict[nn.Parameter, float]:
    """Return factors on the learning rate: 1 for the last layer, ``decay`` for the one before, ``decay ** 2``, ...

    What NetAug adds to a layer has that layer's factor.

    Raises:
        ConfigError: The network seems to have one layer only.

    Source:
        Bao et al. 2021, arXiv:2106.08254; the layers of timm's networks are those timm gives them for this.
    """
    layers = layer_numbers(network.base)
    last = max(layers.values(), default=0)
    if last == min(layers.values(), default=0):
        raise ConfigError(
            f"train.layer_decay has no effect: {type(network.base).__name__} has no layers one after the other.",
            got="all parameters are in one module",
            fix="leave train.layer_decay out, or give the network a group_matcher as timm's have",
        )
    return {
        parameter: decay ** (last - layers[_base_name(name)])
        for name, parameter in network.named_parameters()
    }


def layer_numbers(model: nn.Module) -> dict[str, int]:
    """Return the layer of each parameter, counted from the images on.

    Layers are those of the model's ``group_matcher``, timm's way to name them. Without one they are its children in
    the order in which they were made, those of lists and sequences one by one.
    """
    matcher = getattr(model, "group_matcher", None)
    if matcher is not None:
        from timm.models import group_parameters  # on first use: slow to import

        layers: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
        return layers
    units = dict.fromkeys(_unit(model, name) for name, _ in model.named_parameters())
    order = {unit: number for number, unit in enumerate(units)}
    return {name: order[_unit(model, name)] for name, _ in model.named_parameters()}


def _unit(model: nn.Module, name: str) -> str:
    """Return the path of the model's child that a parameter is in."""
    path = ""
    for part in name.split(".")[:-1]:
        path = f"{path}.{part}" if path else part
        model = model.get_submodule(part)
        if not isinstance(model, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            break
    return path


def _base_name(name: str) -> str:
    """Return the name of the base network's parameter that a supernet's is, or adds to."""
    owner, _, rest = name.partition(".")
    return rest if owner == "base" else rest.rpartition("[")[0].replace("/", ".")
