"""Estimate batch-norm statistics for a network of any width, so that it can be evaluated.

A supernet keeps running statistics for its base network only; its wider networks normalize with those of the
batch. Here the network is taken out and gets statistics of its own from training images; the supernet is not
touched. ``torch.optim.swa_utils.update_bn`` agrees on large equal batches; but it weighs a small last batch
like a full one, leaves out how much means differ between batches, lets dropout change what is measured, and
reads tuples only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from netaug.core.errors import ConfigError, DataError, ModelError, first_line
from netaug.elastic.supernet import Supernet

Inputs = Callable[[Any], Any]
"""From what a loader yields to the network's input: a tensor, or a tuple of them for several inputs."""
Gather = Callable[[Tensor], Tensor]
"""From a tensor of this process to those of all, ``[processes, *shape]``."""

_KEYS = ("images", "image", "pixel_values", "inputs", "input", "x")
_log = logging.getLogger("netaug")


def recalibrate(
    supernet: Supernet,
    loader: Iterable[Any],
    widths: Mapping[str, int] | None = None,
    *,
    images: int | None = None,
    inputs: Inputs | None = None,
) -> nn.Module:
    """Extract the network of some widths with batch-norm statistics of its own, ready to be evaluated.

    Args:
        supernet: Stays as it is, its base network's statistics included.
        loader: Training batches; see :func:`batch_inputs` for what they can be.
        widths: Channels per group as for ``supernet.extract``; None re-estimates the base network's statistics.
        images: Stop after the batch in which this many have been seen; None takes all.
        inputs: Makes the network's input of a batch, e.g. ``lambda batch: normalizer(batch.images_NCHW)``.

    Returns:
        A plain network in evaluation mode, on the supernet's device. Each running mean and variance (unbiased)
        is that of everything the layer has seen. Without layers that keep statistics it is the extracted network,
        and a warning is logged.

    Raises:
        ConfigError: ``images`` is below 1.
        DataError: The loader yields nothing, or batches that cannot be read.
        ModelError: The network fails on a batch, or its statistics are not finite.
        ShapeError: A group is unknown or frozen, or its channels are out of range.

    Source:
        Yu & Huang 2019, arXiv:1903.05134, section 3.3 (statistics of each width after training).
    """
    _check_count(images)
    network = supernet.extract(
        widths
    ).eval()  # a copy: the supernet's statistics stay those of its base passes
    if not has_statistics(network):
        _log.warning("nothing to recalibrate: %s keeps no running statistics", type(network).__name__)
        return network
    statistics = Statistics(network)
    statistics.measure(limited(loader, images, inputs or batch_inputs))
    statistics.write()
    return network


def _check_count(images: int | None) -> None:
    if images is not None and images < 1:
        raise ConfigError(
            "the number of images to recalibrate on is out of range.", got=images, allowed="at least 1"
        )


def has_statistics(network: nn.Module) -> bool:
    """Whether any layer keeps running statistics, so that :func:`recalibrate` has something to do."""
    return any(True for _ in _norms(network))


def batch_inputs(batch: Any) -> Any:
    """Return the images of a batch: itself, the first of a tuple or list, or what a mapping calls images.

    Raises:
        DataError: The images are not found, or are not floating-point, so not what a network is fed with.
    """
    images = batch
    if isinstance(batch, Mapping):
        images = next((batch[key] for key in _KEYS if key in batch), None)
    elif isinstance(batch, tuple | list) and batch:
        images = batch[0]
    if isinstance(images, Tensor) and images.is_floating_point():
        return images
    got = f"a {type(batch).__name__}"
    if isinstance(batch, Mapping):
        got += f" with the keys {', '.join(map(str, batch))}"
    if isinstance(images, Tensor):
        got += f" with images of {images.dtype}, not normalized"
    raise DataError(
        "a batch does not show the network's input.",
        got=got,
        allowed=f"floating-point images, (images, ...), or a mapping with one of {', '.join(_KEYS)}",
        fix="say how to make it, e.g. inputs=lambda batch: normalizer(batch.images_NCHW)",
    )


def _norms(network: nn.Module) -> Iterator[tuple[str, _NormBase]]:
    for name, module in network.named_modules():
        if isinstance(module, _NormBase) and module.running_mean is not None:
            yield name, module


def limited(loader: Iterable[Any], images: int | None, inputs: Inputs) -> Iterator[tuple[Tensor, ...]]:
    """Yield the inputs of whole batches until enough images have been seen."""
    seen = 0
    for batch in loader:
        arguments = inputs(batch)
        arguments = arguments if isinstance(arguments, tuple) else (arguments,)
        yield arguments
        seen += len(arguments[0])
        if images is not None and seen >= images:
            break
    if not seen:
        raise DataError(
            "there is nothing to recalibrate on.",
            got="a loader without batches",
            fix="give training images; a loader that is used up must be created again",
        )


class _Moments:
    """Holds mean and unbiased variance per channel of all that a layer has seen, in double precision."""

    def __init__(self, norm: _NormBase, mean: Tensor, var: Tensor) -> None:
        self.norm, self._running_mean, self._running_var = norm, mean, var
        self._count = 0
        self._mean = torch.zeros_like(mean, dtype=torch.float64)
        self._squares = torch.zeros_like(var, dtype=torch.float64)  # summed squared deviations

    def add(self, _: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Add what a forward is called with (Chan et al. 1979: two samples' moments into one)."""
        x = (arguments[0] if arguments else named["input"]).detach()
        var, mean = torch.var_mean(x, [dim for dim in range(x.dim()) if dim != 1], correction=0)
        added = x.numel() // x.shape[1]
        self._add(added, mean.double(), var.double() * added)

    def merge(self, gather: Gather) -> None:
        """Take in what other processes have seen, in the order of ranks; all of them have to call it."""
        own = torch.cat([self._mean.new_tensor([self._count]), self._mean, self._squares])
        parts = gather(own)
        self._count, self._mean, self._squares = 0, torch.zeros_like(self._mean), torch.zeros_like(self._mean)
        for part in parts:
            mean, squares = part[1:].chunk(2)
            self._add(round(float(part[0])), mean, squares)

    def _add(self, count: int, mean: Tensor, squares: Tensor) -> None:
        total = self._count + count
        if count:
            difference = mean - self._mean
            self._squares = self._squares + (squares + difference**2 * (self._count * count / total))
            self._mean = self._mean + difference * (count / total)
            self._count = total

    def write(self, name: str) -> None:
        """Make them the layer's statistics; a layer that no forward reaches keeps what it has."""
        if not self._count:
            return
        if not (self._mean.isfinite().all() and self._squares.isfinite().all()):
            raise ModelError(
                f"the statistics of '{name}' are not finite.",
                fix="check the images, and that the training went well",
            )
        self._running_mean.copy_(self._mean)
        self._running_var.copy_(self._squares / max(1, self._count - 1))  # unbiased, as torch's is


class Statistics:
    """Estimates the statistics of a network's norms: first :meth:`measure`, then :meth:`write`.

    Args:
        network: In evaluation mode; changed in place.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._moments = {
            name: _Moments(norm, norm.get_buffer("running_mean"), norm.get_buffer("running_var"))
            for name, norm in _norms(network)
            if isinstance(norm, _BatchNorm)
        }
        self._others = [norm for _, norm in _norms(network) if not isinstance(norm, _BatchNorm)]

    @torch.no_grad()
    def measure(self, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Run the network on these inputs."""
        device = next(norm.get_buffer("running_mean").device for _, norm in _norms(self._network))
        seen = 0
        with _measuring(self._network, self._moments.values()):
            for batch in batches:
                seen += len(batch[0])
                for norm in self._others:  # instance norms keep the mean over images: so it counts each alike
                    norm.momentum = len(batch[0]) / seen
                _run(self._network, tuple(tensor.to(device, non_blocking=True) for tensor in batch))

    @torch.no_grad()
    def write(self, gather: Gather | None = None) -> None:
        """Replace the network's statistics by the measured ones.

        Args:
            gather: Brings those of several processes together, which are then the same on all; all have to call it.
        """
        for name, moment in self._moments.items():
            if gather is not None:
                moment.merge(gather)
            moment.write(name)
        if gather is not None:
            for norm in self._others:
                for buffer in (norm.get_buffer("running_mean"), norm.get_buffer("running_var")):
                    buffer.copy_(gather(buffer).mean(0))


@contextmanager
def _measuring(network: nn.Module, moments: Iterable[_Moments]) -> Iterator[None]:
    """Let the norms use the statistics of each batch; all else, such as dropout, stays in evaluation mode."""
    with ExitStack() as stack:
        for moment in moments:
            handle = moment.norm.register_forward_pre_hook(moment.add, with_kwargs=True)
            stack.callback(handle.remove)
        for _, norm in _norms(network):
            stack.callback(setattr, norm, "momentum", norm.momentum)
            norm.reset_running_stats()
            norm.train()
        yield
    network.eval()


def _run(network: nn.Module, batch: tuple[Tensor, ...]) -> None:
    try:
        network(*batch)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            f"{type(network).__name__} fails on a batch to recalibrate on.",
            got=f"inputs of {', '.join(str(list(tensor.shape)) for tensor in batch)}: {first_line(error)}",
            fix="check channels and size; batches need two images or more (drop_last=True)",
        ) from error
