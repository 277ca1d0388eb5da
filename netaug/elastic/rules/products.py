"""Products of activations: attention and the like."""

from __future__ import annotations

from torch.fx import Node

from netaug.elastic.analysis import Analysis, where
from netaug.elastic.groups import Layout
from netaug.elastic.rules.registry import elastic_rule
from netaug.elastic.trace import arguments, shape_of, tensor_inputs


@elastic_rule("matmul", "bmm", "mm")
def matmul(analysis: Analysis, node: Node) -> Layout:
    """Unify the inner dimensions of ``[..., n, k] @ [..., k, m]``."""
    first, second = tensor_inputs(node)[0], tensor_inputs(node)[-1]
    if min(len(shape_of(first)), len(shape_of(second))) < 2:
        return analysis.give_up(node, f"'{where(node)}' multiplies by a vector")
    rank = len(shape_of(node))
    places = {
        operand: {dim: dim + rank - len(shape_of(operand)) for dim in range(len(shape_of(operand)))}
        for operand in (first, second)
    }
    analysis.meet(node, (first, len(shape_of(first)) - 1), (second, len(shape_of(second)) - 2))
    result: Layout = {}
    for dim in range(rank):
        meeting = [
            (operand, operand_dim)
            for operand, unused in ((first, rank - 1), (second, rank - 2))
            for operand_dim, out in places[operand].items()
            if out == dim and out != unused and shape_of(operand)[operand_dim] == shape_of(node)[dim]
        ]
        if any(analysis.dim(*tensor_dim) for tensor_dim in meeting):
            result[dim] = analysis.meet(node, *meeting)
    for operand in (first, second):
        # A parameter in a product is a linear layer written by hand, which makes channels.
        name = analysis.trace.tensors.get(operand)
        if name in analysis.trace.parameters:
            dim = rank - 1 if operand is second else rank - 2
            analysis.groups.claim(result.get(dim, ()), name.rpartition(".")[0] or name)
    return result


@elastic_rule("scaled_dot_product_attention")
def attention(analysis: Analysis, node: Node) -> Layout:
    """Unify the features of queries and keys, and the positions of keys and values, which give the features."""
    call = arguments(node)
    query, key, value = call["query"], call["key"], call["value"]
    last = len(shape_of(node)) - 1
    analysis.meet(node, (query, last), (key, last))
    analysis.meet(node, (key, last - 1), (value, last - 1))
    if call["attn_mask"] is not None:
        analysis.freeze_node(call["attn_mask"], f"'{where(node)}' masks with it")
    layout = {dim: analysis.meet(node, *((t, dim) for t in (query, key, value))) for dim in range(last - 1)}
    return {**layout, last - 1: analysis.dim(query, last - 1), last: analysis.dim(value, last)}


@elastic_rule("einsum")
def einsum(analysis: Analysis, node: Node) -> Layout:
    """Unify dimensions of the same letter."""
    call = arguments(node)
    inputs, _, output = call["equation"].replace(" ", "").partition("->")
    terms = inputs.split(",")
    if "." in inputs or not output:
        return analysis.give_up(node, f"'{where(node)}' is a product '{call['equation']}' without a rule")
    layout = {}
    for letter in dict.fromkeys("".join(terms)):
        tensor_dims = [
            (tensor, term.index(letter))
            for tensor, term in zip(call["tensors"], terms, strict=True)
            if letter in term
        ]
        if any(analysis.dim(*tensor_dim) for tensor_dim in tensor_dims):
            layout[letter] = analysis.meet(node, *tensor_dims)
    return {dim: layout[letter] for dim, letter in enumerate(output) if letter in layout}
