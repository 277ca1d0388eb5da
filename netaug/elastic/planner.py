"""Make the plan of a supernet from a model: name the groups found in its graph, give them roles and widths."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from netaug.core.errors import ConfigError
from netaug.elastic.analysis import Analysis, SizeUse
from netaug.elastic.axes import Axis, Span
from netaug.elastic.constraints import matching, with_own_ratios, within_limit
from netaug.elastic.groups import Parts
from netaug.elastic.plan import Counter, Group, Layer, Plan, Size
from netaug.elastic.roles import assign_roles
from netaug.elastic.rules import apply_rules
from netaug.elastic.sampling import resolve
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.stages import prefix_of
from netaug.elastic.trace import Trace, module_of, norms_with_statistics, tensor_inputs, trace


class Follower(NamedTuple):
    """Describes an attribute that may count channels, in all modules of a class."""

    kind: type[nn.Module]
    attribute: str


class Planner:
    """Walks once over a model's graph, then makes plans from it, each with further groups frozen."""

    def __init__(self, model: nn.Module, example: tuple[Tensor, ...], config: AugmentConfig) -> None:
        self.trace: Trace = trace(model, example)
        self.config = config
        self.analysis = Analysis(self.trace, model)
        apply_rules(self.analysis)
        self.analysis.unify_sizes()  # before guesses are added, which may not merge groups
        self.analysis.guess_sizes()
        self._roles = assign_roles(self.analysis)
        self._names = self._unique_names()
        self._members = self._collect_members()
        self._prefix = None if config.from_stage is None else prefix_of(self.trace, config.from_stage)

    def plan(self, frozen: Mapping[str, str] | None = None, followed: Collection[Follower] = ()) -> Plan:
        """Name the groups, give them roles and widths.

        Args:
            frozen: Group names that stay at base width, with the reason, besides those found in the graph.
            followed: Attributes of module classes that shall go with the channels they seem to count.
        """
        reasons = {**self._before_stage(), **self._kept(), **(frozen or {})}
        plan = self._plan_of(self._with_roles(reasons), followed)
        macs = Counter.of(self.analysis.model, plan).macs
        # The limit needs MACs, MACs need a plan: the first one is made without it.
        limited = within_limit(plan.groups.values(), self.config, macs)
        return plan if limited == list(plan.groups.values()) else self._plan_of(limited, followed)

    def _plan_of(self, planned: list[Group], followed: Collection[Follower]) -> Plan:
        groups = self._sized(planned)
        axes = {
            name: {dim: self._axis(parts, groups) for dim, parts in layout.items()}
            for name, layout in self.analysis.axes().items()
        }
        return Plan(
            groups=groups,
            axes={name: widening for name, layout in axes.items() if (widening := _widening(layout))},
            layers=tuple(
                Layer(
                    use.weight,
                    use.positions,
                    self._group_names(use.source),
                    self._group_names(use.target),
                    use.input_dim,
                    use.depthwise,
                )
                for use in self.analysis.uses
            ),
            sizes=self._sizes(groups, followed),
            statistics=tuple(norms_with_statistics(self.analysis.model)),
            owners=self.trace.owners,
            batch_size=self.trace.batch_size,
            prefix=self._prefix,
        )

    def followers(self) -> list[tuple[Follower, ...]]:
        """Return attributes of module classes that may be the source of sizes in calls: by class, then one by one."""
        followers = dict.fromkeys(self._follower(use) for use in self.analysis.sizes if not use.certain)
        by_class: dict[type[nn.Module], tuple[Follower, ...]] = {}
        for follower in followers:
            by_class[follower.kind] = (*by_class.get(follower.kind, ()), follower)
        return [
            *(of_class for of_class in by_class.values() if len(of_class) > 1),
            *((follower,) for follower in followers),
        ]

    def groups_of(self, module: str) -> list[str]:
        """Return the names of the groups along what a module's own operations take and give."""
        names: dict[str, None] = {}
        for node in self.trace.operations:
            if module_of(node) == module:
                for tensor in (node, *tensor_inputs(node)):
                    for layout in self.analysis.layouts_of(tensor):
                        for parts in layout.values():
                            names.update(dict.fromkeys(self._group_names(parts)))
        return list(names)

    def _follower(self, use: SizeUse) -> Follower:
        return Follower(type(self.analysis.model.get_submodule(use.module)), use.attribute)

    def _sizes(self, groups: Mapping[str, Group], followed: Collection[Follower]) -> tuple[Size, ...]:
        uses: dict[tuple[str, str], dict[int | None, Parts]] = {}
        conflicting = set()
        for use in self.analysis.sizes:
            if not use.certain and self._follower(use) not in followed:
                continue
            owner, parts = (use.module, use.attribute), self.analysis.groups.resolve(use.parts)
            if uses.setdefault(owner, {}).setdefault(use.index, parts) != parts:
                conflicting.add(owner)
        sizes = []
        for (module, attribute), by_index in uses.items():
            axes = {index: self._axis(parts, groups) for index, parts in by_index.items()}
            # One number cannot count the channels of two groups: it stays, and the dry run tells what that breaks.
            if (module, attribute) not in conflicting and any(axis.added_size for axis in axes.values()):
                base = getattr(self.analysis.model.get_submodule(module), attribute)
                sizes.append(Size(module, attribute, base, axes))
        return tuple(sizes)

    def _unique_names(self) -> dict[int, str]:
        names: dict[int, str] = {}
        taken: set[str] = set()
        for root in self.analysis.groups.roots():
            name, count = self.analysis.groups.name(root), 2
            # Pieces of a layer whose channels are split have its name in common.
            while name in taken:
                name, count = f"{self.analysis.groups.name(root)}#{count}", count + 1
            names[root] = name
            taken.add(name)
        return names

    def _collect_members(self) -> dict[str, tuple[str, ...]]:
        members: dict[str, list[str]] = {name: [] for name in self._names.values()}
        for tensor, layout in self.analysis.axes().items():
            if tensor not in self.trace.parameters:
                continue
            for dim, parts in layout.items():
                for name in dict.fromkeys(self._group_names(parts)):
                    members[name].append(f"{tensor}[{dim}]")
        return {name: tuple(parameters) for name, parameters in members.items()}

    def _group_names(self, parts: Parts) -> tuple[str, ...]:
        """Return the names of the groups; channels that no layer makes are in none."""
        names = (self._names.get(part.group) for part in self.analysis.groups.resolve(parts))
        return tuple(name for name in names if name is not None)

    def _kept(self) -> dict[str, str]:
        """Return the groups that ``keep`` freezes: those that a pattern names, else those of the modules it matches."""
        kept: dict[str, str] = {}
        for pattern in self.config.keep:
            matches = matching(pattern, self._members)
            if not matches:
                raise ConfigError(
                    f"keep='{pattern}' matches no width group and no module with one.",
                    allowed=", ".join(self._names.values()),
                )
            kept.update(dict.fromkeys(matches, f"kept by '{pattern}'"))
        return kept

    def _before_stage(self) -> dict[str, str]:
        """Return the groups with a parameter that is read before ``config.from_stage``, each with the reason."""
        if self._prefix is None:
            return {}
        read = self._prefix.parameters
        return {
            name: f"before from_stage '{self._prefix.stage}'"
            for name, members in self._members.items()
            if any(member.partition("[")[0] in read for member in members)
        }

    def _with_roles(self, reasons: Mapping[str, str]) -> list[Group]:
        groups = []
        for root, assignment in self._roles.items():
            name = self._names[root]
            reason = self.analysis.groups.reason(root) or reasons.get(name, "")
            base = self.analysis.groups.size(root)
            group = Group(name, assignment.role, base, base, members=self._members[name], reason=reason)
            if reason:
                groups.append(replace(group, role="frozen"))
            else:
                ratios = {"width": self.config.width, "expand": self.config.expand}.get(
                    assignment.role, (1.0,)
                )
                source = self._group_names(assignment.source)
                groups.append(replace(group, ratios=tuple(ratios), source=source))
        # Sources before those that follow them: the widths of expand and follow groups are worked out from them.
        order = {"frozen": 0, "width": 1, "expand": 2, "follow": 3}
        return sorted(with_own_ratios(groups, self.config), key=lambda group: order[group.role])

    def _sized(self, groups: list[Group]) -> dict[str, Group]:
        widest = resolve(groups, {group.name: max(group.ratios) for group in groups})
        return {group.name: replace(group, most=widest[group.name]) for group in groups}

    def _axis(self, parts: Parts, groups: Mapping[str, Group]) -> Axis:
        spans = []
        for part in self.analysis.groups.resolve(parts):
            # Channels that no layer makes have a span without a group, of base width.
            name, base = self._names.get(part.group, ""), self.analysis.groups.size(part.group)
            spans.append(Span(name, part.repeat, base, groups[name].most if name else base))
        return Axis(tuple(spans))


def _widening(layout: Mapping[int, Axis]) -> dict[int, Axis]:
    return {dim: axis for dim, axis in layout.items() if axis.added_size}
