"""How a network is augmented: the settings of :func:`netaug.augment`, free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from netaug.core.errors import ConfigError


class RatiosByGlob(Mapping[str, tuple[float, ...]]):
    """Lists of multipliers by glob pattern, in the order given; cannot be changed, can be hashed.

    Args:
        lists: A list of one or more multipliers, each at least 1.0, per pattern.

    Raises:
        ConfigError: A pattern is not a string, or its list is not a list of such numbers.
    """

    def __init__(self, lists: Mapping[str, Sequence[float]]) -> None:
        if not isinstance(lists, Mapping):
            raise ConfigError("groups is not a mapping.", got=lists, allowed=_GROUPS_SHAPE)
        for pattern, factors in lists.items():
            if not isinstance(pattern, str) or not pattern:
                raise ConfigError(
                    "groups has a key that is not a pattern.", got=pattern, allowed=_GROUPS_SHAPE
                )
            check_multipliers(f"groups[{pattern!r}]", factors)
        self._lists = {pattern: tuple(map(float, factors)) for pattern, factors in lists.items()}

    def __getitem__(self, pattern: str) -> tuple[float, ...]:
        return self._lists[pattern]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)

    def __hash__(self) -> int:
        return hash(frozenset(self._lists.items()))

    def __repr__(self) -> str:
        return repr(self._lists)


_GROUPS_SHAPE = "a mapping of glob patterns to lists of multipliers, such as {'stages.3.*': [1.0, 2.0]}"


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """Sets how wide the networks of a step are and what their passes see: the settings of every training with NetAug.

    The defaults are the paper's for MobileNetV2-Tiny (arXiv:2110.08890).

    Args:
        width: Multipliers on the base channels of `width` groups (stem, block outputs, final conv).
        expand: Multipliers on the expand ratio of `expand` groups (hidden channels of a block).
        groups: Multipliers of single groups in place of those of their role, by glob pattern of group names or of the
            modules that hold them, such as {"stages.3.*": [1.0, 2.0]}; of several patterns that match a group the last
            one counts.
        max_macs_ratio: Most MACs of a drawn network, as a multiple of the base network's, so that a step fits a
            time budget; null (None) sets no limit.
        alpha: Weight of the augmented pass's loss beside the base pass's 1.
        draws: Networks drawn per step, each with an augmented pass of weight `alpha` (not a fraction of it), so that
            the base network's part of the gradient falls with their number. The paper draws one; more hurt.
        base_pass: Whether the base network's own loss trains in steps with an augmented pass. If not, an ablation, it
            has weight 0 there: its forward only moves its running statistics and gives the training metrics. Steps
            without an augmented pass train it in any case.
        batch_share: Fraction of each batch that the augmented pass sees, in (0, 1].
        resolution: Factor in (0, 1] on the sides of the images that the augmented pass sees, rounded to whole pixels:
            0.5 quarters its cost. The network has to run on images of that size.
        augment_every: Steps from one with an augmented pass to the next, the first of the training among them. In
            the steps between only the base network learns: neither momentum nor weight decay moves the added weights.
        start: Progress in [0, 1) before which nothing is augmented nor sorted; until then added weights stay as they
            were initialized.
        width_until: Progress in [0, 1] up to which `width` groups are augmented.
        expand_until: Progress in [0, 1] up to which `expand` groups are augmented.
        batch_norm: `separate` keeps wide passes off the base network's running statistics. `shared`, an ablation, lets
            them move those of its channels, as in the paper's code, which estimates statistics again before it
            evaluates. It changes evaluations only: training normalizes with the statistics of the batch, except in
            frozen parts.
        keep: Glob patterns of group names, module names or parameter names that stay at base width.
        from_stage: Name of the module from which on the network widens, such as features.10 or blocks.4; null (None)
            widens all of it. What runs before it is the same in both passes of a step, and computed once where that is
            exact: `netaug inspect` says so, and what a step then costs.
        palette: How many networks all steps draw from; null (None) draws each step's by itself. Sixteen widths that
            come again and again can be prepared once, for a GPU above all.
        conflict: What becomes of the augmented pass's gradient on the base network's weights where it conflicts with
            the base pass's (their inner product is negative): `add` adds it as it is; `project` takes away its
            component against the base pass's, tensor by tensor; `project-network` with all tensors as one, the gradient
            surgery of arXiv:2310.19820. It takes the memory of one more gradient of the base network.
        sort_gates: Whether sorting also sorts the hidden channels of gates (squeeze-excite) by importance, as the
            paper's code does, and not those of blocks alone.
    """

    width: tuple[float, ...] = (1.0, 1.8, 2.6)
    expand: tuple[float, ...] = (1.0, 1.6, 2.2, 2.8)
    groups: Mapping[str, Sequence[float]] = field(default_factory=dict)
    max_macs_ratio: float | None = None
    alpha: float = 1.0
    draws: int = 1
    base_pass: bool = True
    batch_share: float = 1.0
    resolution: float = 1.0
    augment_every: int = 1
    start: float = 0.0
    width_until: float = 0.5
    expand_until: float = 1.0
    batch_norm: Literal["separate", "shared"] = "separate"
    keep: tuple[str, ...] = ()
    from_stage: str | None = None
    palette: int | None = None
    conflict: Literal["add", "project", "project-network"] = "add"
    sort_gates: bool = True

    def __post_init__(self) -> None:
        check_multipliers("width", self.width)
        check_multipliers("expand", self.expand)
        RatiosByGlob(self.groups)  # its checks are those of `groups`
        limit = self.max_macs_ratio
        for name, allowed, fits in (
            ("max_macs_ratio", "a number > 1, or none for no limit", limit is None or 1.0 < limit < math.inf),
            ("alpha", "a number > 0", 0.0 < self.alpha < math.inf),
            ("draws", "a whole number of at least 1", _counts(self.draws)),
            ("batch_share", "a number in (0, 1]", 0.0 < self.batch_share <= 1.0),
            ("resolution", "a number in (0, 1]", 0.0 < self.resolution <= 1.0),
            ("augment_every", "a whole number of at least 1", _counts(self.augment_every)),
            ("start", "a number in [0, 1)", 0.0 <= self.start < 1.0),
            ("width_until", "a number in [0, 1]", 0.0 <= self.width_until <= 1.0),
            ("expand_until", "a number in [0, 1]", 0.0 <= self.expand_until <= 1.0),
            ("from_stage", "the name of a module", self.from_stage is None or _is_name(self.from_stage)),
            ("palette", "a whole number of at least 1", self.palette is None or _counts(self.palette)),
            ("batch_norm", "separate or shared", self.batch_norm in ("separate", "shared")),
            ("conflict", ", ".join(_CONFLICTS), self.conflict in _CONFLICTS),
        ):
            if not fits:
                raise ConfigError(f"{name} is out of range.", got=getattr(self, name), allowed=allowed)
        if self.conflict != "add" and not self.base_pass:
            raise ConfigError(
                "conflict has no effect with base_pass false: there is no gradient to conflict with.",
                got=f"conflict {self.conflict}",
                fix="leave one of them out",
            )


_CONFLICTS = ("add", "project", "project-network")

# More is a typing error: a layer a hundred times as wide fills any memory.
_MOST_TIMES = 100


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(StepSettings):
    """Sets how :func:`netaug.augment` augments: all of :class:`StepSettings`, and the seed of the draws.

    Args:
        seed: Keys every draw of widths and the initial values of the added weights.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "groups", RatiosByGlob(self.groups))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_multipliers(name: str, factors: Any) -> None:
    """Refuse what is not a list of multipliers.

    Raises:
        ConfigError: Empty, or an entry is not a number of at least 1.0.
    """
    is_list = isinstance(factors, Sequence) and not isinstance(factors, str) and len(factors) > 0
    if is_list and all(
        isinstance(factor, (int, float)) and 1.0 <= factor <= _MOST_TIMES for factor in factors
    ):
        return
    single = name.startswith("groups")
    raise ConfigError(
        f"the list of {name} multipliers cannot be used.",
        got=factors,
        allowed=f"one or more numbers, each at least 1.0 and at most {_MOST_TIMES}",
        fix="for example (1.0, 2.0); (1.0,) draws nothing for the group"
        if single
        else f"for example {name}=(1.0, 1.8, 2.6); (1.0,) switches this role off",
    )
