"""Running statistics that all widths share: those of the base channels move in wider passes too.

With ``batch_norm: shared`` a wide pass shows each norm the base channels' statistics with blanks for added
ones, and writes back what happened to the base channels. Training never reads running statistics, so weights
are the same to the bit, and recalibrated networks too: the ablation shows what mixed statistics cost an
evaluation, no more. Otherwise only base passes update them; an augmented pass that draws all-base widths
leaves them unchanged too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from netaug.elastic.assembly import assemble
from netaug.elastic.axes import Segment
from netaug.elastic.overlay import Place, Setting, without_statistics
from netaug.elastic.plan import Plan

_KEPT = ("running_mean", "running_var")


class SharedStatistics:
    """What norms show in one forward of a wider network: the base channels' statistics, and blanks for added ones.

    Args:
        base: The network.
        plan: Its plan.
        widths: Channels per group.
    """

    def __init__(self, base: nn.Module, plan: Plan, widths: Mapping[str, int]) -> None:
        self._base, self._plan, self._widths = base, plan, widths
        self._shown: list[tuple[Tensor, Tensor, tuple[Segment, ...]]] = []

    def settings(self) -> Iterator[Setting]:
        """Per norm, statistics of its width; norms in evaluation mode have none, as in any wider pass."""
        for name in self._plan.statistics:
            module = self._base.get_submodule(name)
            if not module.training:
                yield from without_statistics(module)
                continue
            for kept in _KEPT:
                axis = self._plan.axes.get(f"{name}.{kept}", {}).get(0)
                if axis is None:
                    continue  # of base width: it moves its own
                buffer, segments = module.get_buffer(kept), axis.segments(dict(self._widths))
                shown = assemble(buffer, {0: buffer.new_zeros(axis.added_size)}, {0: segments})
                self._shown.append((buffer, shown, segments))
                yield Setting(Place(module, kept), shown)

    @torch.no_grad()
    def write_back(self) -> None:
        """Let the base network keep what the forward did to its channels; that of added channels is forgotten."""
        for buffer, shown, segments in self._shown:
            start = 0
            for segment in segments:
                length = segment.stop - segment.start
                if not segment.added:
                    buffer[segment.start : segment.stop].copy_(shown[start : start + length])
                start += length
        self._shown.clear()
