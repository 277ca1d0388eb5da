"""Dropout in front of the classifier: single values are dropped."""

from __future__ import annotations

from functools import partial

from torch.nn import functional as F

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.base import LayerRegularizer, TensorFunction
from netaug.regularize.graph_recorder import Watched
from netaug.regularize.places import Found, classifier


def _make_drop(config: RegularizeConfig, rate: float) -> TensorFunction:
    return partial(F.dropout, p=rate)


def _places(watched: Watched) -> Found:
    head = classifier(watched)
    return Found((head,) if head else ())


DROPOUT = LayerRegularizer(
    "dropout", _make_drop, _places, needs="a last linear layer that gives the logits", before_module=True
)
