"""Run a network so that each channel depends only on the channels that a layer reads, and values can be compared.

Norms, softmax and the like make a channel depend on how many others there are, and drawn numbers on the order in
which they are drawn. In such a run they are replaced by functions of each element, and reductions over channels see
the base channels only. What is left to differ between a base network and a wider one whose added weights are zero is
which channel stands where.
"""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

TOLERANCE, ROUGH = 1e-6, 1e-4
"""Largest difference of values that count as equal, as a fraction of the largest: in double and in single precision."""

_NORMS = {"batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm"}
_BUILT_IN = {
    "batch_norm": (1, 2),
    "instance_norm": (1, 2),
    "layer_norm": (2, 3),
    "group_norm": (2, 3),
    "rms_norm": (2, None),
}
"""Which arguments of torch's own form of a norm are weight and bias; those of ``functional`` have names."""
_ACROSS = {"softmax", "softmin", "log_softmax", "gumbel_softmax", "normalize", "cumsum", "cumprod", "rrelu"}
_DRAWN = {"rand_like", "randn_like", "bernoulli", "normal", "uniform", "exponential"}
_REDUCTIONS = {
    *("mean", "sum", "nansum", "nanmean", "prod", "amax", "amin", "max", "min", "median", "var", "std"),
    *("var_mean", "std_mean", "norm", "vector_norm", "logsumexp", "argmax", "argmin", "any", "all"),
}


class MovedError(Exception):
    """A call in a wider network gives other values where the base channels are."""


class Neutral(TorchFunctionMode):
    """Replaces what mixes channels without weights, and draws the same numbers in every run.

    Args:
        reference: The finished run of the base network; None in that run.
        watch: Keep what every call gives, or compare it with what the reference kept.

    Attributes:
        calls: How many calls there were.
    """

    def __init__(self, reference: Neutral | None = None, *, watch: bool = False) -> None:
        super().__init__()
        self._reference, self._watch = reference, watch
        self._reduced: list[Tensor] = []
        self._results: list[tuple[str, list[Tensor]]] = []
        self.calls = self._reductions = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "").strip("_")
        if name in ("get", "set"):  # an attribute, such as x.shape
            return func(*args, **kwargs)
        result = self._call(func, name, args, kwargs)
        if self._watch:
            self._compare(name, result)
        self.calls += 1
        return result

    def _call(self, func: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        if "dropout" in name:
            # Identity: which elements are dropped depends on how many numbers are drawn.
            return args[0] if args else kwargs["input"]
        if name in _REDUCTIONS:
            return self._reduce(func, name, args, kwargs)
        # A call draws the same, however many were drawn before it.
        torch.default_generator.manual_seed(self.calls)
        if name == "scaled_dot_product_attention":
            return func(*args[:3], **_attention(args, kwargs))
        result = func(*args, **kwargs)
        if name in _NORMS:
            return _normalized(func, name, args, kwargs)
        if name in _ACROSS:
            # Any function of each element will do; softsign stays finite and keeps different values apart.
            return F.softsign(args[0] if args else kwargs["input"])
        if name in _DRAWN and isinstance(result, Tensor) and result.is_floating_point():
            return result.detach().fill_(0.5)
        return result

    def _reduce(self, func: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """Reduce over the base channels alone."""
        x = args[0] if args else kwargs.get("input")
        if not isinstance(x, Tensor) or (len(args) > 1 and isinstance(args[1], Tensor)):
            return func(*args, **kwargs)
        number, self._reductions = self._reductions, self._reductions + 1
        if self._reference is None:
            self._reduced.append(x.detach().clone())
        elif number < len(self._reference._reduced):
            x = _base_channels(x, self._reference._reduced[number], _dims(name, args, kwargs, x.dim()))
        return func(x, *args[1:], **{key: value for key, value in kwargs.items() if key != "input"})

    def _compare(self, name: str, result: Any) -> None:
        leaves = [leaf.detach() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if self._reference is None:
            self._results.append((name, [leaf.clone() for leaf in leaves]))
            return
        if self.calls >= len(self._reference._results):
            return
        expected_name, expected = self._reference._results[self.calls]
        if name != expected_name or len(leaves) != len(expected):
            raise MovedError(f"{name!r} is called where the base network calls {expected_name!r}")
        for wide, base in zip(leaves, expected, strict=True):
            if not _holds(wide, base):
                raise MovedError(
                    f"{name!r} gives other values at the base channels: behind a slice, split or view with a border "
                    "that does not follow the widths"
                )


def same(outputs: Any, expected: Any) -> bool:
    """Whether two outputs of a network are equal up to rounding."""
    pairs = [[leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)] for tree in (outputs, expected)]
    return len(pairs[0]) == len(pairs[1]) and all(
        a.shape == b.shape and _close(a.detach(), b.detach()) for a, b in zip(*pairs, strict=True)
    )


def _close(outputs: Tensor, expected: Tensor) -> bool:
    if not outputs.is_floating_point():
        return torch.equal(outputs, expected)
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(outputs, expected, rtol=0.0, atol=_tolerance(outputs) * scale, equal_nan=True)


def _tolerance(tensor: Tensor) -> float:
    return TOLERANCE if tensor.dtype == torch.float64 else ROUGH


def _holds(wide: Tensor, base: Tensor) -> bool:
    """Whether the base channels are among those of a wider tensor, in their order; True if that cannot be told."""
    if wide.shape == base.shape:
        return _close(wide, base)
    differing = _differing(wide, base)
    return len(differing) != 1 or _positions(wide, base, differing[0]) is not None


def _differing(wide: Tensor, base: Tensor) -> list[int]:
    """Return the dimensions whose size differs; none if the tensors have not as many."""
    if wide.dim() != base.dim():
        return []
    return [dim for dim in range(base.dim()) if wide.shape[dim] != base.shape[dim]]


def _positions(wide: Tensor, base: Tensor, dim: int) -> list[int] | None:
    """Find where along a dimension the base channels stand in their order; None if they do not.

    Each channel is known by a sum of its elements with random weights. What other dimensions have more must be zero.
    """
    marks = []
    generator = torch.Generator().manual_seed(0)
    shape = [1 if d == dim or d in _differing(wide, base) else size for d, size in enumerate(base.shape)]
    weights = torch.rand(shape, generator=generator, dtype=torch.float64).to(base.device)
    for tensor in (wide, base):
        others = [d for d in range(tensor.dim()) if d != dim]
        marks.append((tensor.double() * weights).sum(others).tolist() if others else tensor.double().tolist())
    scale = max((abs(mark) for mark in marks[1]), default=0.0)
    segments, start = [], 0
    for mark in marks[1]:
        while start < len(marks[0]) and not abs(marks[0][start] - mark) <= _tolerance(base) * scale:
            start += 1
        if start == len(marks[0]):
            return None
        segments.append(start)
        start += 1
    return segments


def _base_channels(wide: Tensor, base: Tensor, dims: Iterable[int]) -> Tensor:
    """Return a tensor without the channels that the base network does not have along these dimensions."""
    for dim in _differing(wide, base):
        if dim in dims:
            positions = _positions(wide.detach(), base, dim)
            if positions is None:
                return wide
            wide = wide.index_select(dim, torch.tensor(positions, device=wide.device))
    return wide


def _dims(name: str, args: Sequence[Any], kwargs: dict[str, Any], rank: int) -> set[int]:
    """Return the dimensions that a reduction is over."""
    dim_index = 2 if name in ("norm", "vector_norm") else 1
    given = kwargs.get("dim", kwargs.get("axis", args[dim_index] if len(args) > dim_index else None))
    if given is None or isinstance(given, bool) or given in ((), []):
        return set(range(rank))
    return {dim % max(rank, 1) for dim in ([given] if isinstance(given, int) else given)}


def _attention(args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return attention's arguments, without dropout and with a scale that does not follow the width."""
    named = dict(zip(("attn_mask", "dropout_p", "is_causal"), args[3:6], strict=False))
    return {**kwargs, **named, "dropout_p": 0.0, "scale": 0.25}


def _normalized(func: Callable[..., Any], name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """Stand in for a norm without its statistics: bound every element by itself, then apply weight and bias."""
    if getattr(func, "__module__", None) == "torch.nn.functional" and inspect.isfunction(func):
        call = inspect.signature(func).bind(*args, **kwargs).arguments
        x, affine = call["input"], [call.get("weight"), call.get("bias")]
    else:
        x = args[0] if args else kwargs["input"]
        affine = [
            kwargs.get(key, args[position] if position is not None and len(args) > position else None)
            for key, position in zip(("weight", "bias"), _BUILT_IN[name], strict=True)
        ]
    result: Tensor = F.softsign(x)
    if name not in ("layer_norm", "rms_norm"):
        affine = [tensor if tensor is None else tensor.view(1, -1, *[1] * (x.dim() - 2)) for tensor in affine]
    result = result if affine[0] is None else result * affine[0]
    return result if affine[1] is None else result + affine[1]


@contextmanager
def same_draws() -> Iterator[None]:
    """Draw the same random numbers in every run, whoever draws them."""
    with kept_generators():
        torch.manual_seed(0)
        random.seed(0)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(0)
        yield


@contextmanager
def kept_generators() -> Iterator[None]:
    """Leave the caller's generators of random numbers as they were."""
    numpy: Any = sys.modules.get("numpy")
    states = random.getstate(), numpy.random.get_state() if numpy else None
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(states[0])
            if numpy:
                numpy.random.set_state(states[1])
