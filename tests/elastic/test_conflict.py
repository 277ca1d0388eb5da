"""Gradients that conflict are projected as written out here, tensor by tensor or as one vector."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from netaug import AugmentConfig, Supernet, augment
from netaug.elastic.conflict import SeparateGradients
from tests import tiny

STEP = 3


@cache
def _traced(conflict: str, **more: float) -> Supernet:
    config = AugmentConfig(width=(2.0,), expand=(2.0,), conflict=conflict, **more)  # type: ignore[arg-type]
    return augment(tiny.build("inverted").double(), tiny.images().double(), config)


def _supernet(conflict: str, **more: float) -> Supernet:
    return copy.deepcopy(_traced(conflict, **more))


def _batch() -> tuple[Tensor, Tensor]:
    return tiny.images(6).double(), tiny.labels(6)


def _step(supernet: Supernet, *, wide_first: bool = False) -> dict[str, Tensor]:
    images, labels = _batch()
    for pass_ in supernet.passes(STEP, 0.0, wide_first=wide_first):
        (pass_.weight * F.cross_entropy(supernet(images), labels)).backward()
    return _gradients(supernet)


def _gradients(supernet: Supernet) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in supernet.named_parameters() if p.grad is not None}


def _of_each_pass() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of the base pass and of the augmented pass, each alone."""
    images, labels = _batch()
    alone = []
    for name in ("base", "augmented"):
        supernet = _supernet("add")
        for pass_ in supernet.passes(STEP, 0.0):
            if pass_.name == name:
                F.cross_entropy(supernet(images), labels).backward()
        alone.append(_gradients(supernet))
    return alone[0], alone[1]


def _expected(base: dict[str, Tensor], wide: dict[str, Tensor], conflict: str) -> dict[str, Tensor]:
    shared = [name for name in wide if name in base]
    total = {name: tensor.clone() for name, tensor in wide.items()}
    groups = [[name] for name in shared] if conflict == "project" else [shared]
    for names in groups:
        inner = sum(float((base[name] * wide[name]).sum()) for name in names)
        square = sum(float((base[name] ** 2).sum()) for name in names)
        for name in names:
            projected = wide[name] - (inner / square * base[name] if inner < 0 else 0)
            total[name] = base[name] + projected
    return total


@pytest.mark.parametrize("wide_first", [False, True])
@pytest.mark.parametrize("conflict", ["project", "project-network"])
def test_projected_gradients_are_those_written_out(conflict: str, wide_first: bool) -> None:
    base, wide = _of_each_pass()
    inner = {name: float((base[name] * wide[name]).sum()) for name in base}
    assert min(inner.values()) < 0 < max(inner.values()), "nothing conflicts, or everything"
    found, expected = _step(_supernet(conflict), wide_first=wide_first), _expected(base, wide, conflict)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-10, atol=1e-12)
    added = [name for name in found if name.startswith("added.")]
    assert added
    assert all(torch.equal(found[name], wide[name]) for name in added)


def test_one_vector_is_projected_where_all_tensors_together_conflict() -> None:
    """Numbers to check by hand."""
    base = [torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])]
    wide = [torch.tensor([-2.0, 1.0]), torch.tensor([1.0, 0.5])]
    for per_network, expected in (
        (False, [[3.0, 1.0], [1.0, 4.5]]),  # the first loses its -2; the second does not conflict
        (True, [[1.0 + 3 * 4 / 25, 1.0], [1.0, 4.5 + 4 * 4 / 25]]),  # <a, b> = -6 + 2 = -4, <b, b> = 25
    ):
        parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in base]
        separate = SeparateGradients(parameters, per_network=per_network)
        for parameter, held, one, other in zip(parameters, separate.wide, base, wide, strict=True):
            parameter.grad, held.grad = one.clone(), other.clone()
        separate.combine()
        for parameter, values in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.grad, torch.tensor(values))
        projected = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
        for parameter, held, one, other in zip(parameters, separate.wide, base, wide, strict=True):
            parameter.grad, held.grad = 2**16 * one, 2**16 * other  # a loss scale changes no bit
        separate.combine()
        assert all(torch.equal(p.grad, 2**16 * one) for p, one in zip(parameters, projected, strict=True))


def test_gradients_of_an_earlier_loop_are_added_to_and_leaving_early_loses_nothing() -> None:
    supernet = _supernet("project")
    once = _step(supernet)
    twice = _step(supernet)
    for name, tensor in once.items():
        torch.testing.assert_close(twice[name], 2 * tensor, rtol=1e-10, atol=1e-12)
    base, _ = _of_each_pass()
    images, labels = _batch()
    supernet = _supernet("project")
    for _ in supernet.passes(STEP, 0.0):
        F.cross_entropy(supernet(images), labels).backward()
        break
    found = _gradients(supernet)
    for name, tensor in base.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", tiny.NETWORKS)
def test_no_weight_of_any_network_is_moved_against_its_base_pass(name: str) -> None:
    """With g the combined and b the base pass's gradient of a tensor, <g, b> is never below <b, b>."""
    network, images = tiny.build(name).double(), tiny.images().double()
    supernet = augment(network, images, AugmentConfig(width=(2.0,), expand=(2.0,), conflict="project"))
    random, alone = torch.Generator().manual_seed(5), dict[str, Tensor]()
    for pass_ in supernet.passes(0, 0.0):
        outputs = supernet(images)
        tensors = outputs if isinstance(outputs, tuple | list) else [outputs]
        noise = [torch.randn(tensor.shape, generator=random, dtype=tensor.dtype) for tensor in tensors]
        sum((tensor * weight).sum() for tensor, weight in zip(tensors, noise, strict=True)).backward()
        if pass_.name == "base":
            alone = _gradients(supernet)
    combined, opposed = _gradients(supernet), 0
    for key, base in alone.items():
        inner, square = float((combined[key] * base).sum()), float((base * base).sum())
        assert inner >= square * (1 - 1e-9) - 1e-18, key
        opposed += abs(inner / square - 1) < 1e-9 if square > 0 else 0
    assert opposed, "nothing was projected"
