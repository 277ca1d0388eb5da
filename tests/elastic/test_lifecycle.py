"""What else happens to supernets: copied, saved, moved, compiled, hooked, augmented again."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug import AugmentConfig, Supernet, augment
from tests import tiny

CONFIG = AugmentConfig(
    width=(1.0, 1.5, 2.0), expand=(1.0, 2.0), groups={"stem*": (1.0, 2.0)}, max_macs_ratio=6.0
)


def _supernet(dtype: torch.dtype = torch.float32) -> Supernet:
    return augment(tiny.build("inverted").to(dtype), tiny.images().to(dtype), CONFIG)


def _train(supernet: Supernet, images: Tensor) -> None:
    """One step; every parameter that wants a gradient gets a finite one."""
    for pass_ in supernet.passes(3, 0.0):
        (pass_.weight * F.cross_entropy(supernet(images).float(), tiny.labels())).backward()
    for name, parameter in supernet.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


def _wide(supernet: Supernet, images: Tensor) -> Tensor:
    with supernet.at(supernet.plan.widest):
        return supernet(images)


def _saved(supernet: Supernet) -> Supernet:
    file = io.BytesIO()
    torch.save(supernet, file)
    file.seek(0)
    return torch.load(file, weights_only=False)  # type: ignore[no-any-return]


def _pickled(supernet: Supernet) -> Supernet:
    return pickle.loads(pickle.dumps(supernet))  # type: ignore[no-any-return]


@pytest.mark.parametrize("copied", [copy.deepcopy, _pickled, _saved])
@pytest.mark.parametrize("wide", [False, True])
def test_a_copy_is_whole_and_owes_nothing(copied: Callable[[Supernet], Supernet], wide: bool) -> None:
    supernet = _supernet()
    if wide:
        supernet.use_widest()
    images, expected, sampled = tiny.images(), supernet(tiny.images()), supernet.sample(5)
    twin = copied(supernet)
    with torch.no_grad():
        for tensor in supernet.state_dict().values():
            tensor.zero_()
    supernet.use_base()
    assert torch.equal(twin(images), expected)
    assert twin.sample(5) == sampled
    assert twin.config == CONFIG
    assert torch.equal(twin.extract(twin.plan.widest).train()(images), _wide(twin, images))
    _train(twin, images)
    assert all(not tensor.any() for tensor in supernet.added.values())
    twin.sort_channels()


def test_a_network_out_of_a_supernet_can_be_augmented_again() -> None:
    supernet, images = _supernet(), tiny.images()
    for network in (supernet.extract(), supernet.extract(supernet.plan.widest), supernet.base):
        again = augment(network, images, CONFIG)
        assert torch.equal(again(images), network(images))
        assert again.groups.keys() == supernet.groups.keys()
        _train(again, images)
    assert all(parameter.grad is None for parameter in supernet.parameters())


def test_loaded_weights_are_the_base() -> None:
    """Fine-tuning: added weights start like the loaded ones, not like fresh ones."""
    loaded = tiny.build("inverted")
    with torch.no_grad():
        loaded.get_parameter("expand.0.weight").mul_(100.0).add_(7.0)
    supernet = augment(loaded, tiny.images(), CONFIG)
    added = supernet.added["expand/0/weight[0]"]
    base = supernet.base.get_parameter("expand.0.weight")
    assert torch.equal(base, loaded.get_parameter("expand.0.weight"))
    assert added.mean().item() == pytest.approx(base.mean().item(), rel=0.3)
    assert added.std().item() == pytest.approx(base.std().item(), rel=0.3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("before", [True, False])
def test_other_types_of_numbers(dtype: torch.dtype, before: bool) -> None:
    """Half precision augmented, or a supernet converted: all parameters have the type, and both passes train."""
    supernet = _supernet(dtype) if before else _supernet().to(dtype)
    images = tiny.images().to(dtype)
    assert {parameter.dtype for parameter in supernet.parameters()} == {dtype}
    _train(supernet, images)
    assert _wide(supernet, images).dtype == dtype
    assert supernet.extract(supernet.plan.widest)(images).dtype == dtype


def test_autocast_runs_both_passes() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        _train(_supernet(), tiny.images())


def test_a_supernet_moves_as_a_whole() -> None:
    """To another device; meta stands for any."""
    supernet = _supernet().to("meta")
    assert {tensor.device.type for tensor in supernet.state_dict().values()} == {"meta"}
    for widths in (supernet.plan.widest, {}):
        with supernet.at(widths):
            assert supernet(tiny.images().to("meta")).shape == (4, 5)


def test_parameters_that_are_replaced_are_seen_by_wide_passes() -> None:
    supernet, other, images = _supernet(), _supernet(), tiny.images()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    assert not torch.allclose(_wide(supernet, images), _wide(other, images))
    supernet.load_state_dict(other.state_dict(), assign=True)
    assert torch.equal(_wide(supernet, images), _wide(other, images))
    supernet.base.stem[0].weight = nn.Parameter(torch.zeros(8, 3, 3, 3))  # type: ignore[union-attr,index,operator]
    with supernet.at(supernet.plan.widest):
        assert not supernet.wide_tensor("stem.0.weight")[:8].any()
        assert supernet.wide_tensor("stem.0.weight")[8:].any()


def test_frozen_parameters_stay_frozen_with_what_is_added_to_them() -> None:
    network = tiny.build("inverted")
    network.get_submodule("stem").requires_grad_(False)
    supernet = augment(network, tiny.images(), CONFIG)
    frozen = {name for name, parameter in supernet.named_parameters() if not parameter.requires_grad}
    assert frozen == {
        "base.stem.0.weight",
        "base.stem.1.weight",
        "base.stem.1.bias",
        "added.stem/0/weight[0]",
        "added.stem/1/weight[0]",
        "added.stem/1/bias[0]",
    }
    _train(supernet, tiny.images())


def test_hooks_of_modules_see_both_passes() -> None:
    network, seen = tiny.build("inverted"), []
    network.get_submodule("stem").register_forward_hook(
        lambda module, inputs, output: seen.append(output.shape[1])
    )
    supernet = augment(network, tiny.images(), CONFIG)
    seen.clear()
    supernet(tiny.images())
    _wide(supernet, tiny.images())
    assert seen == [8, 16]


def test_parametrized_weights_are_right_at_every_width() -> None:
    """What reads or makes them widens or is frozen with a reason; either way a wide pass is the wide network."""
    network = tiny.build("inverted")
    nn.utils.parametrizations.weight_norm(network.get_submodule("project.0"))
    supernet, images = augment(network, tiny.images(), AugmentConfig(width=(1.0, 2.0))), tiny.images()
    assert all(group.reason for group in supernet.groups.values() if group.role == "frozen")
    assert supernet.groups["down.0.0"].most > 16
    assert torch.equal(_wide(supernet, images), supernet.extract(supernet.plan.widest).train()(images))
    _train(supernet, images)


@pytest.mark.parametrize("compiled", ["base", "base in place", "supernet"])
def test_the_base_pass_can_be_compiled(compiled: str) -> None:
    """By a backend that needs no compiler; wide passes stay as they are and right, whichever part is compiled."""
    supernet, images = _supernet(), tiny.images()
    plain = copy.deepcopy(supernet)
    run_base = run = supernet
    if compiled == "base":
        run_base = torch.compile(supernet.base, backend="aot_eager")  # type: ignore[assignment]
    elif compiled == "supernet":
        run_base = run = torch.compile(supernet, backend="aot_eager")  # type: ignore[assignment]
    else:
        supernet.base.compile(backend="aot_eager")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for step in range(3):
        for pass_, expected in zip(supernet.passes(step, 0.0), plain.passes(step, 0.0), strict=True):
            outputs, wanted = (run_base if pass_.name == "base" else run)(images), plain(images)
            torch.testing.assert_close(outputs, wanted)
            outputs.sum().backward()
            wanted.sum().backward()
            assert pass_ == expected
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    for (name, parameter), other in zip(supernet.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)
    torch.testing.assert_close(supernet.extract().eval()(images), plain.extract().eval()(images))
