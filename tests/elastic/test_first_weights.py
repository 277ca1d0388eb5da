"""First weights on the widest network's tensors have the released code's distributions, base and added as one draw."""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, Supernet, augment
from netaug.elastic.axes import added_dims, added_key, join
from netaug.elastic.first_weights import draw_widest
from tests import tiny


def _whole(supernet: Supernet, name: str) -> Tensor:
    dims = added_dims(supernet.plan.axes.get(name, {}))
    return join(
        supernet.base.get_parameter(name), {dim: supernet.added[added_key(name, dim)] for dim in dims}
    )


@cache
def _traced() -> Supernet:
    config = AugmentConfig(width=(1.0, 4.0), expand=(1.0, 6.0))
    return augment(tiny.build("inverted"), tiny.images(), config)


def _drawn(seed: int = 3, **settings: Any) -> Supernet:
    supernet = copy.deepcopy(_traced())
    draw_widest(supernet, seed, **settings)
    return supernet


# Fan-in of the widest network of `inverted`: stem and block widths 4 times 3 (image), 8, 24, 6 and 12 channels.
KINDS = {
    "stem": ("stem.0.weight", 3 * 9),
    "expanding": ("expand.0.weight", 32),
    "depthwise": ("depthwise.0.weight", 9),
    "gate": ("squeeze.weight", 8 * 4 * 3 * 6),
    "projecting": ("project.0.weight", 8 * 4 * 3 * 6),
}


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_uniform_within_one_over_the_root_of_the_widest_fan_in(kind: str) -> None:
    name, fan_in = KINDS[kind]
    supernet = _drawn()
    whole, bound = _whole(supernet, name), 1 / math.sqrt(fan_in)
    assert whole[0].numel() == fan_in
    assert whole.abs().max() <= bound
    assert whole.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.08)
    assert supernet.base.get_parameter(name).std().item() == pytest.approx(bound / math.sqrt(3), rel=0.2)


def test_a_linear_classifier_is_normal_and_norms_and_biases_stay() -> None:
    names = [f"classifier.{part}" for part in ("weight", "bias")]
    network = tiny.build("inverted")
    before = dict(network.named_parameters())
    supernet = augment(network, tiny.images(), AugmentConfig(width=(1.0, 20.0)))
    draw_widest(supernet, 0, classifiers=names)
    whole = _whole(supernet, "classifier.weight")
    assert whole.std().item() == pytest.approx(0.02, rel=0.1)
    drawn = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    for name, parameter in supernet.base.named_parameters():
        assert torch.equal(parameter, before[name]) != (name in drawn), name


def test_what_a_file_gave_is_kept_and_draws_depend_on_seed_and_name_alone() -> None:
    once, again, other = _drawn(), _drawn(kept=["project.0.weight"]), _drawn(seed=4)
    given = tiny.build("inverted").state_dict()
    for name, tensor in again.base.state_dict().items():
        expected = given if name == "project.0.weight" else once.base.state_dict()
        assert torch.equal(tensor, expected[name]), name
    for name, tensor in once.added.state_dict().items():
        assert torch.equal(tensor, again.added.state_dict()[name])
    assert not torch.equal(once.base.project[0].weight, other.base.project[0].weight)
