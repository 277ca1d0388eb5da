"""Which function follows channel groups through which tensor operation; users add rules for operators of their own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.fx import Node

from netaug.elastic.analysis import Analysis, where
from netaug.elastic.groups import Layout
from netaug.elastic.trace import gives_tensors, operator_name

Result = Layout | list[Layout]
Rule = Callable[[Analysis, Node], Result]
_RULES: dict[str, Rule] = {}


def elastic_rule(*operators: str) -> Callable[[Rule], Rule]:
    """Teach netaug how channels pass through an operator; used as a decorator.

    Args:
        *operators: ATen names without namespace, overload and trailing underscore (``relu``), or
            ``namespace::name`` for operators of your own.

    The function gets the analysis and the graph node and returns the elastic dimensions of the result: a
    dictionary from dimension to the groups along it, often ``analysis.layout(node.args[0])``; a list of them if the
    call gives several tensors. What it may demand: ``analysis.meet`` (equal widths), ``analysis.freeze_node`` (no
    widening). A dimension it leaves out must keep its size.
    """

    def register(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(operators, function))
        return function

    return register


def apply_rules(analysis: Analysis) -> None:
    """Walk the whole graph; what has no rule freezes what it touches, and outputs keep their size."""
    for node in analysis.trace.operations:
        if gives_tensors(node):
            analysis.set_layout(node, _follow(analysis, node))
    for node in analysis.trace.outputs:
        analysis.freeze_node(node, "output of the network")
    analysis.groups.freeze_unclaimed()


def _follow(analysis: Analysis, node: Node) -> Result:
    name = operator_name(node)
    schema = getattr(node.target, "_schema", None)
    rule = _RULES.get(str(schema.name)) if schema is not None else None
    rule = rule or _RULES.get(name)
    if rule is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
        # Whatever torch tags as pointwise combines channels as an addition does.
        rule = _RULES["add"]
    if rule is None:
        return analysis.give_up(node, f"'{where(node)}' uses '{name}', which has no rule")
    return rule(analysis, node)
