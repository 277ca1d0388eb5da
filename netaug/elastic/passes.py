"""The passes of a training step: which network runs when, on which images, with which weight.

**Cheaper steps.** With ``augment_every`` k only steps whose number is a multiple of k have an augmented pass.
In the others, as before ``start`` and after the last phase that widens, added weights have no gradient (not
one of zeros), so optimizers leave them and their states alone. Decaying them meanwhile would shrink them k
times as fast per gradient.

**Several draws.** Each of ``draws`` networks has a pass of weight alpha, not alpha / draws: the sum of
gradients grows and the base network's fraction of it falls, which is what the paper says hurts. The first
draw of a step is the same for any number of draws.

**Augmented alone.** With ``base_pass`` false the base pass beside an augmented one has weight 0. Its forward
is kept: running statistics stay the base network's own, and training metrics stay comparable.

**The stem is computed twice.** Base channels are alike in both passes until a dense layer mixes them with
added ones: 1-2 % of a step's forward MACs while the stem widens, 4-10 % afterwards (``python -m
benchmarks.stem``). That is not shared; a whole part of the network is, with ``from_stage``
(:mod:`netaug.elastic.prefix`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from torch import Tensor
from torch.nn import functional as F

from netaug.core.errors import ShapeError
from netaug.elastic.sampling import check_progress, widest_drawn
from netaug.elastic.settings import StepSettings

if TYPE_CHECKING:
    from netaug.elastic.prefix import SharedPrefix
    from netaug.elastic.supernet import Supernet


class Examples(Protocol):
    """What the outputs for some examples are compared with; the first of them can be taken."""

    def __getitem__(self: Targets, rows: slice, /) -> Targets: ...


Targets = TypeVar("Targets", bound=Examples)


@dataclass(frozen=True)
class Pass:
    """One forward and backward of a step; the supernet is already set to its widths.

    Args:
        name: ``base``, ``augmented``, or ``teacher`` for a forward whose outputs teach the base network.
        weight: Factor on this pass's loss; 0 if its forward is for running statistics or its outputs alone, and needs
            no gradient.
        widths: Channels per group.
        share: Fraction of the batch that the pass sees, in (0, 1].
        last: Whether it is the step's last pass, after whose backward the gradients are complete.
        resolution: Factor in (0, 1] on the sides of the images that the pass sees.
        number: Among the step's augmented passes, from 0.
        statistics: Whether the pass moves the base network's running statistics.
        from_stage: Whether it begins at ``config.from_stage`` with what the base pass has computed up to there.
    """

    name: Literal["base", "augmented", "teacher"]
    weight: float
    widths: Mapping[str, int]
    share: float = 1.0
    last: bool = True
    resolution: float = 1.0
    number: int = 0
    statistics: bool = True
    from_stage: bool = False

    @classmethod
    def augmented(
        cls, config: StepSettings, widths: Mapping[str, int], number: int, *, last: bool, from_stage: bool
    ) -> Pass:
        """Return the augmented pass of these widths, as the settings have it."""
        return cls(
            "augmented",
            config.alpha,
            widths,
            share=config.batch_share,
            last=last,
            resolution=config.resolution,
            number=number,
            statistics=config.batch_norm == "shared",
            from_stage=from_stage,
        )

    def take(self, images: Tensor, labels: Targets) -> tuple[Tensor, Targets]:
        """Return the images and labels, or other targets, that this pass sees.

        Args:
            images: The batch's, any shape whose first dimension counts them; ``[N, C, H, W]`` with a resolution
                below 1.
            labels: Theirs.

        Returns:
            All, or the first ``share`` of them but at least two; the images at the pass's resolution.

        Raises:
            ShapeError: There is a resolution and the inputs are not images.
        """
        if self.share < 1.0:
            # The first images, not drawn ones: a batch is in drawn order. Two at least, as batch norms need.
            count = min(len(images), max(2, round(self.share * len(images))))
            if count < len(images):
                images, labels = images[:count], labels[:count]
        return (images if self.resolution == 1.0 else smaller(images, self.resolution)), labels


def smaller(images_NCHW: Tensor, factor: float) -> Tensor:
    """Scale images down, each pixel a triangle-weighted mean of those it covers (bilinear with antialias).

    Args:
        images_NCHW: Floating-point, normalized or not: the mean of normalized pixels is the normalized mean.
        factor: In (0, 1], on height and width; see :func:`smaller_side`.

    Raises:
        ShapeError: The tensor does not hold such images.
    """
    if images_NCHW.ndim != 4 or not images_NCHW.is_floating_point():
        raise ShapeError(
            "the augmented pass has a resolution below 1, but its inputs are not images that can be scaled.",
            got=f"{images_NCHW.dtype} of shape {tuple(images_NCHW.shape)}",
            allowed="a floating-point tensor [N, C, H, W]",
            fix="leave resolution at 1, or scale the inputs of augmented passes yourself",
        )
    height, width = (smaller_side(side, factor) for side in images_NCHW.shape[2:])
    # With antialias: without it small objects fall between the sampled pixels.
    return F.interpolate(images_NCHW, (height, width), mode="bilinear", antialias=True)


def smaller_side(side: int, factor: float) -> int:
    """Return a side in pixels times a factor, rounded to a whole pixel (halves up), at least one."""
    return max(1, int(side * factor + 0.5))


def step_passes(
    supernet: Supernet,
    prefix: SharedPrefix | None,
    step: int,
    progress: float,
    *,
    wide_first: bool,
    teacher: bool,
) -> Iterator[Pass]:
    """Yield the passes of a step, with the supernet at the widths of each; see :meth:`Supernet.passes`.

    Args:
        supernet: Its widths change.
        prefix: Runs what is before ``config.from_stage`` once, if the passes of a step can share it.
        step: Number of the training step, from 0.
        progress: Fraction of the training that is done, in [0, 1].
        wide_first: Whether the base pass is the last one.
        teacher: Whether the widest network is run first, to teach.

    Raises:
        ConfigError: ``progress`` is out of range.
    """
    check_progress(progress)
    config = supernet.config
    try:
        supernet.use_base()
        widens = supernet.widens(step, progress)
        weight = 1.0 if config.base_pass or not widens else 0.0
        if widens and teacher:
            supernet.widen(widest_drawn(list(supernet.plan.groups.values()), config, progress))
            yield Pass("teacher", 0.0, supernet.widths, last=False, statistics=False)
            supernet.use_base()
        if prefix is not None and widens and not wide_first:
            prefix.record()
        if not (widens and wide_first):
            yield Pass("base", weight, supernet.widths, last=not widens)
        if widens:
            shared = None if wide_first else prefix
            yield from _wide_passes(supernet, shared, step, progress, ends_step=not wide_first)
        if widens and wide_first:
            supernet.use_base()
            yield Pass("base", weight, supernet.widths)
    finally:  # also if the caller leaves the loop in the middle of a step
        supernet.use_base()
        if prefix is not None:
            prefix.stop()


def _wide_passes(
    supernet: Supernet, prefix: SharedPrefix | None, step: int, progress: float, *, ends_step: bool
) -> Iterator[Pass]:
    config = supernet.config
    for number in range(config.draws):
        supernet.widen(
            supernet.sample(step, progress, number), shares_statistics=config.batch_norm == "shared"
        )
        last = ends_step and number + 1 == config.draws
        if prefix is not None:
            prefix.reuse(last=last)
        yield Pass.augmented(config, supernet.widths, number, last=last, from_stage=prefix is not None)
    if prefix is not None:
        prefix.finish()
