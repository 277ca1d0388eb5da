"""Synchronized batch norm is the same network with the same supernet; without CUDA it is refused."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct
from torch import nn

from netaug import AugmentConfig, augment
from netaug.core.errors import ConfigError
from netaug.distributed.sync_batchnorm import check_syncing, synchronize
from netaug.distributed.world import World
from tests import tiny


def test_base_and_wide_passes_are_what_they_were() -> None:
    """One process's mean over all processes is its own: torch then computes a plain batch norm, also on the CPU."""
    plain = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))
    synced = copy.deepcopy(plain)
    names = synchronize(synced.base, World(0, 2))
    assert names
    assert all(type(synced.base.get_submodule(name)) is nn.SyncBatchNorm for name in names)
    for network in (plain, synced):
        network.train()
    for widths in ({}, plain.plan.widest):
        for network in (plain, synced):
            network.use(widths)
        outputs = [network(tiny.images()) for network in (plain, synced)]
        assert torch.equal(*outputs)
    for name, tensor in plain.base.state_dict().items():
        assert torch.equal(tensor, synced.base.state_dict()[name])
    assert plain.base.state_dict().keys() == synced.extract().state_dict().keys()


def test_the_activation_of_timms_norm_stays() -> None:
    norm = nn.Sequential(BatchNormAct2d(3))
    outputs = norm(tiny.images())
    fresh = nn.Sequential(BatchNormAct2d(3))
    synchronize(fresh, World(0, 2))
    assert isinstance(fresh[0], SyncBatchNormAct)
    assert torch.equal(fresh(tiny.images()), outputs)
    assert outputs.min() == 0


def test_what_has_no_effect_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match="no batch norm"):
        synchronize(nn.Sequential(nn.Linear(2, 2)), World(0, 2))
    with caplog.at_level(logging.WARNING, logger="netaug"):
        assert synchronize(tiny.build("inverted"), World()) == []
    assert "one process" in caplog.text
    with pytest.raises(ConfigError, match="needs CUDA"):
        check_syncing(torch.device("cpu"))
