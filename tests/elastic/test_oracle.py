"""Torch-Pruning's coupled channels as an independent oracle of our width groups, channel by channel.

Torch-Pruning (Fang et al. 2023, arXiv:2301.12900) walks autograd's graph to find which channels must be removed
together; we walk the exported graph to find which must be added together. Both divide the same *elements*, the
positions along the dimensions of parameters, into classes, and the classes must be the same: see ``docs/groups.md``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netaug import AugmentConfig, Supernet
from netaug.elastic.build import plan_supernet

Element = tuple[str, int, int]
"""Parameter, dimension, position along it."""

Classes = dict[Element, Any]
"""A label per element; elements with the same label are coupled."""

TILES = "tiles"
SPLITS = "splits"
FROZEN = "frozen"
FAST = ["lcnet_035", "resnet10t", "regnetx_002", "convnext_atto", "ghostnet_050"]
AGREEING = [
    *("mobilenetv2_035", "mobilenetv3_small_050", "mnasnet_small", "tinynet_e", "efficientnet_lite0"),
    *("fbnetc_100", "hardcorenas_a", "dla46_c", "densenet121", "hrnet_w18_small", "selecsls42", "repvgg_a0"),
    *("vgg11_bn", "ese_vovnet19b_dw", "mobilenetv4_conv_small", "gernet_s", "repghostnet_050"),
    "torchvision:squeezenet1_1",
]
MODELS: dict[str, frozenset[str]] = {
    **dict.fromkeys([*FAST, *AGREEING], frozenset()),
    **dict.fromkeys(["regnetx_002", "regnety_002", "resnext26ts"], frozenset({TILES})),
    **dict.fromkeys(["cspdarknet53", "tf_mixnet_s"], frozenset({SPLITS})),
    "edgenext_xx_small": frozenset({FROZEN, SPLITS}),
}
"""The kinds of difference in each model, besides the classifier's outputs, which we keep; most have none.

What the kinds mean and why they are right stands in ``docs/groups.md``.
"""
DOCUMENT = Path(__file__).parents[2] / "docs" / "groups.md"


def _model(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name.startswith("torchvision:"):
        model: nn.Module = torchvision.models.get_model(name.partition(":")[2], num_classes=5)
    else:
        model = timm.create_model(name, num_classes=5)
    return model.eval()


def _our_classes(supernet: Supernet) -> Classes:
    """Channels of what can widen, as (group, channel, tile): tiles of convolutions in groups are told apart."""
    parameters = dict(supernet.base.named_parameters())
    tiled = _tiled_groups(supernet)
    found: Classes = {}
    for name in supernet.plan.axes.keys() & parameters.keys():
        for dim, axis in supernet.plan.axes[name].items():
            start, seen = 0, defaultdict(int)
            for span in axis.spans:
                tile = seen[span.group] if span.group in tiled else 0
                seen[span.group] += 1
                for offset in range(span.base * span.repeat):
                    if supernet.groups[span.group].role != "frozen":
                        found[name, dim, start + offset] = (span.group, offset // span.repeat, tile)
                start += span.base * span.repeat
    return found


def _tiled_groups(supernet: Supernet) -> set[str]:
    return {
        span.group
        for name, module in supernet.base.named_modules()
        if isinstance(module, _ConvNd) and 1 < module.groups < module.in_channels
        for axis in supernet.plan.axes.get(f"{name}.weight", {}).values()
        for span in axis.spans
    }


def _their_classes(model: nn.Module, images: torch.Tensor) -> Classes:
    """Torch-Pruning's groups of every layer, merged channel by channel."""
    pruning = pytest.importorskip("torch_pruning")
    graph = pruning.DependencyGraph().build_dependency(model, images, verbose=False)
    names = {module: name for name, module in model.named_modules()}
    parents: dict[Element, Element] = {}

    def find(element: Element) -> Element:
        while (parent := parents.setdefault(element, element)) != element:
            parents[element] = parents[parent]
            element = parent
        return element

    for module in list(graph.module2node):
        if not isinstance(module, (nn.Linear, _ConvNd)):
            continue
        pruner = graph.get_pruner_of_module(module)
        channels = list(range(pruner.get_out_channels(module)))
        group = graph.get_pruning_group(module, pruner.prune_out_channels, channels)
        root, root_dim = next(_axes(graph, names, group[0].dep))
        for item in group:
            for name, dim in _axes(graph, names, item.dep):
                for position, channel in zip(item.idxs, item.root_idxs, strict=True):
                    parents[find((name, dim, position))] = find((root, root_dim, channel))
    return {element: find(element) for element in parents}


def _axes(graph: Any, names: dict[nn.Module, str], dependency: Any) -> Iterator[tuple[str, int]]:
    """The parameters and dimensions that one of Torch-Pruning's operations shortens."""
    module, outputs = dependency.target.module, graph.is_out_channel_pruning_fn(dependency.handler)
    if isinstance(module, nn.Parameter):
        yield graph._param_to_name[module], dependency.target.pruning_dim % module.dim()
    elif isinstance(module, (nn.Linear, _ConvNd)):
        out_dim = 1 if getattr(module, "transposed", False) else 0
        groups = getattr(module, "groups", 1)
        if outputs or groups == getattr(module, "out_channels", None) != 1:
            yield f"{names[module]}.weight", out_dim
            if module.bias is not None:
                yield f"{names[module]}.bias", 0
        elif groups == 1:
            yield f"{names[module]}.weight", 1 - out_dim
    else:
        for name, parameter in getattr(module, "_parameters", {}).items():
            if parameter is not None:
                yield f"{names[module]}.{name}", 0


def _differences(supernet: Supernet, theirs: Classes) -> set[str]:
    """The kinds of difference between the two divisions into classes."""
    shapes = {name: parameter.shape for name, parameter in supernet.base.named_parameters()}
    modules = dict(supernet.base.named_modules())
    outputs = {
        member
        for group in supernet.groups.values()
        if group.reason == "output of the network"
        for member in group.members
    }
    ours = _our_classes(supernet)
    there = {(name, dim, i): label for (name, dim, i), label in theirs.items() if i < shapes[name][dim]}
    together, apart = defaultdict(set), defaultdict(set)
    for element in ours.keys() & there.keys():
        together[ours[element]].add(there[element])
        apart[there[element]].add(ours[element])
    only_ours = {element[:2] for element in ours.keys() - there.keys()}
    only_theirs = {element[:2] for element in there.keys() - ours.keys()}
    grouped = {axis for axis in only_ours if getattr(modules[axis[0].rpartition(".")[0]], "groups", 1) > 1}
    mixed = any(max(map(len, side.values())) > 1 for side in (together, apart))
    found = {
        TILES: bool(grouped),
        SPLITS: mixed or bool(only_ours - grouped) or len(there) < len(theirs),
        FROZEN: any(f"{name}[{dim}]" not in outputs for name, dim in only_theirs),
    }
    return {kind for kind, present in found.items() if present}


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.coverage) for name in MODELS]
)
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")
def test_width_groups_are_the_coupled_channels_of_an_independent_tool(name: str) -> None:
    """The same classes of channels; a model with another kind of difference than the table says fails."""
    model, images = _model(name), torch.randn(2, 3, 64, 64)
    supernet = plan_supernet(model, images, AugmentConfig(width=(1.0, 1.25), expand=(1.0, 1.25)))
    theirs = _their_classes(model, images)
    assert len(_our_classes(supernet).keys() & theirs.keys()) > 500
    assert _differences(supernet, theirs) == MODELS[name]


@pytest.mark.coverage
@pytest.mark.parametrize("name", [name for name, kinds in MODELS.items() if kinds == {SPLITS}])
def test_where_the_tools_disagree_on_parts_base_channels_stay_where_they_belong(name: str) -> None:
    """The network itself decides: with zeros in all that is added it computes what the base network does."""
    model, images = _model(name).double().train(), torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    supernet = plan_supernet(model, images, AugmentConfig(width=(1.0, 1.25), expand=(1.0, 1.25)))
    supernet.use_widest()
    before = supernet(images)
    with torch.no_grad():
        for parameter in supernet.added.values():
            parameter.zero_()
    torch.testing.assert_close(supernet(images), model(images), rtol=1e-6, atol=1e-8)
    assert not torch.allclose(before, model(images))


def test_the_document_lists_every_model_with_its_differences() -> None:
    rows = [line.split("|")[1:-1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    listed = {
        name.strip("` "): frozenset(filter(None, kinds.strip().split(", ")))
        for names, kinds, *_ in rows
        for name in names.split(",")
    }
    assert listed == MODELS
