"""All weights of a network that can widen: what is added to them, and their values at the widths of a pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from netaug.core.seeding import key
from netaug.elastic.assembly import Assembly
from netaug.elastic.axes import Axes, added_dims, added_key, added_values
from netaug.elastic.blocks import Blocks
from netaug.elastic.gathering import IndexCache
from netaug.elastic.overlay import ModuleAttribute, Override
from netaug.elastic.plan import Plan

_KEPT_BLOCKS = 256
"""Widths of one tensor whose blocks are kept; a tensor of two groups with five ratios each has 25."""


class WideTensor:
    """A parameter that can widen, with the modules that hold it and what is added to it along which dimensions.

    Args:
        owners: Every module attribute that holds the base parameter.
        axes: Its elastic dimensions.
        added: The added part per dimension.
    """

    def __init__(
        self, owners: tuple[ModuleAttribute, ...], axes: Axes, added: Mapping[int, ModuleAttribute]
    ) -> None:
        self.owners = owners
        self._axes = {dim: axes[dim] for dim in sorted(added)}
        self._sources = (owners[0], *(added[dim] for dim in self._axes))
        spans = [span for axis in self._axes.values() for span in axis.spans]
        self._groups = sorted({span.group for span in spans if span.most > span.base})
        self._blocks: dict[tuple[int, ...], Blocks] = {}

    def sources(self) -> list[Tensor]:
        """Return the base parameter and the added ones, in the order of their dimensions."""
        # Read in each pass: ``model.to`` may replace them. Past ``getattr``, which takes 1 µs each for parameters.
        return [owner.module._parameters[owner.attribute] for owner in self._sources]  # type: ignore[misc]

    def blocks(self, widths: Mapping[str, int]) -> Blocks:
        """Return how the tensor of these widths is put together; few widths come up again and again."""
        name = tuple(widths[group] for group in self._groups)
        if name not in self._blocks:
            if len(self._blocks) >= _KEPT_BLOCKS:
                self._blocks.clear()
            sources = self.sources()
            segments = {dim: axis.segments(widths) for dim, axis in self._axes.items()}
            self._blocks[name] = Blocks.of(sources[0].shape, [source.numel() for source in sources], segments)
        return self._blocks[name]


class WideWeights:
    """All parameters of a network that can widen, bound to its modules.

    Args:
        base: The network.
        plan: Its plan.
        added: Holds what is added, under the names of :func:`netaug.elastic.axes.added_key`.

    Attributes:
        accumulates: See :class:`netaug.elastic.assembly.Assembly`.
    """

    def __init__(self, base: nn.Module, plan: Plan, added: nn.Module) -> None:
        self.tensors: dict[str, WideTensor] = {}
        for name, _ in base.named_parameters():
            dims = added_dims(plan.axes.get(name, {}))
            if dims:
                owners = tuple(
                    ModuleAttribute(base.get_submodule(module), attribute)
                    for module, attribute in plan.owners[name]
                )
                by_dim = {dim: ModuleAttribute(added, added_key(name, dim)) for dim in dims}
                self.tensors[name] = WideTensor(owners, plan.axes[name], by_dim)
        self._indexes = IndexCache()
        self.accumulates = False

    def assembly(self, widths: Mapping[str, int]) -> Assembly:
        """Return how all wide weights of these widths are put together."""
        return Assembly(
            [tensor.blocks(widths) for tensor in self.tensors.values()],
            self._indexes,
            accumulates=self.accumulates,
        )

    def values(self, assembly: Assembly) -> dict[str, Tensor]:
        """Return the wide weights by name, differentiable in base and added parameters."""
        if not self.tensors:
            return {}
        sources = [source for tensor in self.tensors.values() for source in tensor.sources()]
        return dict(zip(self.tensors, assembly.values(sources), strict=True))

    def overrides(self, assembly: Assembly) -> Iterator[Override]:
        """Yield the wide weights, each for every attribute that holds the base parameter."""
        for name, value in self.values(assembly).items():
            for owner in self.tensors[name].owners:
                yield Override(owner, value)


def added_parameters(base: nn.Module, plan: Plan, seed: int | None) -> nn.ParameterDict:
    """Return what NetAug adds to each parameter that can widen, with first values; zeros without a seed.

    Draws are keyed by name: the first values of a layer do not depend on which others widen.
    """
    added = nn.ParameterDict()
    for name, parameter in base.named_parameters():
        axes = plan.axes.get(name, {})
        for dim in added_dims(axes):
            values = added_values(
                parameter, axes, dim, None if seed is None else key(seed, "init", name, dim)
            )
            # Channels that are added to a layer that does not learn do not learn either.
            added[added_key(name, dim)] = nn.Parameter(values, requires_grad=parameter.requires_grad)
    return added
