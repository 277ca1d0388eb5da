"""Which tensors of a network depend on the number of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from netaug.core.seeding import seeded
from netaug.models import create_model
from netaug.models.factory import without_pretrained
from netaug.weights.files import WeightsFile
from netaug.weights.layouts import LAYOUTS
from netaug.weights.prefixes import views


@dataclass(frozen=True)
class ClassAxis:
    """Holds the dimension of a tensor whose size follows the number of classes: ``beside + each * classes``.

    Args:
        dim: Which dimension.
        each: How much a class adds: 1 in a classifier; in a detector one for each anchor.
        beside: What is there without classes.
    """

    dim: int
    each: int = 1
    beside: int = 0

    def classes(self, size: int) -> int | None:
        """Return the number of classes that gives a size; None if none does."""
        count, rest = divmod(size - self.beside, self.each)
        return count if rest == 0 and count > 0 else None


def head_tensors(
    name: str, *, num_classes: int, in_chans: int, options: Mapping[str, object]
) -> dict[str, ClassAxis]:
    """Return the classifier's tensors, found by building the network once with a class more.

    Args:
        name: As for :func:`netaug.create_model`.
        num_classes: Number of logits.
        in_chans: Image channels.
        options: Keyword arguments of the factory; no weights are downloaded.

    Returns:
        Name in ``state_dict`` to the dimension whose size follows the number of classes, in the network's order.
    """
    options = without_pretrained(options)
    shapes = []
    # Names of classifiers differ between families; what changes with the number of classes is theirs.
    for count in (num_classes, num_classes + 1):
        with seeded(0, "head"):
            model = create_model(name, num_classes=count, in_chans=in_chans, **options)
        shapes.append({key: tuple(tensor.shape) for key, tensor in model.state_dict().items()})
    ours, more = shapes
    return {
        key: _axis(shape, more[key], num_classes)
        for key, shape in ours.items()
        if key in more and len(shape) == len(more[key]) and shape != more[key]
    }


def _axis(shape: tuple[int, ...], more: tuple[int, ...], num_classes: int) -> ClassAxis:
    dim = next(dim for dim, size in enumerate(shape) if size != more[dim])
    each = more[dim] - shape[dim]
    return ClassAxis(dim, each, shape[dim] - each * num_classes)


def count_classes(model: nn.Module, head: Mapping[str, ClassAxis], file: WeightsFile) -> int | None:
    """Return the number of classes that the classifier in a file has; None if the file has no such tensors.

    Args:
        model: A network of the file's kind, with any number of classes.
        head: From :func:`head_tensors` for that network.
        file: The weights.
    """
    for layout in LAYOUTS:
        names = layout.names(model) or {}
        for view in views(file.tensors, names.values()):
            for name, axis in head.items():
                tensor = view.tensors.get(names.get(name, ""))
                if tensor is not None and tensor.ndim > axis.dim:
                    return axis.classes(int(tensor.shape[axis.dim]))
    return None
