"""Operations on each element, with broadcasting; everything that torch tags as pointwise comes here too."""

from __future__ import annotations

from torch.fx import Node

from netaug.elastic.analysis import Analysis
from netaug.elastic.groups import Layout
from netaug.elastic.rules.registry import elastic_rule
from netaug.elastic.trace import shape_of, tensor_inputs


@elastic_rule(
    *("add", "sub", "mul", "div", "maximum", "minimum", "pow", "where", "lerp", "addcmul", "square"),
    *(
        "relu",
        "relu6",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "sigmoid",
        "silu",
        "mish",
        "tanh",
        "elu",
        "selu",
    ),
    *(
        "celu",
        "gelu",
        "leaky_relu",
        "softplus",
        "log_sigmoid",
        "softsign",
        "clamp",
        "neg",
        "abs",
        "exp",
        "erf",
    ),
)
def combine(analysis: Analysis, node: Node) -> Layout:
    """Unify dimensions that meet at full size; a dimension of size 1 takes the other's groups."""
    result: Layout = {}
    shape = shape_of(node)
    for dim, size in enumerate(shape):
        meeting = []
        for operand in tensor_inputs(node):
            # Broadcasting aligns shapes at their last dimensions.
            own_dim = dim - len(shape) + len(shape_of(operand))
            if own_dim >= 0 and shape_of(operand)[own_dim] == size:
                meeting.append((operand, own_dim))
        if any(analysis.dim(*tensor_dim) for tensor_dim in meeting):
            result[dim] = analysis.meet(node, *meeting)
    return result


@elastic_rule(
    *(
        "dropout",
        "feature_dropout",
        "alpha_dropout",
        "contiguous",
        "clone",
        "alias",
        "detach",
        "to",
        "_to_copy",
    ),
    *(
        "type_as",
        "lift_fresh_copy",
        "softmax",
        "log_softmax",
        "cumsum",
        "nan_to_num",
        "zeros_like",
        "ones_like",
    ),
    *("empty_like", "full_like", "rand_like", "randn_like", "float", "half", "bfloat16", "bernoulli"),
)
def keep(analysis: Analysis, node: Node) -> Layout:
    """Give the result the first input's layout."""
    return analysis.layout(node.args[0])


@elastic_rule("prelu", "_prelu_kernel")
def prelu(analysis: Analysis, node: Node) -> Layout:
    """Unify the slopes with the channels if there is one for each."""
    x, slope = tensor_inputs(node)
    if shape_of(slope)[0] > 1:
        analysis.meet(node, (x, 1), (slope, 0))
    return analysis.layout(x)


@elastic_rule("new_zeros", "new_ones", "new_full", "new_empty", "zeros", "ones", "full", "arange", "empty")
def create(analysis: Analysis, node: Node) -> Layout:
    """Make a new tensor, whose size is given and stays."""
    return {}
