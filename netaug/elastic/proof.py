"""Prove a plan by values: with all added weights at zero, wider networks compute what the base network does.

Shapes cannot show that a slice at a written or computed border reads other channels in a wider network. So a
copy with drawn weights is run in training mode, at base widths and at several wider ones, and the outputs are
compared. What may rightly differ with the number of channels is replaced in all of these runs
(:mod:`netaug.elastic.neutral`).

The runs are at base width, at the widest, and at some widths in which every two groups widen differently. On
a difference, the first call that differs names the module; then attributes follow or groups freeze, as in the
dry run. Weights and input are drawn, so a plan does not depend on training. Single precision comes first; what
differs is checked again in double precision.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from netaug.core.errors import ModelError, first_line
from netaug.core.modules import remove_training_hooks
from netaug.core.seeding import generator
from netaug.elastic.captured_tensors import ReadWatcher
from netaug.elastic.dry_run import Outcome, module_stack, of_two_or_more
from netaug.elastic.neutral import MovedError, Neutral, same, same_draws
from netaug.elastic.overlay import kept_state
from netaug.elastic.passes import smaller
from netaug.elastic.plan import Plan
from netaug.elastic.recomputation import RecomputationError, modules_run, refusal, without_recomputation
from netaug.elastic.sampling import free_widths
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.supernet import Supernet

SIDE = 64
"""Images are scaled down to about so many pixels, if the network runs on them: where channels stand is the same."""
DRAWS = 2
"""Networks drawn at random, beside those in which every two groups differ."""

_log = logging.getLogger("netaug")


class _Trial(NamedTuple):
    """Holds the inputs that a copy is run with, their type (None: as they are), and whether its weights are drawn."""

    inputs: tuple[Tensor, ...]
    dtype: torch.dtype | None
    drawn: bool = True


class _ZeroNet(Supernet):
    """A supernet whose added weights are zero, and whose runs replace what mixes channels without weights."""

    neutral: Neutral

    def _run_base(self, *inputs: Tensor) -> Any:
        with self.neutral:
            return self.base(*inputs)


class Proof:
    """Runs a copy of a network with drawn weights at base widths, then wider ones of a plan.

    Args:
        model: The network; it is left as it is.
        example, config: As for :func:`netaug.augment`.

    Raises:
        ModelError: The network recomputes activations, or a copy of it reads tensors that are not its own.
    """

    _copy: nn.Module
    _inputs: tuple[Tensor, ...]
    _reference: Neutral
    _outputs: Any
    _parameters: dict[str, Tensor]

    def __init__(self, model: nn.Module, example: tuple[Tensor, ...], config: AugmentConfig) -> None:
        self._model, self._example, self._config = model, example, config
        self._supernet: tuple[Plan, _ZeroNet] | None = None
        self._watched: Neutral | None = None
        self._steady: bool | None = None
        self._precise = False
        self._runs = any(self._prepare(trial) for trial in _trials(example, torch.float32))

    def widths(self, plan: Plan) -> list[dict[str, int]]:
        """Return the widths to be proven: the widest, then some in which every two groups widen differently."""
        groups = list(plan.groups.values())
        free = [group for group in groups if len(group.ratios) > 1 and group.role != "frozen"]
        steps = max((len(group.ratios) for group in free), default=2)
        # Digits of the groups' numbers as ratios: any two groups differ in one digit, so few runs tell all apart.
        codes = math.ceil(math.log(len(free) + 1, steps))
        widths = [plan.widest]
        for number in range(codes + DRAWS):
            draw = random.Random(number)
            ratios = {
                group.name: group.ratios[(index // steps**number + number + 1) % len(group.ratios)]
                if number < codes
                else draw.choice(group.ratios)
                for index, group in enumerate(free)
            }
            widths.append(free_widths(groups, ratios))
        drawn = [each for n, each in enumerate(widths) if each not in widths[:n]]
        return [each for each in drawn if each != plan.base_widths]

    def run(self, plan: Plan, widths: Mapping[str, int]) -> Outcome:
        """Compare the network of these widths with the base network.

        Raises:
            ModelError: It changes its own parameters while it runs.
        """
        if not self._runs or self._steady is False:
            return Outcome(None, "", 0)
        supernet = self._supernet_of(plan)
        supernet.use(widths)
        try:
            differs = not same(self._forward(Neutral(self._reference), supernet), self._outputs)
        except Exception:  # of somebody else's code at a width that it cannot have
            differs = True
        self._refuse_changed_parameters()
        if not differs:
            return Outcome(None, "", 0)
        if not self._precise and self._became_precise():
            return self.run(plan, widths)
        # Asked only once a difference is seen: most networks never pay for this run.
        if self._steady is None:
            self._steady = self._runs_alike()
        return self._diagnosis(supernet) if self._steady else Outcome(None, "", 0)

    def _runs_alike(self) -> bool:
        """Whether the base network gives the same again; else nothing can be told from differences."""
        try:
            alike = same(self._forward(Neutral()), self._outputs)
        except Exception:  # of somebody else's code
            alike = False
        if not alike:
            _log.warning(
                "two runs of %s differ though they draw the same numbers: it cannot be proven that wider networks "
                "have the base channels in their places",
                type(self._copy).__name__,
            )
        return alike

    def _became_precise(self) -> bool:
        """Change to double precision, where rounding cannot be what differs; False if the network cannot."""
        self._precise, self._supernet = True, None  # it was built on the copy in single precision
        kept = self._copy, self._inputs, self._reference, self._outputs, self._parameters
        if any(self._prepare(trial) for trial in _trials(self._example, torch.float64)):
            return True
        self._copy, self._inputs, self._reference, self._outputs, self._parameters = kept
        return False

    def _prepare(self, trial: _Trial) -> bool:
        """Make a copy and run it; False if it does not run so."""
        reads = ReadWatcher(self._model)
        self._copy = _without_dropped_blocks(reads.copy.train())
        if trial.dtype is not None:
            self._copy.to(trial.dtype)
        if trial.drawn:
            _draw_weights(self._copy)
        self._inputs = tuple(_as_type(tensor, trial.dtype) for tensor in trial.inputs)
        self._reference = Neutral()
        try:
            with without_recomputation(), module_stack(self._copy) as reads.stack:
                self._outputs = self._forward(self._reference, reads=reads)
        except RecomputationError as error:
            raise refusal(self._copy, error) from error
        except Exception:  # the next trial may suit the network
            return False
        finally:
            reads.refuse()  # also after an error, which a captured tensor may be the cause of
        if not all(bool(leaf.isfinite().all()) for leaf in _tensors(self._outputs)):
            return False
        self._refuse_recomputation()
        self._parameters = {
            name: parameter.detach().clone() for name, parameter in self._copy.named_parameters()
        }
        return True

    def _forward(
        self, neutral: Neutral, supernet: _ZeroNet | None = None, reads: ReadWatcher | None = None
    ) -> Any:
        """Run a network of the supernet, or the base network; with gradients if its reads are watched."""
        # Buffers start alike in every run, or a counter alone would make two runs differ.
        with same_draws(), kept_state(self._copy, ()), torch.set_grad_enabled(reads is not None):
            if supernet is not None:
                supernet.neutral = neutral
                return supernet(*self._inputs)
            with neutral, reads or nullcontext():
                return self._copy(*self._inputs)

    def _refuse_recomputation(self) -> None:
        """Run backward, in which no module may be called."""
        total = [leaf.sum() for leaf in _tensors(self._outputs) if leaf.requires_grad]
        with modules_run(self._copy) as run:
            try:
                torch.autograd.backward(total)
            except Exception as error:  # it cannot be trained: for its training to say
                _log.debug("backward of the trial run fails: %s", first_line(error))
        self._copy.zero_grad(set_to_none=True)
        if run:
            raise refusal(self._copy, reason=f"'{run[0]}' is called during backward")

    def _refuse_changed_parameters(self) -> None:
        for name, parameter in self._copy.named_parameters():
            if not torch.equal(parameter, self._parameters[name]):
                raise ModelError(
                    f"the network changes its parameter '{name}' while it runs, so wider networks would move it too.",
                    allowed="parameters that only an optimizer changes; buffers, which wide passes leave alone",
                    fix="make it a buffer with register_buffer",
                )

    def _supernet_of(self, plan: Plan) -> _ZeroNet:
        if self._supernet is None or self._supernet[0] is not plan:
            self._supernet = plan, _ZeroNet(self._copy, plan, self._config, blank=True)
        return self._supernet[1]

    def _diagnosis(self, supernet: _ZeroNet) -> Outcome:
        """Run again and compare what each call gives: where does it go wrong first?"""
        if self._watched is None:
            self._watched = Neutral(watch=True)
            self._forward(self._watched)
        neutral = Neutral(self._watched, watch=True)
        with module_stack(self._copy) as stack:
            try:
                self._forward(neutral, supernet)
            except MovedError as error:
                return Outcome(str(error), stack[-1] if stack else "", neutral.calls, moves=True)
            except Exception as error:
                message = f"{type(error).__name__}: {first_line(error)}"
                return Outcome(message, stack[-1] if stack else "", neutral.calls)
        return Outcome("the outputs differ from the base network's", "", neutral.calls, moves=True)


def _trials(example: tuple[Tensor, ...], dtype: torch.dtype) -> Iterator[_Trial]:
    """Yield small noise first, which is cheap; at last the very example, for networks that take nothing else."""
    full = of_two_or_more(example)
    noise = tuple(_noise(tensor, number) for number, tensor in enumerate(full))
    # Only a batch dimension that all inputs have in common can be cut.
    lengths = {len(tensor) for tensor in full if tensor.dim()}
    few = tuple(tensor[:2] if tensor.dim() else tensor for tensor in noise) if len(lengths) == 1 else noise
    yield _Trial(tuple(_small(tensor) for tensor in few), dtype)
    yield _Trial(noise, dtype)
    yield _Trial(full, dtype)
    if dtype == torch.float32:
        yield _Trial(full, None)
        yield _Trial(full, None, drawn=False)


def _noise(tensor: Tensor, number: int) -> Tensor:
    """Draw noise of the same shape: an example may be all zeros, where nothing would differ."""
    if not tensor.is_floating_point() or tensor.dim() < 2:
        return tensor
    drawn = torch.randn(tensor.shape, generator=generator(0, "proof", number))
    return drawn.to(tensor)


def _small(tensor: Tensor) -> Tensor:
    if tensor.dim() != 4 or not tensor.is_floating_point() or min(tensor.shape[2:]) <= SIDE:
        return tensor
    return smaller(tensor, SIDE / min(tensor.shape[2:]))


def _as_type(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.detach().to(dtype) if dtype is not None and tensor.is_floating_point() else tensor.detach()


def _without_dropped_blocks(network: nn.Module) -> nn.Module:
    """Switch off DropBlock, whose scale counts the channels, and hooks of ours that drop: they move no channel."""
    remove_training_hooks(network)
    for module in network.modules():
        if type(module).__name__.startswith("DropBlock"):
            module.eval()
    return network


@torch.no_grad()
def _draw_weights(network: nn.Module) -> None:
    """Draw weights that hide nothing: many networks start with zeros, and a plan must not depend on training."""
    for name, parameter in network.named_parameters():
        if not parameter.is_floating_point():
            continue
        values = torch.rand(parameter.shape, generator=generator(0, "proof", name), dtype=torch.float64)
        inputs = parameter[0].numel() if parameter.dim() > 1 else 1
        if parameter.numel() == max(parameter.shape, default=1) or inputs == 1:
            values += 0.5  # one per channel: a factor or shift
        else:
            values = (values - 0.5) * (12.0 / inputs) ** 0.5  # variance 1 / inputs keeps activations near 1
        parameter.copy_(values)


def _tensors(outputs: Any) -> list[Tensor]:
    leaves = tree_leaves(outputs)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]
