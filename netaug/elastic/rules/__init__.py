"""How each tensor operation passes channel groups on: one small function per kind of operation.

Legend: a *layout* maps elastic dimensions to the groups along them (see :mod:`netaug.elastic.groups`).
Importing this package registers the rules.
"""

from netaug.elastic.rules import dense, norms, pointwise, products, reductions, shapes, split_concat
from netaug.elastic.rules.registry import apply_rules, elastic_rule

__all__ = [
    "apply_rules",
    "dense",
    "elastic_rule",
    "norms",
    "pointwise",
    "products",
    "reductions",
    "shapes",
    "split_concat",
]
