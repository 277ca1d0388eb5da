"""Both arms start from the same weights; what does not fit is said before any time is spent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from netaug.config import ModelConfig, NetAugConfig
from netaug.core.errors import ConfigError, ModelError
from netaug.data import DataInfo
from netaug.elastic import Supernet
from netaug.elastic.plain_network import BaseOnly
from netaug.models.trial import check_trains
from netaug.train.build import build_model, build_network, check_steps, example_input, make_card

INFO = DataInfo("fake", tuple("abcde"), 1, 8, (0.5,), (0.25,), 1.0, 12, 4, "val")
MICRO = ModelConfig(name="micronet", options={"stem": 3, "channels": [3], "blocks": [1], "strides": [1]})
HERE = f"{__name__}:"


@pytest.mark.parametrize("init", ["model", "uniform", "he", "fan_out", "widest"])
def test_both_arms_start_from_the_same_weights(init: str) -> None:
    model = replace(MICRO, init=init)  # type: ignore[arg-type]
    arms = []
    for enabled in (False, True):
        netaug = NetAugConfig(enabled=enabled)
        torch.manual_seed(int(enabled))  # what was drawn before must not matter
        arms.append(build_network(build_model(model, INFO, 4), model, netaug, INFO, seed=4))
    baseline, supernet = arms
    assert isinstance(baseline, BaseOnly)
    for name, tensor in baseline.base.state_dict().items():
        assert torch.equal(tensor, supernet.base.state_dict()[name])
    assert baseline.macs() == supernet.macs({})
    other = build_network(build_model(model, INFO, 5), model, netaug, INFO, seed=5).base.state_dict()
    assert any(not torch.equal(other[name], tensor) for name, tensor in baseline.base.state_dict().items())


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_model(MICRO, INFO, 4)
    example_input(INFO)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("name", "value"), [("num_classes", 7), ("in_chans", 3)])
def test_a_network_for_other_data_is_refused(name: str, value: int) -> None:
    with pytest.raises(ModelError, match=rf"(?s)model\.{name} differs.*{value}.*leave model\.{name} out"):
        build_model(replace(MICRO, **{name: value}), INFO, 0)  # type: ignore[arg-type]


def test_images_too_small_for_the_strides_are_refused_with_a_size() -> None:
    with pytest.raises(ModelError, match=r"8x8 pixels are too small for 'mobilenetv2-tiny'(?s:.*)144"):
        build_model(ModelConfig(name="mobilenetv2-tiny"), INFO, 0)


def unpadded(*, num_classes: int, in_chans: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_chans, 4, 11), nn.Flatten(), nn.Linear(4, num_classes))


def headless(*, num_classes: int, in_chans: int) -> nn.Module:
    return nn.Conv2d(in_chans, num_classes, 3)


def test_a_forward_that_fails_is_a_message() -> None:
    with pytest.raises(
        ModelError, match=r"cannot run on images of 8x8 pixels(?s:.*)RuntimeError(?s:.*)data\.image_size"
    ):
        build_model(ModelConfig(name=HERE + "unpadded"), INFO, 0)


def test_outputs_that_are_no_logits_are_refused() -> None:
    with pytest.raises(ModelError, match=r"one logit per class(?s:.*)\(2, 5, 6, 6\)"):
        build_model(ModelConfig(name=HERE + "headless"), INFO, 0)


class _Auxiliary(nn.Module):
    """Returns one tensor in evaluation, two in training."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        logits = self.head(x.flatten(1))
        return (logits, logits) if self.training else logits


def test_outputs_that_are_no_logits_in_training_only_are_refused() -> None:
    with pytest.raises(ModelError, match=r"one logit per class in training(?s:.*)tuple"):
        check_trains(_Auxiliary(), "x", example_input(INFO), 5)


def test_batches_too_small_for_batch_norm_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 5, 8), nn.BatchNorm2d(5), nn.Flatten())
    check_trains(model, "x", example_input(INFO), 5)
    with pytest.raises(ModelError, match=r"cannot be trained(?s:.*)more than 1 value(?s:.*)data\.batch_size"):
        check_trains(model, "x", example_input(INFO)[:1], 5)
    assert not model[1].num_batches_tracked  # type: ignore[truthy-bool]


def test_a_resolution_that_the_network_is_too_deep_for_is_refused() -> None:
    """Padding would let it run; but a stride over one pixel subsamples nothing."""
    model = build_model(MICRO, INFO, 0)
    with pytest.raises(ModelError, match=r"netaug\.resolution is too low(?s:.*)1x1 pixels(?s:.*)0\.1 of 8"):
        build_network(model, MICRO, NetAugConfig(resolution=0.1), INFO, seed=0)


def test_a_run_none_of_whose_steps_is_augmented_is_refused() -> None:
    model = build_model(MICRO, INFO, 0)
    network = build_network(model, MICRO, NetAugConfig(start=0.5, augment_every=8), INFO, seed=0)
    check_steps(network, 9)
    check_steps(build_network(model, MICRO, NetAugConfig(enabled=False), INFO, seed=0), 8)
    with pytest.raises(ConfigError, match=r"none of the 8 steps(?s:.*)augment_every 8, netaug\.start 0\.5"):
        check_steps(network, 8)


def test_a_palette_larger_than_the_run_is_refused() -> None:
    model = build_model(MICRO, INFO, 0)
    network = build_network(model, MICRO, NetAugConfig(palette=9, draws=2), INFO, seed=0)
    check_steps(network, 5)
    with pytest.raises(ConfigError, match=r"palette has more networks(?s:.*)at most 8"):
        check_steps(network, 4)


@pytest.mark.parametrize(
    "settings",
    [
        NetAugConfig(width_until=0.0, expand_until=0.0),
        NetAugConfig(width=(1.0,), expand_until=0.0),
        NetAugConfig(width_until=0.0, expand=(1.0,)),
        NetAugConfig(start=0.5, width_until=0.5, expand_until=0.4),
    ],
)
def test_a_schedule_that_never_widens_is_refused(settings: NetAugConfig) -> None:
    """It would train the baseline under the name of NetAug."""
    model = build_model(MICRO, INFO, 0)
    with pytest.raises(ConfigError, match=r"no step would train a wider network(?s:.*)width_until"):
        build_network(model, MICRO, settings, INFO, seed=0)


def test_the_trial_leaves_statistics_and_mode_alone() -> None:
    model = build_model(MICRO, INFO, 0)
    assert all(module.training for module in model.modules())
    counts = [tensor for name, tensor in model.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counts
    assert not any(counts)


def test_the_card_says_what_the_data_is() -> None:
    card = make_card(MICRO, INFO, 12.5)
    assert (card.class_names, card.in_chans, card.image_size, card.top1) == (INFO.class_names, 1, 8, 12.5)
    assert (card.name, card.options, card.mean, card.std) == ("micronet", MICRO.options, INFO.mean, INFO.std)


def test_the_widest_start_is_sorted_before_the_first_step() -> None:
    """As in the released code; weights of a file keep their channels, and only what is added is drawn."""
    config = replace(MICRO, init="widest")
    supernet = build_network(build_model(config, INFO, 4), config, NetAugConfig(), INFO, seed=4)
    assert isinstance(supernet, Supernet)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    supernet.sort_channels()
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    unsorted = build_network(
        build_model(config, INFO, 4), config, NetAugConfig(sort=False), INFO, seed=4
    ).state_dict()
    assert any(not torch.equal(tensor, before[name]) for name, tensor in unsorted.items())


def test_weights_of_a_file_are_not_sorted_away(tmp_path: Path) -> None:
    given = build_model(MICRO, INFO, 9)
    torch.save(given.state_dict(), tmp_path / "given.pt")
    config = replace(MICRO, init="widest", weights=str(tmp_path / "given.pt"))
    supernet = build_network(build_model(config, INFO, 4), config, NetAugConfig(), INFO, seed=4)
    for name, tensor in given.state_dict().items():
        assert torch.equal(supernet.base.state_dict()[name], tensor), name
