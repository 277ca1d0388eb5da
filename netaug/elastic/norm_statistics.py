"""What a wide pass does to batch-norm statistics: nothing, unless they are shared.

Running statistics are those of the base network, which is evaluated with them, and a channel's mean is another one
where the channel is computed from more inputs. So :func:`without_statistics` hides them in a wide pass: the norm then
normalizes with the statistics of the batch, in training and evaluation mode alike, and updates none. This holds for
an augmented pass that draws all-base widths too. :func:`netaug.recalibrate` estimates the statistics of a wider
network, so that it can be evaluated.

With ``batch_norm: shared``, an ablation, :class:`SharedStatistics` shows each norm the base channels' statistics with
mean 0 and variance 1 for added ones, and writes back what happened to the base channels. Norms in training mode never
read running statistics, so weights are the same to the bit (but for frozen parts, whose norms evaluate), and
recalibrated networks too: the ablation shows what mixed statistics cost an evaluation, no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from netaug.elastic.assembly import assemble
from netaug.elastic.axes import Segment
from netaug.elastic.overlay import RUNNING_STATISTICS, ModuleAttribute, Override
from netaug.elastic.plan import Plan

_UPDATED = ("running_mean", "running_var")


def without_statistics(norm: nn.Module) -> list[Override]:
    """Return what lets a norm use the statistics of the batch and update no running ones."""
    # Without running statistics torch takes those of the batch in evaluation mode too, whatever ``training`` says.
    hidden = [Override(ModuleAttribute(norm, name), None) for name in RUNNING_STATISTICS]
    return [*hidden, Override(ModuleAttribute(norm, "track_running_stats"), False)]


class SharedStatistics:
    """Shows norms, in one forward of a wider network, the base channels' statistics with blanks for added ones.

    Args:
        base: The network.
        plan: Its plan.
        widths: Channels per group.
    """

    def __init__(self, base: nn.Module, plan: Plan, widths: Mapping[str, int]) -> None:
        self._base, self._plan, self._widths = base, plan, widths
        self._shown: list[tuple[Tensor, Tensor, tuple[Segment, ...]]] = []

    def overrides(self) -> Iterator[Override]:
        """Yield statistics of the width per norm; norms in evaluation mode see none, as in any wider pass."""
        for name in self._plan.statistics:
            module = self._base.get_submodule(name)
            if not module.training:
                yield from without_statistics(module)
                continue
            for statistic in _UPDATED:
                axis = self._plan.axes.get(f"{name}.{statistic}", {}).get(0)
                if axis is None:
                    continue  # of base width: the forward updates the norm's own buffer
                buffer, segments = module.get_buffer(statistic), axis.segments(dict(self._widths))
                shown = assemble(buffer, {0: buffer.new_zeros(axis.added_size)}, {0: segments})
                self._shown.append((buffer, shown, segments))
                yield Override(ModuleAttribute(module, statistic), shown)

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
