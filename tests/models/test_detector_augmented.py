"""NetAug on a detector: all of it or its backbone alone, with the promises that every network gets."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import torch
from torch import Tensor, nn

from benchmarks.coverage.probe import (
    base_is_the_model,
    extracted_is_the_supernet,
    gradients_reach_all_that_is_added,
    images_of,
    revive,
)
from netaug import AugmentConfig, create_model
from netaug.config.detect import DetectConfig
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.loss import detection_loss
from netaug.elastic import augment
from tests.detect import reference

TINY = {"channels": (4, 6, 8, 8), "blocks": (1, 1, 1, 2), "strides": (2, 2, 2, 2), "neck": (4, 4, 6)}
CONFIG = AugmentConfig(width=(1.0, 1.5), expand=(1.0, 2.0))
OUTPUTS = ("heads.0.1", "heads.1.1", "heads.2.1")
PROMISES = (base_is_the_model, extracted_is_the_supernet, gradients_reach_all_that_is_added)


def _detector(name: str = "micronet") -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    network = create_model(f"yolov3:{name}", num_classes=3, **(TINY if name == "micronet" else {}))
    revive(network.train())
    return network, images_of(3, 64)


def _slow(name: str, *keep: str) -> object:
    return pytest.param(name, keep, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "keep"),
    [
        ("micronet", ()),
        ("micronet", ("neck.*", "heads.*")),
        ("micronet", ("backbone.*",)),
        _slow("mobilenetv2-0.35"),
        _slow("timm:mobilenetv3_small_050", "neck.*", "heads.*"),
        _slow("timm:resnet10t"),
    ],
)
def test_promises_hold(name: str, keep: tuple[str, ...]) -> None:
    """Base and extracted detectors to the bit, gradients to all that is added."""
    network, images = _detector(name)
    supernet = augment(network, images, AugmentConfig(width=CONFIG.width, expand=CONFIG.expand, keep=keep))
    wide = {group.name for group in supernet.groups.values() if group.most > group.base}
    for part in ("backbone", "neck", "heads"):
        kept = any(fnmatchcase(f"{part}.0", pattern) for pattern in keep)
        assert any(group.startswith(f"{part}.") for group in wide) != kept
    for promise in PROMISES:
        assert promise(network, supernet, images) == "", promise.__name__


def test_the_outputs_stay_and_all_else_of_neck_and_heads_widens() -> None:
    network, images = _detector()
    groups = augment(network, images, CONFIG).groups
    frozen = {name for name, group in groups.items() if group.role == "frozen"}
    assert frozen == set(OUTPUTS)
    convs = {name for name, one in network.named_modules() if isinstance(one, nn.Conv2d) and one.groups == 1}
    held = {
        member.partition("[")[0].removesuffix(".weight")
        for group in groups.values()
        for member in group.members
    }
    assert convs <= held


def test_the_wide_pass_weighs_as_the_base_pass() -> None:
    """The loss of maps does not depend on how many channels made them, so the passes of a step are alike."""
    network, images = _detector()
    supernet = augment(network, images, CONFIG)
    targets = reference.random_targets(len(images), 64, 0)
    losses = {}
    for pass_ in supernet.passes(0, 0.0):
        parts = detection_loss(supernet(images), targets, COCO_ANCHORS, DetectConfig())
        losses[pass_.name] = parts.total.item()
    assert losses["augmented"] == pytest.approx(losses["base"], rel=0.5)
    assert losses["augmented"] != losses["base"]
