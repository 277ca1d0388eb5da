"""Parallel branches: at each convolution with a batch norm, several of both whose outputs are added, then merged.

In training a branch is a convolution with a norm of its own. In evaluation mode each of them is linear, so their sum is
one convolution with a bias: :func:`merge_branches` writes it into the caller's own convolution and norm.

Source:
    RepVGG, Ding et al. 2021, arXiv:2101.03697 (1x1 and identity); MobileOne, Vasu et al. 2022, arXiv:2206.04040
    (several branches of one shape, depthwise too); Diverse Branch Block, Ding et al. 2021, arXiv:2103.13425 (merging).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from netaug.core.errors import UnsupportedModelError
from netaug.core.modules import copied
from netaug.elastic.preconditions import check_preconditions
from netaug.reparameterize.branched_conv import AfterNorm, BranchedConv, rest_of
from netaug.reparameterize.pairs import BatchNorm, Convolution, Left, Pair, find_pairs, replace_module
from netaug.reparameterize.proof import check_same_outputs
from netaug.reparameterize.scaled_conv import ScaledConv
from netaug.reparameterize.settings import BranchSettings, Form, Norms


@dataclass(frozen=True)
class Branched:
    """Describes a convolution with branches.

    Args:
        conv: Name of its module.
        convs: Number of convolutions, its own among them.
        point: Whether one of these is 1x1 beside a larger kernel.
        identity: Whether the input is a branch too.
    """

    conv: str
    convs: int
    point: bool
    identity: bool


def add_branches(
    model: nn.Module, example: tuple[Tensor, ...], settings: BranchSettings, seed: int
) -> tuple[nn.Module, list[Branched], list[Left]]:
    """Return a copy of a network with branches, what got them, and what did not with the reason.

    Raises:
        ModelError: The model does not run on the example.
        UnsupportedModelError: It cannot be recorded, or no convolution can have branches.
    """
    check_preconditions(model, example)
    pairs, left = find_pairs(model, example, settings.keep)
    network, done = copied(model), list[Branched]()
    for pair in pairs:
        reason = _put(network, pair, settings, seed, done)
        if reason:
            left.append(Left(pair.conv, reason))
    if not done:
        raise UnsupportedModelError(
            f"no convolution of '{type(model).__name__}' can have branches.",
            got=f"'{left[0].conv}': {left[0].reason}" if left else "there are no convolutions",
            allowed="convolutions of torch with a batch norm of their own behind them",
        )
    check_same_outputs(network, merge_branches(network), example)
    return network, done, left


def _put(network: nn.Module, pair: Pair, settings: BranchSettings, seed: int, done: list[Branched]) -> str:
    """Put branches at a convolution, and return why that cannot be done; empty if it is."""
    conv = cast(Convolution, network.get_submodule(pair.conv))
    norm = cast(BatchNorm, network.get_submodule(pair.norm))
    rest = rest_of(norm)
    made: BranchedConv | ScaledConv
    if settings.norms == "one":
        made = ScaledConv(conv, settings, (seed, pair.conv))
    elif rest is None:
        return f"'{pair.norm}' is a {type(norm).__name__}, which does more than a batch norm"
    else:
        made = BranchedConv(conv, norm, settings, (seed, pair.conv))
        replace_module(network, pair.norm, AfterNorm(pair.conv, rest))
    replace_module(network, pair.conv, made)
    count, identity = len(made.convs), bool(made.identity)
    done.append(Branched(pair.conv, count, count > settings.branches, identity))
    return ""


def merge_branches(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which all branches are merged: the caller's class, keys and shapes."""
    plain = copied(network)
    for name, module in list(plain.named_modules()):
        if isinstance(module, AfterNorm):
            conv, norm = cast(BranchedConv, plain.get_submodule(module.conv)).merged()
            replace_module(plain, module.conv, conv)
            replace_module(plain, name, norm)
        elif isinstance(module, ScaledConv):
            replace_module(plain, name, module.merged())
    return plain


class Reparameterized(nn.Module):
    """A network with parallel branches; :func:`netaug.reparameterize` makes it.

    Attributes:
        network: The caller's model (a copy) with branches in it.
        branched: What got branches.
        left: What is as it was, with the reason.
    """

    def __init__(self, network: nn.Module, branched: list[Branched], left: list[Left]) -> None:
        super().__init__()
        self.network = network
        self.branched, self.left = tuple(branched), tuple(left)
        self.training = network.training

    def forward(self, *inputs: Any) -> Any:
        """Run the network."""
        return self.network(*inputs)

    def merge(self) -> nn.Module:
        """Return the plain network: the caller's class, keys and shapes, with outputs equal in evaluation mode."""
        return merge_branches(self.network)


def reparameterize(
    model: nn.Module,
    example_input: Tensor | tuple[Tensor, ...],
    branches: int = 3,
    *,
    point: bool = True,
    identity: bool = True,
    scale: float = 1.0,
    norms: Norms = "each",
    form: Form = "auto",
    keep: tuple[str, ...] = (),
    seed: int = 0,
) -> Reparameterized:
    """Put parallel branches at every convolution with a batch norm, for the training; the model is left untouched.

    Args:
        model: Any network whose operations ``torch.export`` can record.
        example_input: A batch as in training, or a tuple for several inputs.
        branches: Convolutions per convolution, its own among them, each with a batch norm.
        point: Whether a convolution with a larger kernel also gets a 1x1 one.
        identity: Whether a batch norm of the input is added where the shapes allow.
        scale: First weight of the added norms; 0 starts from the model's own function.
        norms: A batch norm in `each` branch, or `one` behind their sum.
        form: How they are computed: `separate`, `merged`, or `auto`, the cheaper one; see :class:`BranchSettings`.
        keep: Glob patterns of modules that stay as they are.
        seed: Keys the first weights of the branches.

    Returns:
        The network to train; its ``merge()`` gives the plain one.

    Raises:
        ConfigError: A setting is out of range.
        ModelError: The model does not run on the example.
        UnsupportedModelError: The model cannot be recorded, or nothing in it can have branches.

    Source:
        arXiv:2101.03697, arXiv:2206.04040, arXiv:2103.13425.
    """
    settings = BranchSettings(
        branches=branches, point=point, identity=identity, scale=scale, norms=norms, form=form, keep=keep
    )
    example = example_input if isinstance(example_input, tuple) else (example_input,)
    return Reparameterized(*add_branches(model, example, settings, seed))
