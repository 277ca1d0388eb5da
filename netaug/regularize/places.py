"""Find where in a network a regularizer belongs: its residual branches, its late feature maps, its classifier.

A residual branch is the side of an addition that is computed from its other side, or whose other side has only one 1x1
convolution. DropBlock and spatial dropout go behind the convolutions of the two smallest map sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from netaug.regularize.graph_recorder import Call, Watched

_NORMS = {"batch_norm", "group_norm", "layer_norm", "instance_norm"}
_KEEPS_BRANCH = {"mul", "permute", "transpose", "contiguous", "dropout", "to", "type"}
_KEEPS_FEATURES = {"flatten", "view", "reshape", "squeeze", "mean", "to", "float", "contiguous"}
_SMALLEST_SIZES = 2


@dataclass(frozen=True)
class Found:
    """Holds the modules that a regularizer is attached to.

    Args:
        modules: Their names in the order they run.
        left_out: Places that belong here, where no module could be named, with the reason.
    """

    modules: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def residual_branches(watched: Watched) -> Found:
    """Find modules whose output is the end of a residual branch, just before it is added to its shortcut.

    A shortcut is what the branch started from, or that behind at most one convolution of a single pixel.
    """
    modules, left_out = list[str](), list[str]()
    for position, call in enumerate(watched.calls):
        if call.name != "add" or len(call.inputs) != 2 or len(call.shape) < 3:
            continue
        branch = _branch(watched, call)
        if branch is None:
            continue
        module = _end_of(watched, branch)
        if module is None:
            left_out.append(
                f"the addition number {position} in '{call.module}': no module gives its branch alone"
            )
        else:
            modules.append(module)
    return Found(tuple(modules), tuple(left_out))


def late_maps(watched: Watched) -> Found:
    """Find modules that give the maps behind each convolution, of the two smallest map sizes above one pixel.

    Source:
        The places of DropBlock in Ghiasi et al. 2018, arXiv:1810.12890: behind the convolutions of the last two
        groups of a ResNet.
    """
    spots = [_behind(watched, position) for position, call in enumerate(watched.calls) if _is_map(call)]
    sizes = sorted({call.shape[-2:] for call in spots}, key=lambda size: size[0] * size[1])[:_SMALLEST_SIZES]
    modules, left_out = list[str](), list[str]()
    for call in spots:
        if call.shape[-2:] not in sizes:
            continue
        if call.module and watched.times[call.module] == 1:
            modules.append(call.module)
        else:
            left_out.append(f"a map of '{call.module}', which runs {watched.times.get(call.module, 0)} times")
    return Found(tuple(dict.fromkeys(modules)), tuple(left_out))


def classifier(watched: Watched) -> str | None:
    """Return the module of the last linear layer, or of the last convolution where that gives the logits."""
    position = watched.output
    while position is not None:
        call = watched.calls[position]
        if call.kernel is not None:
            return call.module if call.module and watched.times[call.module] == 1 else None
        if call.name not in _KEEPS_FEATURES or len(call.inputs) != 1:
            return None
        position = call.inputs[0]
    return None


def _branch(watched: Watched, call: Call) -> int | None:
    """Return which of an addition's two inputs is a residual branch; None if neither is."""
    first, second = call.inputs
    before_first, before_second = watched.ancestors(first), watched.ancestors(second)
    for short, long, ours, theirs in (
        (first, second, before_first, before_second),
        (second, first, before_second, before_first),
    ):
        layers = [
            watched.calls[position]
            for position in ours - theirs
            if watched.calls[position].kernel is not None
        ]
        more = [
            watched.calls[position]
            for position in theirs - ours
            if watched.calls[position].kernel is not None
        ]
        projects = len(layers) == 1 and set(layers[0].kernel or ()) <= {1} and len(more) > 1
        if more and (short in theirs or not layers or projects):
            return long
    return None


def _end_of(watched: Watched, position: int) -> str | None:
    """Return a module that gives the branch and nothing else, behind which only factors and views follow."""
    while True:
        call = watched.calls[position]
        if call.uses != 1:
            return None
        alone = [name for name in call.ends if watched.times[name] == 1]
        if alone:
            return alone[0]
        if call.name not in _KEEPS_BRANCH or len(call.inputs) != 1:
            return None
        position = call.inputs[0]


def _is_map(call: Call) -> bool:
    return call.kernel is not None and len(call.shape) == 4 and min(call.shape[-2:]) > 1


def _behind(watched: Watched, position: int) -> Call:
    """Return the norm that follows a convolution and alone takes its output, or the convolution."""
    call = watched.calls[position]
    takers = [taker for taker in watched.calls[position + 1 :] if position in taker.inputs]
    return takers[0] if len(takers) == 1 and takers[0].name in _NORMS else call
