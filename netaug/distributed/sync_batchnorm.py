"""Computes batch norm over the images of all processes."""

from __future__ import annotations

import logging

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netaug.core.errors import ConfigError
from netaug.distributed.world import World

_SYNCED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: nn.SyncBatchNorm,
    nn.BatchNorm2d: nn.SyncBatchNorm,
    nn.BatchNorm3d: nn.SyncBatchNorm,
}
_log = logging.getLogger("netaug")


def check_syncing(device: torch.device) -> None:
    """Refuse a device without such a batch norm.

    Raises:
        ConfigError: The device is not CUDA.
    """
    if device.type != "cuda":
        raise ConfigError(
            "train.sync_batchnorm needs CUDA: torch has no such batch norm for other devices.",
            got=f"device {device}",
            fix="leave train.sync_batchnorm out; more images per process come close to it",
        )


def synchronize(network: nn.Module, world: World) -> list[str]:
    """Let batch norms in training use the mean and variance over all processes.

    The modules stay the same objects, with another class: a supernet holds on to them.

    Args:
        network: Changed in place.
        world: With a single process there is nothing to do, which is warned of.

    Returns:
        Names of the modules that are synchronized.

    Raises:
        ConfigError: There is no batch norm that could be.
    """
    if world.size == 1:
        _log.warning("train.sync_batchnorm changes nothing: there is one process")
        return []
    from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct  # on first use: slow to import

    synced_classes = {**_SYNCED, BatchNormAct2d: SyncBatchNormAct}
    # The class of a module is replaced, not the module: a supernet holds references to its modules.
    norms = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    done = []
    for name, module in norms.items():
        synced = synced_classes.get(type(module))
        if synced is None:
            _log.warning(
                "'%s' is not synchronized: there is no synchronized form of %s", name, type(module).__name__
            )
            continue
        module.__class__ = synced
        module.process_group = None  # type: ignore[assignment]  # all processes
        done.append(name)
    if not done:
        raise ConfigError(
            "train.sync_batchnorm has no effect: the network has no batch norm that could be synchronized.",
            got=", ".join(sorted({type(module).__name__ for module in norms.values()})) or "no batch norm",
            fix="leave train.sync_batchnorm out",
        )
    return done
