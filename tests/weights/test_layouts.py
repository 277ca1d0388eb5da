"""Checkpoints of the paper's released code load exactly: every tensor used once, the same logits."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import netaug
from netaug import AugmentConfig, Supernet, augment
from netaug.core.errors import CheckpointError
from netaug.models import create_model
from netaug.weights import load_weights
from netaug.weights.files import read_weights
from netaug.weights.layouts import RELEASED
from netaug.weights.widest import put_widest
from tests.weights.released import NETS, Net, State, forward, shapes, state_dict, widened

CLASSES = 10


def write(path: Path, content: object, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def assert_answers_as(model: nn.Module, net: Net, state: State) -> None:
    """The network's logits are those of the released wiring, to float64's precision."""
    expected = forward(net, state, images())
    assert expected.std() > 0.01  # else anything would do
    torch.testing.assert_close(model.double().eval()(images().double()), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_a_released_checkpoint_gives_the_released_networks_logits(name: str, tmp_path: Path) -> None:
    state = state_dict(NETS[name], CLASSES)
    model = create_model(name, num_classes=CLASSES)
    loaded = load_weights(model, write(tmp_path / "target.pt", {"state_dict": state}, legacy=True))
    assert (loaded.part, loaded.kept, loaded.widened) == ("state_dict", (), False)
    assert loaded.tensors == len(state) == len(model.state_dict())
    assert loaded.parameters == sum(p.numel() for p in model.parameters())
    assert_answers_as(model, NETS[name], state)


@pytest.mark.parametrize("name", NETS)
def test_every_name_of_both_sides_is_used_once(name: str) -> None:
    model = create_model(name, num_classes=CLASSES)
    names = RELEASED.names(model)
    assert names is not None
    assert list(names) == list(model.state_dict())
    assert sorted(names.values()) == sorted(shapes(NETS[name], CLASSES))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("width", "expand"), [(1.8, 2.8), (1.0, 2.2), (3.0, 1.0)])
def test_a_checkpoint_of_the_released_training_gives_the_tiny_network_in_it(
    name: str, width: float, expand: float, tmp_path: Path
) -> None:
    """It holds the widest network; the first channels of every tensor are the tiny one."""
    net = NETS[name]
    wide = state_dict(widened(net, width, expand), CLASSES)
    content = {"state_dict": wide, "epoch": 3, "best_val": 50.0, "optimizer": {"state": {}}}
    model = create_model(name, num_classes=CLASSES)
    assert load_weights(model, write(tmp_path / "best.pt", content)).widened
    tiny = {
        key: wide[key][tuple(slice(size) for size in shape)] for key, shape in shapes(net, CLASSES).items()
    }
    assert any(tiny[key].shape != wide[key].shape for key in tiny)
    assert_answers_as(model, net, tiny)


def assert_sorted_as_released(supernet: Supernet, net: Net, wide: State) -> None:
    """After sorting the tiny network is the one that the released code's order gives, its gates included."""
    state = {key: tensor.double() for key, tensor in wide.items() if tensor.is_floating_point()}
    for block in net.blocks:
        if not block.hidden:
            continue
        order = state[f"{block.place}.point_conv.conv.weight"].abs().sum((0, 2, 3)).argsort(descending=True)
        outputs = [f"{block.place}.{unit}.{key}" for unit in UNITS for key in OF_A_UNIT]
        inputs = [f"{block.place}.point_conv.conv.weight"]
        if block.gate:
            gate = f"{block.place}.se_layer"
            outputs += [f"{gate}.expand_conv.weight", f"{gate}.expand_conv.bias"]
            inputs.append(f"{gate}.reduce_conv.weight")
            inner = state[f"{gate}.expand_conv.weight"].abs().sum((0, 2, 3)).argsort(descending=True)
            state[f"{gate}.expand_conv.weight"] = state[f"{gate}.expand_conv.weight"][:, inner]
            for key in ("weight", "bias"):
                state[f"{gate}.reduce_conv.{key}"] = state[f"{gate}.reduce_conv.{key}"][inner]
        state |= {key: state[key][order] for key in outputs} | {key: state[key][:, order] for key in inputs}
    tiny = {
        key: state[key][tuple(map(slice, shape))]
        for key, shape in shapes(net, CLASSES).items()
        if key in state
    }
    subject = copy.deepcopy(supernet).double().eval()
    before = subject.base(images().double())
    subject.sort_channels()
    names = RELEASED.names(subject.base)
    assert names is not None
    own = {
        names[key]: buffer for key, buffer in subject.base.named_buffers()
    }  # those of channels that moved in
    expected = forward(net, tiny | own, images())
    found = subject.base(images().double())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found, before, rtol=0.1)


UNITS = ("inverted_conv", "depth_conv")
OF_A_UNIT = ("conv.weight", "norm.weight", "norm.bias")


def test_a_checkpoint_of_the_released_training_goes_on_as_a_supernet(tmp_path: Path) -> None:
    """All of the widest network in it arrives, base and added weights; with other multipliers it is refused."""
    net = NETS["mobilenetv3-0.35"]
    wide_net = widened(net, 2.0, 2.2)
    wide = state_dict(wide_net, CLASSES)
    path = write(tmp_path / "checkpoint.pt", {"state_dict": wide, "epoch": 3})
    model, images = create_model("mobilenetv3-0.35", num_classes=CLASSES), torch.rand(2, 3, 32, 32)
    supernet = augment(model, images, AugmentConfig(width=(1.0, 2.0), expand=(1.0, 2.2)))
    put_widest(supernet, read_weights(path), "mobilenetv3-0.35")
    network = supernet.extract(supernet.plan.widest).eval()
    names = RELEASED.names(network)
    assert names is not None
    theirs = wide | {  # the statistics of added channels are not kept, and are not needed
        names[key]: tensor for key, tensor in network.state_dict().items() if "running" in key
    }
    assert_answers_as(network, wide_net, theirs)
    assert_sorted_as_released(supernet, net, wide)
    assert load_weights(model, path).widened
    for key, tensor in model.state_dict().items():
        assert torch.equal(supernet.base.state_dict()[key], tensor)
    other = write(tmp_path / "other.pt", {"state_dict": state_dict(widened(net, 1.5, 2.2), CLASSES)})
    with pytest.raises(CheckpointError, match="does not hold the widest network of these settings"):
        put_widest(supernet, read_weights(other), "mobilenetv3-0.35")


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("mobilenetv2-0.35", "mobilenetv2-tiny"),
        ("mobilenetv2-tiny", "mobilenetv2-0.35"),
        ("mcunet", "mobilenetv2-tiny"),
        ("mobilenetv2-0.35", "proxylessnas-0.35"),
        ("mobilenetv3-0.35", "mobilenetv2-0.35"),
    ],
)
def test_weights_of_another_network_are_refused(given: str, asked: str, tmp_path: Path) -> None:
    model = create_model(asked, num_classes=CLASSES)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="does not fit StagedNet") as caught:
        load_weights(model, write(tmp_path / "x.pt", state_dict(NETS[given], CLASSES)))
    assert "names as in the network itself, 0 of" in str(caught.value.allowed)
    assert "names as in the NetAug paper's released code, " in str(caught.value.allowed)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key])


@pytest.mark.parametrize(("larger", "smaller"), [(0.5, 0.35), (0.7, 0.35), (1.0, 0.5), (1.4, 1.0)])
def test_a_larger_network_of_the_family_is_not_cut_to_a_smaller_one(
    larger: float, smaller: float, tmp_path: Path
) -> None:
    """No one multiplier explains its channels, so its first channels are no network."""
    big = create_model(f"mobilenetv2-{larger}", num_classes=CLASSES)
    names = RELEASED.names(big)
    assert names is not None
    state = {names[key]: tensor for key, tensor in big.state_dict().items()}
    path = write(tmp_path / "x.pt", state)
    load_weights(create_model(f"mobilenetv2-{larger}", num_classes=CLASSES), path)
    with pytest.raises(CheckpointError, match="of another shape"):
        load_weights(create_model(f"mobilenetv2-{smaller}", num_classes=CLASSES), path)


def test_a_network_wired_otherwise_has_no_released_names() -> None:
    """At width 0.25 our stem's block has a shortcut, that of the released code none: equal shapes, other logits."""
    assert RELEASED.names(create_model("mobilenetv2-0.25")) is None
    assert RELEASED.names(create_model("micronet")) is None
    assert RELEASED.names(nn.Linear(2, 2)) is None


def test_a_layout_without_names_for_a_network_is_named_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "x.pt", state_dict(NETS["mcunet"], CLASSES))
    with pytest.raises(CheckpointError, match="released code, which has none for this network"):
        load_weights(create_model("mobilenetv2-0.25"), path)


def test_differences_are_named_with_counts_and_shapes(tmp_path: Path) -> None:
    state = state_dict(NETS["mcunet"], CLASSES)
    state["extra.weight"] = torch.zeros(2, 3)
    del state["head.op_list.2.linear.bias"]
    state["head.op_list.2.linear.weight"] = torch.zeros(4, 160)
    with pytest.raises(CheckpointError) as caught:
        load_weights(create_model("mcunet", num_classes=CLASSES), write(tmp_path / "x.pt", state))
    assert caught.value.got == (
        "1 missing: head.op_list.2.linear.bias (10,); 1 unexpected: extra.weight (2, 3); "
        "1 of another shape: head.op_list.2.linear.weight: file (4, 160), network (10, 160)"
    )


def test_long_lists_of_differences_are_cut(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_weights(create_model("mcunet"), write(tmp_path / "x.pt", {"a": torch.zeros(1)}))
    assert caught.value.got == (
        "272 missing: stem.conv.weight (16, 3, 3, 3), stem.norm.weight (16,), stem.norm.bias (16,), ...; "
        "1 unexpected: a (1,)"
    )


def test_loading_by_name_is_public(tmp_path: Path) -> None:
    model = netaug.create_model("mcunet", num_classes=CLASSES)
    path = write(tmp_path / "x.pt", model.state_dict())
    twin = netaug.create_model("mcunet", num_classes=CLASSES)
    netaug.load_weights(twin, path)
    for key, tensor in model.state_dict().items():
        assert torch.equal(twin.state_dict()[key], tensor)
