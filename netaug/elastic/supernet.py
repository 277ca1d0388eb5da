"""A network that also works as the first channels of wider networks that share its weights.

The caller's model is kept whole inside (``supernet.base``): a base pass *is* that model, exact and at no cost.

A drawn width reaches a convolution in four steps: ``passes`` draws widths (:mod:`netaug.elastic.sampling`), ``widen``
looks up what each weight reads at these widths (:mod:`netaug.elastic.wide_weights`), ``_run_wide`` puts the wide
weights together (:mod:`netaug.elastic.assembly`) and shows them to the modules in place of their own for the length of
one forward (:mod:`netaug.elastic.overlay`). The model's ``forward`` runs unchanged, whatever it does with its
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from netaug.core.modules import copied_module, modules_by_name
from netaug.elastic.assembly import Assembly
from netaug.elastic.conflict import SeparateGradients
from netaug.elastic.extract import extract
from netaug.elastic.norm_statistics import SharedStatistics, without_statistics
from netaug.elastic.overlay import (
    ModuleAttribute,
    Override,
    kept_state,
    overlaid,
    size_overrides,
)
from netaug.elastic.passes import Pass, step_passes
from netaug.elastic.plan import Counter, Group, Plan
from netaug.elastic.prefix import SharedPrefix
from netaug.elastic.recomputation import refused_recomputation
from netaug.elastic.sampling import draw, is_augmented
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.sorting import sort_channels
from netaug.elastic.summary import summary
from netaug.elastic.wide_weights import WideWeights, added_parameters

_KEPT_WIDTHS = 64
"""Networks whose recipes are kept; those that few ratios and groups make come again in every tenth step."""


class Supernet(nn.Module):
    """A model that can widen; :func:`netaug.augment` makes it.

    Calling it runs the network of the present widths. At base widths that is the caller's own model, bit for bit. Wider
    networks normalize with batch statistics, in training and evaluation mode alike, and work on copies of buffers:
    running statistics (unless ``config.batch_norm`` is ``shared``) and what a module counts are those of base passes.

    Attributes:
        base: The caller's model (a copy); its parameters keep their names and shapes.
        added: What NetAug adds: for each parameter that can widen, its further channels.
        config: The settings given to :func:`netaug.augment`.
        separate: Keeps the gradients of the passes apart with ``config.conflict``; None where they add up.
    """

    def __init__(self, base: nn.Module, plan: Plan, config: AugmentConfig, *, blank: bool = False) -> None:
        super().__init__()
        self.base = base
        self.config = config
        self.plan = plan
        self._counter = Counter.of(base, plan)
        self._small_counter = Counter.of(base, replace(plan, layers=plan.small_layers))
        self.added = added_parameters(base, plan, None if blank else config.seed)
        self._wide = WideWeights(base, plan, self.added)
        self._widths = dict(plan.base_widths)
        self._assembly: Assembly | None = None
        self._overrides: list[Override] = []
        self._kept: dict[tuple[object, ...], tuple[Assembly, list[Override]]] = {}
        self._shared: SharedStatistics | None = None
        self._prefix = SharedPrefix.of(base, plan, config)
        self.separate = SeparateGradients.of(base, config.conflict)

    # Widths

    @property
    def groups(self) -> dict[str, Group]:
        """Return every width group by name, the frozen ones with the reason."""
        return dict(self.plan.groups)

    @property
    def widths(self) -> dict[str, int]:
        """Return the present channels per group, of the groups that can widen."""
        return dict(self._widths)

    def use_base(self) -> None:
        """Switch to the base network: the caller's model."""
        self._widths = dict(self.plan.base_widths)
        self._assembly = None

    def use_widest(self) -> None:
        """Switch to the widest network."""
        self.use(self.plan.widest)

    def use(self, widths: Mapping[str, int]) -> None:
        """Switch to the network of these widths.

        Args:
            widths: Channels per group; a group that is not named is at base.

        Raises:
            ShapeError: A group is unknown or frozen, or its channels are out of range.
        """
        checked = self.plan.checked(widths)
        if checked == self.plan.base_widths:
            self.use_base()
        else:
            self.widen(checked)

    def widen(self, widths: dict[str, int], *, shares_statistics: bool = False) -> None:
        """Switch to wide passes of widths that the plan has, base ones too; :meth:`use` checks what a caller gives.

        Args:
            widths: Channels of every group that can widen.
            shares_statistics: Whether they move the running statistics of the base network's channels.
        """
        self._widths = widths
        self._assembly, self._overrides = self._laid_out(widths, shares_statistics)
        self._shared = SharedStatistics(self.base, self.plan, widths) if shares_statistics else None

    def _laid_out(
        self, widths: Mapping[str, int], shares_statistics: bool
    ) -> tuple[Assembly, list[Override]]:
        """Return how the wide weights of these widths are made, and what else the modules are shown."""
        name = (*widths.items(), shares_statistics)
        if name not in self._kept:
            if len(self._kept) >= _KEPT_WIDTHS:
                self._kept.clear()
            overrides = size_overrides(self.base, self.plan, dict(widths))
            if not shares_statistics:
                norms = map(self.base.get_submodule, self.plan.statistics)
                overrides += [override for norm in norms for override in without_statistics(norm)]
            self._kept[name] = self._wide.assembly(widths), overrides
        return self._kept[name]

    def sample(self, step: int, progress: float = 0.0, number: int = 0) -> dict[str, int]:
        """Draw the widths of a step, a function of ``config.seed``, ``step``, the phase and ``number`` alone.

        With ``config.max_macs_ratio`` no drawn network has more MACs than that many times the base network's.

        Args:
            step: Number of the training step, from 0.
            progress: Fraction of the training that is done, in [0, 1].
            number: Which of the networks of the step, from 0.
        """
        groups, macs, limit = self.plan.groups.values(), self._counter.macs, self.config.max_macs_ratio
        most = math.inf if limit is None else limit * macs({})
        fits = None if limit is None else (lambda widths: macs(widths) <= most)
        return draw(groups, self.config, step, progress, fits, number)

    def widens(self, step: int, progress: float) -> bool:
        """Whether a step has an augmented pass.

        Args:
            step: Number of the training step, from 0.
            progress: Fraction of the training that is done, in [0, 1].
        """
        if step % self.config.augment_every:
            return False
        roles = {group.role for group in self.plan.groups.values()}
        return any(is_augmented(role, self.config, progress) for role in roles)

    def sorts(self, progress: float) -> bool:
        """Whether channels are to be sorted here: added ones have learned, and `width` groups still are augmented."""
        return self.config.start < progress < self.config.width_until

    def passes(
        self, step: int, progress: float, *, wide_first: bool = False, teacher: bool = False
    ) -> Iterator[Pass]:
        """Yield the passes of a training step: the base network, then ``config.draws`` wider ones (weight alpha each).

        The supernet is set to each pass's widths while it is the current one, and back to base afterwards.
        While nothing is augmented yet or any more, and between two steps of ``config.augment_every``, there is only
        the base pass; added weights then have no gradient, and optimizers leave such weights alone. With
        ``config.base_pass`` false a base pass beside an augmented one has weight 0; it needs no backward. Gradients are
        complete when the loop ends: with ``config.conflict`` they are combined only then.

        Args:
            step: Number of the training step, from 0.
            progress: Fraction of the training that is done, in [0, 1].
            wide_first: Yield the wider networks before the base network, so that their outputs can teach it. Gradients
                add, so the sum is the same up to rounding.
            teacher: Yield a pass named ``teacher`` before all others in a step that widens: the widest network that it
                could draw, with weight 0, for outputs alone. It goes with ``wide_first``.

        Raises:
            ConfigError: ``progress`` is out of range.
        """
        passes = step_passes(self, self._prefix, step, progress, wide_first=wide_first, teacher=teacher)
        if self.separate is None or not self.widens(step, progress):
            return passes
        return self.separate.around(passes)

    @property
    def shares_prefix(self) -> bool:
        """Return whether what is before ``config.from_stage`` is computed once per step."""
        return self._prefix is not None

    def accumulate_at_once(self) -> None:
        """Let each wide pass add to the gradients of base weights in one operation; see ``Assembly.accumulates``."""
        self._wide.accumulates = True
        self._kept.clear()

    def forward(self, *inputs: Tensor) -> Any:
        """Run the network of the present widths on the inputs of the caller's model."""
        if self._prefix is not None and self._prefix.is_active and not torch.compiler.is_compiling():
            with self._prefix.around(inputs):
                return self.base(*inputs) if self._assembly is None else self._run_wide(*inputs)
        if self._assembly is None:
            return self.base(*inputs)
        if torch.compiler.is_compiling():  # else it would be recompiled for all drawn widths
            return torch.compiler.disable(self._run_wide)(*inputs)  # type: ignore[no-untyped-call]
        return self._run_wide(*inputs)

    def _run_wide(self, *inputs: Tensor) -> Any:
        assert self._assembly is not None
        state = kept_state(self.base, self.plan.statistics)
        with refused_recomputation(self.base), state, overlaid(self._all_overrides(self._assembly)):
            outputs = self._run_base(*inputs)
        if self._shared is not None:
            self._shared.write_back()
        return outputs

    def _run_base(self, *inputs: Tensor) -> Any:  # the proof of a plan overrides it
        return self.base(*inputs)

    def wide_tensor(self, name: str) -> Tensor:
        """Return the value of a parameter at the present widths."""
        return self.wide_tensors().get(name, self.base.get_parameter(name))

    def wide_tensors(self) -> dict[str, Tensor]:
        """Return every parameter that can widen, at the present widths and differentiable, by name; none at base."""
        return {} if self._assembly is None else self._wide.values(self._assembly)

    def _all_overrides(self, assembly: Assembly) -> Iterator[Override]:
        yield from self._overrides
        if self._shared is not None:
            yield from self._shared.overrides()
        for module in modules_by_name(self.base).values():
            if module._compiled_call_impl is not None:  # compiled for its own weights
                yield Override(ModuleAttribute(module, "_compiled_call_impl"), None)
        yield from self._wide.overrides(assembly)

    # Results

    def extract(self, widths: Mapping[str, int] | None = None) -> nn.Module:
        """Return a plain network of the caller's class that shares nothing with the supernet.

        Args:
            widths: Channels per group; None gives the base network with the caller's ``state_dict`` keys.

        Returns:
            A copy. A wider one has no running statistics for added channels (mean 0, variance 1): take it from
            :func:`netaug.recalibrate` instead, to evaluate it.
        """
        with self.at(widths or {}):
            return extract(self)

    def macs(
        self, widths: Mapping[str, int] | None = None, *, resolution: float = 1.0, from_stage: bool = False
    ) -> int:
        """Count the multiply-accumulates of convolutions and linear layers for one example.

        Args:
            widths: Channels per group; present widths by default.
            resolution: Of the pass, 1 or ``config.resolution``: its factor on the sides of the example's images.
            from_stage: Count only what runs from ``config.from_stage`` on.
        """
        assert resolution in (1.0, self.config.resolution)
        counter = self._counter if resolution == 1.0 else self._small_counter
        return counter.macs(
            self._widths if widths is None else self.plan.checked(widths), from_stage=from_stage
        )

    def num_parameters(self, widths: Mapping[str, int] | None = None) -> int:
        """Count the parameters of the network of these widths; present widths by default."""
        return self._counter.parameters(self._widths if widths is None else self.plan.checked(widths))

    def sort_channels(
        self, optimizer: torch.optim.Optimizer | None = None, averages: Iterable[Supernet] = ()
    ) -> dict[str, Tensor]:
        """Sort the hidden channels of every block by importance; see :func:`netaug.elastic.sorting.sort_channels`."""
        return sort_channels(self, optimizer, averages)

    def __repr__(self) -> str:
        """Summarize in about ten lines; the layers are those of ``supernet.base``."""
        return summary(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        """Copy also a network that keeps what it computed last."""
        return copied_module(self, memo)

    @contextmanager
    def at(self, widths: Mapping[str, int]) -> Iterator[None]:
        """Switch to the network of these widths inside a ``with`` block, then back."""
        before = self._widths, self._assembly, self._overrides, self._shared
        self.use(widths)
        try:
            yield
        finally:
            self._widths, self._assembly, self._overrides, self._shared = before
