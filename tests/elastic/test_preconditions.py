"""What cannot be augmented is refused at once, with the module's name and what to do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import dynamic

from netaug import augment
from netaug.core.errors import ModelError, UnsupportedModelError
from tests import tiny


class Masked(tiny.Plain):
    """Takes two inputs."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * mask)


class Named(tiny.Plain):
    """Takes an input by keyword."""

    def forward(self, x: Tensor, *, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * mask)


class Fickle(tiny.Plain):
    """Its control flow depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class Holder(nn.Module):
    """Holds another network as ``inner``."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)  # type: ignore[no-any-return]


def _scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(tiny.build("plain").eval(), tiny.images())  # type: ignore[no-any-return]


def _quantized() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(dynamic.Linear(3, 5))


def _normalized_by_hook() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = tiny.build("plain")
        nn.utils.weight_norm(network.get_submodule("second"))
    return network


def _in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return tiny.build("plain")


def _with_nan() -> nn.Module:
    network = tiny.build("plain")
    with torch.no_grad():
        network.get_parameter("classifier.weight")[0, 0] = float("nan")
    return network


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tiny.Plain, r"is a class.*got: +Plain.*make one: Plain\("),
        (lambda: "mcunet", "is not a network.*got: +str.*nn.Module"),
        (
            lambda: augment(tiny.build("plain"), tiny.images()),
            r"is a supernet already.*\.base.*\.extract\(\)",
        ),
        (
            lambda: nn.DataParallel(tiny.build("plain")),
            r"wrapped for several devices.*DataParallel.*\.module",
        ),
        (lambda: torch.compile(tiny.build("plain"), backend="eager"), r"is compiled.*_orig_mod"),
        (_scripted, r"'inner' is scripted or traced.*\.extract\(\)"),
        (
            _quantized,
            r"'inner\.0' is quantized.*quantize what \.extract\(\)",
        ),
        (_normalized_by_hook, r"'inner\.second\.weight' is computed.*remove_weight_norm"),
        (
            lambda: nn.Sequential(nn.LazyConv2d(4, 3)),
            r"'inner\.0\.weight' is not built yet.*run the model once",
        ),
        (lambda: tiny.build("plain").to("meta"), r"'inner\.first\.0\.weight' has a shape but no values"),
        (_in_inference_mode, r"'inner\.first\.0\.weight' was made in inference mode"),
        (_with_nan, r"'inner\.classifier\.weight' holds values that are not finite"),
    ],
)
def test_a_network_that_cannot_be_augmented_is_named_with_what_to_do(
    make: Callable[[], Any], message: str
) -> None:
    made = make()
    inner_only = "inner" in message
    for network in [Holder(made)] if inner_only else [made]:
        with pytest.raises(ModelError, match="(?s)" + message):
            augment(network, tiny.images())


@pytest.mark.parametrize(
    ("network", "example", "message"),
    [
        (
            Masked,
            tiny.images(),
            r"takes other inputs.*got: +1 input.*missing.*'mask'.*\(x.*mask.*as one tuple",
        ),
        (tiny.Plain, (tiny.images(), tiny.images()), "takes other inputs.*got: +2 inputs.*too many"),
        (Named, tiny.images(), r"takes other inputs.*'mask'.*wrap the model"),
        (tiny.Plain, {"x": tiny.images()}, "not a tensor.*got: +dict.*wrap the model"),
        (tiny.Plain, tiny.images()[:0], r"is empty.*\[0, 3, 8, 8\]"),
        (tiny.Plain, tiny.images().to("meta"), "another device.*input on meta, model on cpu"),
        (tiny.Plain, tiny.images()[0], r"does not run.*\[3, 8, 8\].*in 'first\.1'.*expected 4D"),
        (tiny.Plain, tiny.images().byte(), r"does not run.*uint8.*parameters torch\.float32.*in 'first\.0'"),
        (
            tiny.Plain,
            tiny.images().double(),
            r"does not run.*float64.*parameters torch\.float32.*in 'first\.0'",
        ),
        (tiny.Plain, torch.randn(4, 2, 8, 8), r"does not run.*in 'first\.0' .*to have 3 channels, but got 2"),
        (Fickle, tiny.images(), r"cannot be recorded.*in 'Fickle' \(test_preconditions\.py:\d+\)"),
    ],
)
def test_an_example_that_does_not_fit_is_described(
    network: type[nn.Module], example: Any, message: str
) -> None:
    with pytest.raises(ModelError, match="(?s)" + message):
        augment(network(), example)


def test_the_line_named_is_the_one_that_depends_on_the_data() -> None:
    with pytest.raises(ModelError) as caught:
        augment(Holder(Fickle()), tiny.images())
    found = re.search(r"in 'inner' \(test_preconditions\.py:(\d+)\)", str(caught.value))
    assert found
    with open(__file__) as file:
        assert "x.sum() > 0" in file.read().splitlines()[int(found[1]) - 1]


def test_a_network_that_does_not_run_in_training_mode_is_refused() -> None:
    class Unfinished(tiny.Plain):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise NotImplementedError("later")
            return super().forward(x)

    with pytest.raises(
        ModelError, match=r"(?s)in training mode.*test_preconditions\.py:\d+\) NotImplementedError: later"
    ):
        augment(Unfinished(), tiny.images())


def test_a_network_that_fails_now_and_then_is_refused() -> None:
    class Moody(tiny.Plain):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            if self.training and x.is_meta:
                type(self).calls += 1
                if type(self).calls > 1:
                    raise RuntimeError("not again")
            return super().forward(x)

    with pytest.raises(ModelError, match=r"(?s)fails though nothing in it is wider.*not again"):
        augment(Moody(), tiny.images())


def test_several_inputs_go_in_as_a_tuple() -> None:
    supernet = augment(Masked(), (tiny.images(), torch.ones(1, 1, 8, 8)))
    supernet.use_widest()
    assert supernet(tiny.images(), torch.ones(1, 1, 8, 8)).shape == (4, 5)


def test_weights_tied_in_different_roles_stay_right() -> None:
    """One weight used as it is and transposed: whatever widens, the wide network is the one extracted."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.tied, self.head = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.tied(self.first(x)))
            return self.head(nn.functional.linear(x, self.tied.weight.t()))  # type: ignore[no-any-return]

    x = torch.randn(4, 3)
    supernet = augment(Tied(), x)
    supernet.use_widest()
    assert torch.equal(supernet.extract(supernet.plan.widest)(x), supernet(x))


class AttentionMask(tiny.Plain):
    """Keeps the mask of a causal attention, which is of minus infinity by design."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((3, 3), float("-inf")).triu(1))
        self.mask: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.mask.softmax(1).sum() / 3)


def test_a_mask_of_minus_infinity_is_no_damage() -> None:
    network = AttentionMask()
    supernet = augment(network, tiny.images())
    assert torch.equal(supernet.eval()(tiny.images()), network.eval()(tiny.images()))
    network.mask[0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"'mask' holds values(?s:.*)4 of 9 values are NaN or infinite"):
        augment(network, tiny.images())


class ThroughNumpy(tiny.Plain):
    """Has no control flow, and yet cannot be recorded."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + float(len(x.detach().numpy()))


@pytest.mark.parametrize(
    ("network", "advice"), [(Fickle, "remove control flow"), (ThroughNumpy, "operations of torch alone")]
)
def test_control_flow_is_blamed_only_where_there_is_some(network: type[nn.Module], advice: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"cannot be recorded(?s:.*){advice}"):
        augment(network(), tiny.images())
