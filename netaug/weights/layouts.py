"""How programs name the tensors of a network: each layout says the file's name for each of the network's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from netaug.models.blocks import DepthwiseSeparable, StagedNet


@dataclass(frozen=True)
class Layout:
    """Describes a way to name the tensors of a network.

    Args:
        about: What a file in this layout is, for messages.
        names: From a network to its names: its own (keys of ``state_dict``) to the file's, each once; None for a
            network that this layout has no names for.
    """

    about: str
    names: Callable[[nn.Module], dict[str, str] | None]


def _own_names(model: nn.Module) -> dict[str, str]:
    return {name: name for name in model.state_dict()}


_STAGES = 5  # between the stem's block and the head, in each of the paper's networks
_BLOCK = {
    "expand": "inverted_conv",
    "depthwise": "depth_conv",
    "gate.fc1": "se_layer.reduce_conv",
    "gate.fc2": "se_layer.expand_conv",
    "project": "point_conv",
}


def _released_names(model: nn.Module) -> dict[str, str] | None:
    """Return the names in the NetAug paper's released code.

    Source:
        Cai et al. 2022, arXiv:2110.08890, released code (mit-han-lab/tinyml): `netaug/models/base`.
    """
    if not isinstance(model, StagedNet) or not _is_of_the_paper(model):
        return None
    names = {}
    parts = dict(_released_parts(model))
    for name in model.state_dict():
        (our_part,) = [part for part in parts if name.startswith(f"{part}.")]  # no part is inside another
        names[name] = parts[our_part] + name.removeprefix(our_part)
    assert len(set(names.values())) == len(names)
    return names


def _is_of_the_paper(model: StagedNet) -> bool:
    """Whether the released code has the same chain of layers; shortcuts have no tensors that would tell."""
    first, *stages = (list(stage.children()) for stage in model.stages.children())
    has_neck = not isinstance(model.neck, nn.Identity)
    return (
        len(stages) - (not has_neck) == _STAGES
        and len(first) == 1
        and isinstance(first[0], DepthwiseSeparable)
        and first[0].shortcut == has_neck
        and not any(stage[0].shortcut for stage in stages)
    )


def _released_parts(model: StagedNet) -> Iterator[tuple[str, str]]:
    """Yield prefixes of our names with those of the released ones."""
    yield "stem", "backbone.input_stem.op_list.0"
    head: list[tuple[str, str]] = []  # our layer, and what its names have behind their position
    for i, stage in enumerate(model.stages.children()):
        for j, block in enumerate(stage.children()):
            if i == 0:
                released = "backbone.input_stem.op_list.1.conv"
            elif i <= _STAGES:
                released = f"backbone.stages.{i - 1}.op_list.{j}.conv"
            else:
                released = f"head.op_list.{j}.conv"
                head.append(("", ""))
            for our_part, theirs in _BLOCK.items():
                if any(name.startswith(f"{our_part}.") for name in block.state_dict()):
                    yield f"stages.{i}.{j}.{our_part}", f"{released}.{theirs}"
    if not isinstance(model.last, nn.Identity):
        head.append(("last", ""))
    head.append(("", ""))  # the pool
    if not isinstance(model.neck, nn.Identity):
        head.append(("neck.0", ".conv"))
    head.append(("classifier", ".linear"))
    for position, (our_part, behind) in enumerate(head):
        if our_part:
            yield our_part, f"head.op_list.{position}{behind}"


OWN = Layout("names as in the network itself", _own_names)
RELEASED = Layout("names as in the NetAug paper's released code", _released_names)
LAYOUTS = (OWN, RELEASED)
