"""The promises of a supernet, on networks that others wrote: timm's, torchvision's, and every one of ours."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks.coverage.catalogue import build
from benchmarks.coverage.probe import (
    base_is_the_model,
    extracted_is_the_supernet,
    gradients_reach_all_that_is_added,
    images_of,
    revive,
    smallest_size,
)
from netaug import AugmentConfig, Supernet, augment, create_model
from netaug.models.registry import default_image_size, list_models
from tests import tiny

QUICK = [
    "timm:lcnet_035",
    "timm:mobilenetv3_small_050",
    "timm:test_byobnet",
    "timm:test_convnext",
    "timm:test_resnet",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:squeezenet1_1",
]
"""Small ones of different kinds: gates, branches, groups, layer norms, shuffled and concatenated channels."""
OF_TIMM = [
    *("convnext_atto", "convnext_femto_ols", "convnextv2_atto", "crossvit_tiny_240", "cs3darknet_s"),
    *("cspnext_s", "densenet121", "dla46_c", "dla46x_c", "dla60x_c", "edgenext_xx_small", "efficientnet_b0"),
    *("efficientnet_es", "efficientnet_lite0", "efficientvit_b0", "efficientvit_m0", "ese_vovnet19b_slim"),
    *(
        "fastvit_t8",
        "fbnetc_100",
        "fbnetv3_b",
        "ghostnet_100",
        "ghostnetv2_100",
        "hardcorenas_a",
        "lcnet_050",
    ),
    *(
        "levit_128s",
        "mixnet_s",
        "mnasnet_small",
        "mobilenet_edgetpu_v2_xs",
        "mobilenetv1_100",
        "mobilenetv2_050",
    ),
    *(
        "mobilenetv3_large_075",
        "mobilenetv4_conv_small_035",
        "mobileone_s0",
        "mobilevit_xxs",
        "mobilevitv2_050",
    ),
    *(
        "pit_ti_224",
        "regnetx_002",
        "regnety_002",
        "repghostnet_050",
        "repvgg_a0",
        "repvit_m0_9",
        "resnet10t",
        "resnet14t",
    ),
    *("rexnet_100", "semnasnet_075", "spnasnet_100", "starnet_s1", "test_efficientnet", "test_nfnet"),
    *(
        "test_mambaout",
        "tf_efficientnet_lite0",
        "tf_mobilenetv3_small_minimal_100",
        "tinynet_e",
        "xcit_nano_12_p16_224",
    ),
]
SLOW = [*(f"timm:{name}" for name in OF_TIMM), *(f"netaug:{name}" for name in list_models())]
CONFIG = AugmentConfig(width=(1.0, 1.5), expand=(1.0, 2.0))
PROMISES = [base_is_the_model, extracted_is_the_supernet, gradients_reach_all_that_is_added]


def _network(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    library, _, own = name.partition(":")
    if library == "netaug":
        network, own_size = create_model(own, num_classes=10), default_image_size(own)
    else:
        network, own_size = build(name), 288
    revive(network.train())
    return network, images_of(3, smallest_size(network, 3, own_size))


def _assert_promises(name: str) -> None:
    network, images = _network(name)
    supernet = augment(network, images, CONFIG)
    assert supernet.macs(supernet.plan.widest) > supernet.macs()
    for promise in PROMISES:
        assert promise(network, supernet, images) == "", promise.__name__


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_promises_hold_on_networks_of_others(name: str) -> None:
    """Base and extracted networks to the bit, gradients to all that is added."""
    _assert_promises(name)


@pytest.mark.coverage
@pytest.mark.parametrize("name", SLOW)
def test_promises_hold_on_the_zoo(name: str) -> None:
    """The same on all kinds of small networks of timm, and on every network of ours."""
    _assert_promises(name)


@pytest.mark.parametrize("promise", PROMISES)
def test_each_promise_can_be_broken(promise: Callable[[nn.Module, Supernet, Tensor], str]) -> None:
    """A check that never fails would prove nothing."""
    network, images = tiny.build("plain"), tiny.images()
    supernet = augment(network, images, CONFIG)
    assert promise(network, supernet, images) == ""
    other = copy.deepcopy(supernet)
    with torch.no_grad():
        next(other.base.parameters()).add_(1e-3)
    if promise is gradients_reach_all_that_is_added:
        for parameter in supernet.parameters():
            parameter.detach().zero_()
    elif promise is extracted_is_the_supernet:
        supernet.extract = other.extract  # type: ignore[method-assign]
    assert promise(network, other if promise is base_is_the_model else supernet, images) != ""
