"""How each width group is meant to widen, read off the shape of the graph.

- ``expand``: hidden channels of a block. Its width follows the block's actual input width times a drawn ratio.
- ``follow``: hidden channels of a gate (squeeze-excite). Its width follows its input, nothing is drawn.
- ``width``: everything else that can widen (stem, block outputs, final convolution).

A group that lives only between a fork and the addition that ends a residual branch is ``expand``; so is one
that is wider than what enters and what leaves it, with a depthwise layer between (an inverted block without a
shortcut). A group that lives only between a fork and a multiplication is ``follow``. On the paper's five
networks this gives the paper's roles: parameters and MACs of the base, widest and drawn networks agree to
every printed digit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch.fx import Node

from netaug.elastic.analysis import Analysis
from netaug.elastic.groups import Parts
from netaug.elastic.trace import operator_name, tensor_inputs

Role = Literal["width", "expand", "follow"]
_ADDITIONS = ("add", "sub")


@dataclass(frozen=True)
class Assignment:
    """Holds the role of a group and, for ``expand`` and ``follow``, the channels whose width it follows."""

    role: Role
    source: Parts = ()


def assign_roles(analysis: Analysis) -> dict[int, Assignment]:
    """Give every group a role; a chain of hidden groups follows the channels before the whole chain."""
    flow = _Flow(analysis)
    roles: dict[int, Assignment] = {}
    # Gates come first, and a role once given stays: a gate lies inside the residual branch that ends in the addition.
    for role, operators in (("follow", ("mul",)), ("expand", _ADDITIONS)):
        for join in analysis.trace.operations:
            if operator_name(join) not in operators:
                continue
            for group, source in flow.hidden_groups(join, shortcut=role == "expand"):
                roles.setdefault(group, Assignment("expand" if role == "expand" else "follow", source))
    for group, source in _inverted_blocks(analysis, roles):
        roles.setdefault(group, Assignment("expand", source))
    return {group: _settled(analysis, group, roles) for group in analysis.groups.roots()}


def _settled(analysis: Analysis, group: int, roles: dict[int, Assignment]) -> Assignment:
    """Return a group's final role: inside another's block it follows that block's input; a cycle makes it ``width``."""
    assignment = roles.get(group, Assignment("width"))
    if assignment.role != "expand":
        return assignment
    seen = {group}
    while True:
        inner = [
            g
            for g in _groups(analysis, assignment.source)
            if roles.get(g, Assignment("width")).role != "width"
        ]
        if not inner:
            return assignment
        if len(assignment.source) != 1 or inner[0] in seen or roles[inner[0]].role != "expand":
            return Assignment("width")
        seen.add(inner[0])
        assignment = roles[inner[0]]


def _inverted_blocks(analysis: Analysis, roles: dict[int, Assignment]) -> Iterable[tuple[int, Parts]]:
    """Yield hidden groups of blocks without a shortcut: dense, depthwise, dense, wider than what enters and leaves."""
    later = _behind_dense(analysis)
    for group in analysis.groups.roots():
        makers = [
            use for use in analysis.uses if not use.depthwise and group in _groups(analysis, use.target)
        ]
        takers = [
            use for use in analysis.uses if not use.depthwise and group in _groups(analysis, use.source)
        ]
        takers = [use for use in takers if not _is_gate(analysis, use.target, roles)]
        makers = [use for use in makers if not _is_gate(analysis, use.source, roles)]
        filtered = any(use.depthwise and group in _groups(analysis, use.source) for use in analysis.uses)
        # A group whose maker sees the image belongs to the stem: there is no block input to follow.
        if len(makers) != 1 or not takers or not filtered or makers[0].node not in later:
            continue
        hidden = makers[0].channels[1]
        if hidden > makers[0].channels[0] and all(hidden > use.channels[1] for use in takers):
            yield group, makers[0].source


def _behind_dense(analysis: Analysis) -> set[Node]:
    """Return the operations on channels that a layer has made; the others see the image."""
    dense, later = {use.node for use in analysis.uses}, set[Node]()
    for node in analysis.trace.operations:
        if any(source in dense or source in later for source in tensor_inputs(node)):
            later.add(node)
    return later


def _is_gate(analysis: Analysis, parts: Parts, roles: dict[int, Assignment]) -> bool:
    groups = _groups(analysis, parts)
    return bool(groups) and all(roles.get(g, Assignment("width")).role == "follow" for g in groups)


def _groups(analysis: Analysis, parts: Parts) -> set[int]:
    return analysis.groups.members(parts)


class _Flow:
    """Holds the dominators of the data flow: where two branches that meet again came apart."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self._order = {node: i for i, node in enumerate(analysis.trace.operations)}
        self._above: dict[Node, Node | None] = {}
        self._nodes_of_group: dict[int, set[Node]] = {}
        self._dense = {use.node for use in analysis.uses if not use.depthwise}
        for node in analysis.trace.operations:
            # Operations come in order: what dominates the sources is known by now.
            sources = self._sources(node)
            above = sources[0] if sources else None
            for source in sources[1:]:
                above = self._common(above, source)
            self._above[node] = above
            for layout in analysis.layouts_of(node):
                for group in set().union(*(_groups(analysis, parts) for parts in layout.values())):
                    self._nodes_of_group.setdefault(group, set()).add(node)

    def hidden_groups(self, join: Node, *, shortcut: bool) -> list[tuple[int, Parts]]:
        """Return the groups that live only between a fork and ``join``, with the channels at the fork.

        Args:
            join: An operation that combines two activations.
            shortcut: Demand that one of the two comes from the fork through at most one dense layer.
        """
        operands = self._sources(join)
        fork = self._common(*operands) if len(operands) == 2 else None
        if fork is None or fork not in self._order:
            return []
        branches = [self._between(fork, operand) for operand in operands]
        if shortcut and min(len(branch & self._dense) for branch in branches) > 1:
            return []
        inside = branches[0] | branches[1]
        if shortcut and any(
            operator_name(node) in _ADDITIONS and len(self._sources(node)) == 2 for node in inside
        ):
            return []  # whole stages lie between, as in a feature pyramid: not the branch of one block
        layout = self.analysis.layouts_of(fork)[0]
        # Channels are in dimension 1, but last in transformers.
        source = layout.get(1) or next(iter(layout.values()), ())
        outside = _groups(self.analysis, source)
        return [
            (group, source)
            for group, nodes in self._nodes_of_group.items()
            if group not in outside and nodes <= inside
        ]

    def _sources(self, node: Node) -> list[Node]:
        return [s for s in tensor_inputs(node) if s in self._order or s in self.analysis.trace.inputs]

    def _common(self, first: Node | None, second: Node | None) -> Node | None:
        while first is not second:
            if first is None or second is None:
                return None
            # Climb from the later of the two: a dominator always comes earlier in the order of the graph.
            if self._order.get(first, -1) > self._order.get(second, -1):
                first = self._above[first]
            elif second in self._above:
                second = self._above[second]
            else:
                return None
        return first

    def _between(self, fork: Node, end: Node) -> set[Node]:
        nodes: set[Node] = set()
        todo = [end]
        while todo:
            node = todo.pop()
            if node is fork or node in nodes or node not in self._order:
                continue
            nodes.add(node)
            todo.extend(self._sources(node))
        return nodes
