"""Keyed randomness: every draw is a pure function of (seed, what, where), nothing is stored.

A run can then stop anywhere and continue to the bit, and the number of loader workers does not change the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

Words = npt.NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key(seed: int, *what: object) -> int:
    """Return a 63-bit number that depends on the seed and on every part of ``what``, the same on any machine."""
    text = repr((seed, *what)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def generator(seed: int, *what: object) -> torch.Generator:
    """Return a fresh CPU generator for the draw named by ``what``, e.g. ``generator(seed, "widths", step)``."""
    return torch.Generator().manual_seed(key(seed, *what))


@contextmanager
def seeded(seed: int, *what: object) -> Iterator[None]:
    """Run a block with torch's global CPU generator keyed; the generator's state before is restored after."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(key(seed, *what))  # torch.manual_seed would reseed CUDA too
    try:
        yield
    finally:
        torch.set_rng_state(state)


def _mix(bits: Words) -> Words:
    """Scramble 64-bit words with the finalizer of SplitMix64 (Steele et al. 2014), a bijection."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def uniforms(stream: int, indices_N: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """Draw ``count`` numbers per index, each a function of (stream, index, position) alone.

    Args:
        stream: From :func:`key`, e.g. ``key(seed, "augment", epoch)``.
        indices_N: Sample indices, shape ``[N]``.
        count: How many numbers each sample needs.

    Returns:
        float64 in [0, 1), shape ``[N, count]``. The batch a sample is in does not change its numbers.
    """
    with np.errstate(over="ignore"):
        # Mixed twice: neighboring indices and positions would give related numbers otherwise.
        per_sample = _mix(np.uint64(stream) + (indices_N.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
        steps = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
        words = _mix(_mix(per_sample[:, None] + steps[None, :]))
    # 53 bits, as many as a float64 holds exactly.
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
