"""Find what a network runs before one of its modules, for ``from_stage``."""

from __future__ import annotations

from collections.abc import Sequence

from torch.fx import Node

from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest
from netaug.elastic.plan import Prefix
from netaug.elastic.trace import Trace, tensor_inputs


def prefix_of(trace: Trace, stage: str) -> Prefix:
    """Find what a network runs before a stage.

    Args:
        trace: Of the network.
        stage: Name of a module that the network calls.

    Raises:
        ConfigError: There is no such module, or nothing runs before it.
    """
    stacks = [_stack(node) for node in trace.operations]
    called = list(dict.fromkeys(name for stack in stacks for name in stack if name))
    start = _start(stage, stacks, called)
    before = set(trace.operations[:start])
    last = {name: number for number, stack in enumerate(stacks) for name in stack}
    done = [name for name in called if last[name] < start]
    return Prefix(
        stage=stage,
        modules=tuple(name for name in done if not any(name.startswith(f"{other}.") for other in done)),
        parameters=frozenset(
            trace.tensors[source]
            for node in before
            for source in tensor_inputs(node)
            if source in trace.tensors
        ),
        obstacle=_obstacle(trace, stage, stacks, start),
    )


def _start(stage: str, stacks: Sequence[set[str]], called: Sequence[str]) -> int:
    """Return the number of the first operation inside the stage."""
    start = next((number for number, stack in enumerate(stacks) if stage in stack), None)
    if start is None:
        raise ConfigError(
            "from_stage is not a module that the network runs.",
            got=stage,
            allowed=", ".join(_stages(called)),
            fix=did_you_mean(nearest(stage, called)) or "see the names with `print(model)`",
        )
    if start == 0:
        raise ConfigError(
            "nothing runs before from_stage.",
            got=stage,
            allowed=", ".join(_stages(called)),
            fix="leave it out",
        )
    return start


def _obstacle(trace: Trace, stage: str, stacks: Sequence[set[str]], start: int) -> str:
    """Return why passes cannot share what is before the stage; empty if one tensor alone goes from there into it."""
    before = set(trace.operations[:start])
    crossing = {
        source for node in trace.operations[start:] for source in tensor_inputs(node) if source in before
    }
    outside = [
        node
        for node, stack in zip(trace.operations[start:], stacks[start:], strict=True)
        if stage not in stack and crossing & set(tensor_inputs(node))
    ]
    if len(crossing) > 1 or outside or before & set(trace.outputs):
        return f"what runs before it is also read outside of '{stage}'"
    return ""


def _stack(node: Node) -> set[str]:
    """Return the names of all modules around an operation."""
    return {str(entry[0]) for entry in (node.meta.get("nn_module_stack") or {}).values()}


def _stages(called: Sequence[str]) -> list[str]:
    """Return the outermost names that a network of several stages has: two levels, as in ``features.10``."""
    return [name for name in called if name.count(".") <= 1][:60]
