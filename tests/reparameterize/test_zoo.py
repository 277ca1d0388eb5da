"""Networks people train: those of the paper, timm's, and the detector."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from netaug.models import create_model
from netaug.reparameterize import branches, depth
from netaug.reparameterize.pairs import find_pairs
from netaug.reparameterize.settings import BranchSettings, DepthSettings
from netaug.reparameterize.training_layers import training_layers
from tests.reparameterize.test_branches import same_form

PAPER = ("mcunet", "mobilenetv2-tiny", "mobilenetv3-0.35", "proxylessnas-0.35", "mobilenetv2-0.35")
TIMM = ("timm:resnet18", "timm:mobilenetv3_small_050", "timm:efficientnet_lite0")
DETECTOR = ("yolov3:mobilenetv2-0.1",)
DEEPER = ("mobilenetv2-tiny", "timm:resnet18", *DETECTOR)
SETTINGS = [(BranchSettings(branches=2), DepthSettings()), (BranchSettings(), DepthSettings(ratio=1.0))]


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER + TIMM + DETECTOR)
@torch.no_grad()
def test_the_plain_network_computes_what_was_trained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    model = create_model(name, num_classes=5).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = (
                1.0  # statistics are those of one batch: of any other size, values vanish in 50 layers
            )
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.5, 0.5)
    pairs, left = find_pairs(model, (x,))  # once: it takes most of the time, and is the same for both
    for where in (branches, depth):
        monkeypatch.setattr(where, "find_pairs", lambda *_: (list(pairs), list(left)))
    for settings in SETTINGS if name in DEEPER else SETTINGS[:1]:
        layers = training_layers(*settings, seed=0)
        network = layers.wrap(model, (x,))
        layers.on_step(network, 1.0)
        network.train()(x)
        outputs, plain = tree_leaves(network.eval()(x)), layers.finish(network)
        assert same_form(plain, model)
        for output, wanted in zip(tree_leaves(plain(x)), outputs, strict=True):
            assert float((wanted[0] - wanted[1]).abs().max()) > 1e-3
            assert float((output - wanted).abs().max()) < 1e-10 * max(1.0, float(wanted.abs().max()))
