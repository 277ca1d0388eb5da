"""What freezes and why, and what `augment` refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, augment
from netaug.core.errors import ConfigError, ModelError, UnsupportedModelError
from tests import tiny


def _roles(network: nn.Module, **settings: object) -> dict[str, str]:
    supernet = augment(network, tiny.images(), AugmentConfig(**settings))  # type: ignore[arg-type]
    return {name: group.role for name, group in supernet.groups.items()}


def test_unknown_operations_freeze_what_they_touch_and_say_so() -> None:
    groups = augment(tiny.build("rigid"), tiny.images()).groups
    assert groups["heads"].role == "frozen"
    assert "fails when it widens" in groups["heads"].reason
    assert groups["stem.0"].role == "width"
    assert groups["after.0"].role == "width"


def test_the_output_keeps_its_size() -> None:
    for name in tiny.NETWORKS:
        group = augment(tiny.build(name), tiny.images()).groups["classifier"]
        assert (group.role, group.reason) == ("frozen", "output of the network"), name


def test_concatenated_channels_keep_their_own_groups() -> None:
    groups = augment(tiny.build("concat"), tiny.images()).groups
    assert [name for name, group in groups.items() if group.role == "width"] == ["left.0", "right.0", "mix.0"]
    assert {"mix.0.weight[1]", "classifier.weight[1]"} <= set(groups["left.0"].members)


def test_residual_branch_expands_and_its_shortcut_does_not() -> None:
    roles = _roles(tiny.build("residual"))
    assert roles == {"classifier": "frozen", "stem.0": "width", "two": "width", "one.0": "expand"}


def test_stages_of_a_pyramid_are_not_the_branch_of_a_block() -> None:
    """What lies between a lateral layer and its addition is a backbone; only the block inside it expands."""
    roles = _roles(tiny.build("pyramid"))
    assert {name for name, role in roles.items() if role == "expand"} == {"inner.0"}
    assert roles["deep.0"] == roles["top"] == roles["shallow.0"] == "width"


def test_keep_takes_groups_modules_and_globs() -> None:
    assert _roles(tiny.build("inverted"), keep=("stem.0",))["stem.0"] == "frozen"
    assert _roles(tiny.build("inverted"), keep=("down",))["down.0.0"] == "frozen"
    kept = _roles(tiny.build("inverted"), keep=("sq*",))
    assert kept["squeeze"] == "frozen"
    assert kept["expand.0"] == "expand"
    with pytest.raises(ConfigError, match="matches no width group"):
        augment(tiny.build("inverted"), tiny.images(), AugmentConfig(keep=("nowhere",)))


class _FixedSplit(nn.Module):
    """Fails at run time when its channels widen, though every operation has a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 1), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        if x.shape[1] != 4:
            raise ValueError("four channels, please")
        return self.head(self.two(x).mean((2, 3)))


def test_a_group_that_breaks_the_network_is_found_and_frozen() -> None:
    groups = augment(_FixedSplit(), tiny.images(), AugmentConfig()).groups
    assert groups["one"].role == "frozen"
    assert "four channels, please" in groups["one"].reason
    assert groups["two"].role == "width"


def test_nothing_to_widen_is_an_error() -> None:
    with pytest.raises(UnsupportedModelError, match="nothing in 'Linear' can be widened"):
        augment(nn.Linear(3, 5), torch.randn(4, 3))
    with pytest.raises(UnsupportedModelError, match="multipliers leave every width"):
        augment(tiny.build("plain"), tiny.images(), AugmentConfig(width=(1.0,), expand=(1.0,)))


def test_data_dependent_control_flow_is_refused_without_noise(capfd: pytest.CaptureFixture[str]) -> None:
    class Fickle(tiny.Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    with pytest.raises(UnsupportedModelError, match=r"cannot be recorded by torch\.export"):
        augment(Fickle(), tiny.images())
    assert capfd.readouterr().err == ""


def test_a_wrong_example_is_refused_with_its_shape() -> None:
    with pytest.raises(ModelError, match=r"\[4, 3\]"):
        augment(tiny.build("plain"), torch.randn(4, 3))


def test_weights_that_are_not_finite_are_named() -> None:
    network = tiny.build("plain")
    with torch.no_grad():
        network.classifier.weight[0, 0] = float("nan")  # type: ignore[union-attr,index,operator]
    with pytest.raises(ModelError, match=r"classifier\.weight"):
        augment(network, tiny.images())


def test_lazy_parameters_are_named() -> None:
    with pytest.raises(ModelError, match=r"0\.weight"):
        augment(nn.Sequential(nn.LazyConv2d(4, 3)), tiny.images())


def test_one_example_is_enough() -> None:
    assert augment(tiny.build("inverted"), tiny.images(1)).groups["stem.0"].role == "width"


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": (float("nan"),)},
        {"expand": (1.0, float("inf"))},
        {"alpha": float("inf")},
        {"width": ()},
        {"expand": (0.5,)},
        {"alpha": 0.0},
        {"batch_share": 0.0},
        {"batch_share": 1.5},
        {"width_until": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        AugmentConfig(**wrong)  # type: ignore[arg-type]
