"""Show what can widen in a network and what cannot: groups, counts, reasons."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from netaug.core.consoles import SafeConsole
from netaug.elastic.build import plan_supernet
from netaug.elastic.plan import Group as WidthGroup
from netaug.elastic.plan import Prefix
from netaug.elastic.sampling import widest_drawn
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.summary import short_count
from netaug.elastic.supernet import Supernet

DRAWS = 500
"""Networks drawn for the mean counts; the standard error of the paper's networks is then about 1 %."""


@dataclass(frozen=True)
class Counts:
    """Holds the size of one network, or the mean over drawn ones.

    Args:
        parameters: Weights, biases and norm affines.
        macs: Multiply-accumulates of convolutions and linear layers for one example.
    """

    parameters: float
    macs: float


@dataclass(frozen=True)
class Inspection:
    """Holds the groups of a supernet and how large its networks are.

    Args:
        groups: By name, frozen ones first.
        base: The network given.
        widest: The widest network.
        drawn: Mean over draws while every kind of group is augmented.
        drawn_late: Mean over draws after ``width_until``, and not before ``start``.
        drawn_most: The draw of either phase with the most MACs.
        cost: Mean MACs of all passes of a step over the training, as a multiple of the base network's.
        config: The settings it was made with.
        prefix: What runs before ``config.from_stage``, if that is set.
        shares_prefix: Whether the passes of a step can compute that once.
        teacher_cost: What :attr:`cost` grows by where the widest network that each step could draw is run to teach.
        separate: Numbers whose gradient is kept apart until a step's end (``config.conflict``); 0 without.
    """

    groups: Mapping[str, WidthGroup]
    base: Counts
    widest: Counts
    drawn: Counts
    drawn_late: Counts
    drawn_most: Counts
    cost: float
    config: AugmentConfig
    prefix: Prefix | None = None
    shares_prefix: bool = False
    teacher_cost: float = 0.0
    separate: int = 0

    def render(self, *, members: bool = False, widest_teaches: bool = False) -> Group:
        """Return tables for a terminal.

        Args:
            members: List the parameters of every group.
            widest_teaches: Whether the widest network is run in each step that widens, for its outputs.
        """
        return Group(
            self._counts_table(),
            *self._limit_lines(),
            *self._prefix_lines(),
            *self._cost_lines(widest_teaches),
            Text(),
            self._groups_table(members),
            *self._frozen_lines(),
        )

    def __str__(self) -> str:
        console = SafeConsole(width=140, no_color=True)
        with console.capture() as captured:
            console.print(self.render())
        return captured.get()

    def _counts_table(self) -> Table:
        table = Table(title="size of the network", title_justify="left", box=None, pad_edge=False)
        table.add_column("network")
        for column in ("parameters", "MACs", "x base"):
            table.add_column(column, justify="right")
        start, until = self.config.start, self.config.width_until
        since = f"from {start:.0%} " if start else ""
        early = [(f"drawn, mean {since}until {until:.0%} of training", self.drawn)]
        rows = [
            ("base (what you ship)", self.base),
            *(early if start < until else []),
            (f"drawn, mean after {max(start, until):.0%}", self.drawn_late),
            ("drawn, largest", self.drawn_most),
            ("widest (its parameters are what training stores)", self.widest),
        ]
        for name, counts in rows:
            ratio = counts.macs / self.base.macs if self.base.macs else 1.0
            table.add_row(name, short_count(counts.parameters), short_count(counts.macs), f"{ratio:.2f}")
        return table

    def _limit_lines(self) -> list[Text]:
        limit = self.config.max_macs_ratio
        if limit is None:
            return []
        never = "; the widest network is beyond that and never drawn"
        return [
            Text(
                f"max_macs_ratio {limit:g}: no drawn network has more than {short_count(limit * self.base.macs)} MACs"
                + never * (self.widest.macs > limit * self.base.macs)
            )
        ]

    def _prefix_lines(self) -> list[Text]:
        if self.prefix is None:
            return []
        use = "computed once per step, except with dropout before it, when compiled, or with in-place distillation"
        if self.prefix.obstacle:
            use = f"computed in every pass: {self.prefix.obstacle}"
        elif not self.shares_prefix:
            differ = (
                "are kept apart (conflict)"
                if self.config.conflict != "add"
                else "differ in images or statistics"
            )
            use = f"computed in every pass: the passes {differ}"
        return [Text(f"what runs before '{self.prefix.stage}' stays at base width and is {use}")]

    def _cost_lines(self, widest_teaches: bool) -> list[Text]:
        cost = self.cost + self.teacher_cost * widest_teaches
        teaching = f", {self.teacher_cost:.2f}x of them for the widest network that teaches" * widest_teaches
        lines = [
            f"a training with NetAug takes {cost:.2f}x the MACs of one without, for as many epochs{teaching}"
        ]
        if self.separate:
            lines.append(
                f"conflict {self.config.conflict}: the gradients of both passes are kept apart, "
                f"{short_count(self.separate)} numbers more in memory"
            )
        return [Text(line) for line in lines]

    def _groups_table(self, members: bool) -> Table:
        table = Table(title="groups that widen", title_justify="left", box=None, pad_edge=False)
        for column in ("group", "role", "base", "possible widths", "drawn from", "members"):
            table.add_column(column, justify="right" if column == "base" else "left")
        for group in self.groups.values():
            if group.role == "frozen":
                continue
            modules = list(
                dict.fromkeys(member.partition("[")[0].rpartition(".")[0] for member in group.members)
            )
            shown = ", ".join(modules[:2]) + (f", +{len(modules) - 2}" if len(modules) > 2 else "")
            widths, rule = _possible(group), _rule(group)
            table.add_row(group.name, group.role, str(group.base), widths, rule, "" if members else shown)
            if members:
                for member in group.members:
                    table.add_row(f"  {member}")
        return table

    def _frozen_lines(self) -> list[Text]:
        frozen = [group for group in self.groups.values() if group.role == "frozen"]
        lines = [Text(f"\n{len(frozen)} of {len(self.groups)} groups keep their width")] if frozen else []
        return lines + [Text(f"  {group.name} ({group.base} channels): {group.reason}") for group in frozen]


def inspect(supernet: Supernet, draws: int = DRAWS) -> Inspection:
    """Measure a supernet: counts of base and widest, and means over ``draws`` drawn networks in each phase."""

    def count(widths: Mapping[str, int]) -> Counts:
        return Counts(supernet.num_parameters(widths), supernet.macs(widths))

    def drawn(progress: float) -> list[Counts]:
        return [count(supernet.sample(step, progress)) for step in range(draws)]

    start, until = supernet.config.start, supernet.config.width_until
    early, late = drawn(start), drawn(max(start, until))
    return Inspection(
        groups=supernet.groups,
        base=count({}),
        widest=count(supernet.plan.widest),
        drawn=_mean(early),
        drawn_late=_mean(late),
        drawn_most=max(early + late, key=lambda counts: counts.macs),
        cost=_cost(supernet, draws),
        teacher_cost=_teacher_cost(supernet),
        separate=0 if supernet.separate is None else sum(p.numel() for p in supernet.separate.parameters),
        config=supernet.config,
        prefix=supernet.plan.prefix,
        shares_prefix=supernet.shares_prefix,
    )


def _cost(supernet: Supernet, draws: int) -> float:
    """Return mean MACs per step over those of a base pass, from ``draws`` networks of each phase of the schedule."""
    config, base = supernet.config, supernet.macs({})
    fraction = config.draws * config.batch_share / config.augment_every
    cost = 1.0
    for begin, end in _phases(config):
        progress = (begin + end) / 2
        # Step 0 has an augmented pass if any step of this phase has.
        if base and supernet.widens(0, progress):
            drawn = [supernet.sample(step, progress) for step in range(draws)]
            shares = supernet.shares_prefix
            macs = (
                sum(supernet.macs(w, resolution=config.resolution, from_stage=shares) for w in drawn) / draws
            )
            cost += (end - begin) * fraction * macs / base
    return cost


def _phases(config: AugmentConfig) -> Iterator[tuple[float, float]]:
    """Return begin and end of the parts of a training in which nothing of the schedule changes."""
    cuts = sorted({0.0, config.start, config.width_until, config.expand_until, 1.0})
    return itertools.pairwise(cuts)


def _teacher_cost(supernet: Supernet) -> float:
    """Return mean MACs per step of the widest networks that steps could draw, over those of a base pass."""
    config, base, groups = supernet.config, supernet.macs({}), list(supernet.plan.groups.values())
    cost = 0.0
    for begin, end in _phases(config):
        progress = (begin + end) / 2
        if base and supernet.widens(0, progress):
            macs = supernet.macs(widest_drawn(groups, config, progress))
            cost += (end - begin) / config.augment_every * macs / base
    return cost


def describe(
    model: nn.Module, example_input: Tensor | tuple[Tensor, ...], config: AugmentConfig | None = None
) -> Inspection:
    """Augment a model only to see what would widen, also if nothing does; see :func:`netaug.augment`."""
    return inspect(plan_supernet(model, example_input, config))


def _mean(drawn: Sequence[Counts]) -> Counts:
    return Counts(
        sum(counts.parameters for counts in drawn) / len(drawn),
        sum(counts.macs for counts in drawn) / len(drawn),
    )


def _possible(group: WidthGroup) -> str:
    """Write the channels that a group can have: all of them if they depend on nothing else, else the range."""
    if group.role == "width":
        channels = sorted({max(group.base, int(group.base * ratio + 0.5)) for ratio in group.ratios})
        return ", ".join(map(str, channels))
    return f"{group.base} to {group.most}"


def _rule(group: WidthGroup) -> str:
    factors = ", ".join(f"{ratio:g}" for ratio in group.ratios)
    source = " + ".join(group.source)
    return {"width": f"base x {factors}", "expand": f"ratio to {source} x {factors}"}.get(
        group.role, f"goes with {source}"
    )
