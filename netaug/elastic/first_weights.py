"""First weights as NetAug's released code draws them: on the tensors of the widest network.

Layers of the base network then start smaller than networks of their size usually do, as fan-in is that of the widest:
at the paper's factors by 1.5 to 1.7 for expanding and last convolutions, 2.4 to 2.9 for projections and gates.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from netaug.core.seeding import generator
from netaug.elastic.axes import added_dims, added_key, split
from netaug.elastic.supernet import Supernet

CLASSIFIER_STD = 0.02
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@torch.no_grad()
def draw_widest(
    supernet: Supernet, seed: int, *, classifiers: Collection[str] = (), kept: Collection[str] = ()
) -> None:
    """Draw the weights of all conv and linear layers on the widest network's tensors, base and added ones at once.

    Biases and norms stay as they are, and so do parameters of other modules.

    Args:
        supernet: Changed in place.
        seed: Keys the draws, with the name of each weight: they depend on no other layer.
        classifiers: Names of weights that give the logits; those of linear layers are drawn otherwise.
        kept: Names of weights whose base part keeps its values: what a file has given.

    Source:
        Released code of Cai et al. 2022, arXiv:2110.08890: kaiming_uniform(a=sqrt 5), which is uniform within
        1 / sqrt(fan-in), and a truncated normal(0, 0.02) for the classifier.
    """
    parameters = dict(supernet.base.named_parameters())
    for module_name, module in supernet.base.named_modules():
        name = f"{module_name}.weight" if module_name else "weight"
        if not isinstance(module, _LAYERS) or name not in parameters:
            continue
        base, axes = parameters[name], supernet.plan.axes.get(name, {})
        shape = [size + (axes[dim].added_size if dim in axes else 0) for dim, size in enumerate(base.shape)]
        is_classifier = name in classifiers and isinstance(module, nn.Linear)
        whole = _drawn(shape, generator(seed, "widest", name), is_classifier=is_classifier)
        new_base, new_added = split(whole, base.shape, added_dims(axes))
        if name not in kept:
            base.copy_(new_base)
        for dim, values in new_added.items():
            supernet.added[added_key(name, dim)].copy_(values)


def _drawn(shape: list[int], random: torch.Generator, *, is_classifier: bool) -> Tensor:
    """Draw one tensor on the CPU, float32: the same values on every device."""
    values = torch.empty(shape)
    if is_classifier:
        return nn.init.trunc_normal_(values, std=CLASSIFIER_STD, generator=random)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return values.uniform_(-bound, bound, generator=random)
