"""The reference networks of MLPerf Tiny have the published sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netaug import AugmentConfig, augment
from netaug.models import create_model
from netaug.profile import profile

# Parameters as Keras prints them for the reference models, which counts a bias before each norm and the norm's running
# statistics; and millions of MACs (arXiv:2106.07597 and the benchmark's reference implementations).
PUBLISHED = {
    "resnet8": (10, (3, 32, 32), 78_666, "12.50"),
    "mobilenetv1-0.25": (2, (3, 96, 96), 221_794, "7.49"),
    "ds-cnn": (12, (1, 49, 10), 24_908, "2.66"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_is_the_published_one(name: str) -> None:
    num_classes, shape, parameters, macs = PUBLISHED[name]
    model = create_model(name, num_classes=num_classes, in_chans=shape[0])
    cost = profile(model, torch.zeros(1, *shape))
    normalized = sum(module.num_features for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert cost.params + normalized + 2 * normalized == parameters
    assert f"{cost.macs / 1e6:.2f}" == macs


@pytest.mark.parametrize("name", PUBLISHED)
def test_they_widen_in_every_layer_and_stay_the_same_inside(name: str) -> None:
    num_classes, shape, _, _ = PUBLISHED[name]
    model = create_model(name, num_classes=num_classes, in_chans=shape[0])
    images = torch.rand(2, *shape)
    before = model.eval()(images)
    supernet = augment(model, torch.zeros(2, *shape), AugmentConfig(width=(1, 2), expand=(1, 2)))
    assert torch.equal(supernet.base.eval()(images), before)
    supernet.use_widest()
    assert supernet.macs() > 3 * profile(model, torch.zeros(1, *shape)).macs


def test_a_spectrogram_shrinks_to_25_by_5_as_in_the_reference() -> None:
    stem = create_model("ds-cnn", num_classes=12, in_chans=1).stem
    assert stem(torch.rand(1, 1, 49, 10)).shape == (1, 64, 25, 5)
