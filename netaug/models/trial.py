"""Whether a network can run on the images at hand and says what it is asked, tried before any time is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netaug.core.errors import ModelError, first_line
from netaug.core.modules import copied
from netaug.core.seeding import seeded
from netaug.models import default_image_size


@dataclass(frozen=True)
class OutputForm:
    """What a network of a task has to return.

    Args:
        name: What it is, such as ``one logit per class``.
        allowed: Describes it for a number of classes.
        holds: Whether outputs have it, for N images and C classes.
    """

    name: str
    allowed: Callable[[int], str]
    holds: Callable[[object, int, int], bool]


ONE_LOGIT_PER_CLASS = OutputForm(
    "one logit per class",
    lambda num_classes: f"a tensor of shape [N, {num_classes}]",
    lambda outputs, count, num_classes: isinstance(outputs, Tensor) and outputs.shape == (count, num_classes),
)


def check_fits(
    model: nn.Module,
    name: str,
    example_NCHW: Tensor,
    num_classes: int,
    form: OutputForm = ONE_LOGIT_PER_CLASS,
) -> None:
    """Run the network once, to say what does not fit before any time is spent.

    Args:
        model: Stays as it is: a copy runs.
        name: As in `model.name`, for messages.
        example_NCHW: Images in the network's input format.
        num_classes: Number of classes C.
        form: What it has to return.

    Raises:
        ModelError: The forward fails, a layer strides over a map it is larger than, or the outputs have another form.
    """
    size = example_NCHW.shape[-1]
    shrunk: list[str] = []
    try:
        outputs = _trial(model, example_NCHW, training=False, shrunk=shrunk)
    except Exception as error:  # of somebody else's code
        raise ModelError(
            f"the network {name!r} cannot run on images of {size}x{size} pixels.",
            got=_kind_and_line(error),
            fix=f"raise data.image_size; this network is meant for {default_image_size(name)}",
        ) from error
    if shrunk:
        raise ModelError(
            f"images of {size}x{size} pixels are too small for {name!r}.",
            got=f"nothing is left to subsample at {len(shrunk)} strided layers, first {shrunk[0]}",
            allowed=f"larger images; this network is meant for {default_image_size(name)}",
            fix="raise data.image_size, or take a network with fewer strides, such as micronet",
        )
    _check_outputs(outputs, name, (len(example_NCHW), num_classes), form)


def check_trains(
    model: nn.Module,
    name: str,
    example_NCHW: Tensor,
    num_classes: int,
    form: OutputForm = ONE_LOGIT_PER_CLASS,
) -> None:
    """Run the network once as in training, on a copy; some networks or batch sizes work in evaluation only.

    Raises:
        ModelError: The forward fails, or the outputs have another form.
    """
    try:
        outputs = _trial(model, example_NCHW, training=True, shrunk=[])
    except Exception as error:  # of somebody else's code
        raise ModelError(
            f"the network {name!r} cannot be trained on this batch.",
            got=f"{_kind_and_line(error)} on {len(example_NCHW)} images of {example_NCHW.shape[-1]} pixels",
            fix="raise data.batch_size or data.image_size" if len(example_NCHW) == 1 else None,
        ) from error
    _check_outputs(outputs, name, (len(example_NCHW), num_classes), form, when=" in training")


def _trial(model: nn.Module, example_NCHW: Tensor, *, training: bool, shrunk: list[str]) -> object:
    """Run a copy and return its outputs, so that no statistics and no generator change."""
    trial = copied(model).train(training)
    with torch.no_grad(), seeded(0, "trial"), _strides_watched(trial, shrunk):
        return trial(example_NCHW)


def _check_outputs(
    outputs: object, name: str, shape: tuple[int, int], form: OutputForm, when: str = ""
) -> None:
    if form.holds(outputs, *shape):
        return
    raise ModelError(
        f"the network {name!r} does not return {form.name}{when}.",
        got=tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__,
        allowed=form.allowed(shape[1]),
    )


def _kind_and_line(error: Exception) -> str:
    line = first_line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


@contextmanager
def _strides_watched(model: nn.Module, shrunk: list[str]) -> Iterator[None]:
    """Collect the convs that stride over a map of one pixel: padding lets them run, to no purpose."""

    def watch(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(module, nn.Conv2d)
            if max(module.stride) > 1 and max(inputs[0].shape[-2:]) == 1:
                shrunk.append(f"'{name}' (stride {max(module.stride)} over 1x1)")

        return hook

    handles = [
        module.register_forward_pre_hook(watch(name))  # type: ignore[arg-type]
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
