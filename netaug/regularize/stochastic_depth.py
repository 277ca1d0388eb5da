"""Stochastic depth: residual branches are left out for single images (Huang et al. 2016, arXiv:1603.09382)."""

from __future__ import annotations

from functools import partial

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.base import LayerRegularizer, TensorFunction
from netaug.regularize.places import residual_branches


def _make_drop(config: RegularizeConfig, rate: float) -> TensorFunction:
    from torchvision.ops import stochastic_depth  # on first use: slow to import

    return partial(stochastic_depth, p=rate, mode="row")


STOCHASTIC_DEPTH = LayerRegularizer(
    "stochastic_depth",
    _make_drop,
    residual_branches,
    needs="a residual branch: something computed and then added to what it was computed from",
    follows_places=False,
    rising=True,  # equation 4 of the paper
)
