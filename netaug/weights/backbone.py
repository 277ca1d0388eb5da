"""A detector starts from the weights of a classifier: its backbone gets them, neck and heads stay as drawn.

The classifier is built and matched strictly, in whatever layout its file has; then its tensors move to the
backbone by name, and what is left out is counted.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping

from torch import nn

from netaug.core.errors import CheckpointError
from netaug.core.seeding import seeded
from netaug.models import backbone_of, create_model
from netaug.models.registry import factory_of
from netaug.weights.files import WeightsFile
from netaug.weights.head import head_tensors
from netaug.weights.layouts import Layout
from netaug.weights.loading import Loaded, put
from netaug.weights.matching import Match, match
from netaug.weights.prefixes import views

_PREFIX = "backbone."
_CLASSES = 1000  # any number: the classifier is left out


def is_of_a_detector(file: WeightsFile) -> bool:
    """Whether the tensors in a file are those of a whole detector."""
    parents: dict[str, set[str]] = {"backbone": set(), "heads": set()}
    for name in file.tensors:
        parts = name.split(".")
        for part in parents.keys() & set(parts):
            parents[part].add(".".join(parts[: parts.index(part)]))
    return not parents["backbone"].isdisjoint(parents["heads"])


def put_backbone(
    detector: nn.Module, file: WeightsFile, name: str, *, in_chans: int, options: Mapping[str, object]
) -> Loaded:
    """Give a detector's backbone the weights of a classifier.

    Args:
        detector: Changed in place; unchanged if anything is wrong.
        file: Weights of the network that the detector is built on, in any layout, for any classes.
        name: The detector, such as ``yolov3:mobilenetv2-0.35``.
        in_chans: Image channels.
        options: Keyword arguments of the detector's factory.

    Raises:
        CheckpointError: The file is of another network, or its values cannot be weights.
    """
    backbone = backbone_of(name)
    assert backbone is not None
    options = _of_backbone(name, options)
    with seeded(0, "backbone"):
        classifier = create_model(backbone, num_classes=_CLASSES, in_chans=in_chans, **options)
    places = _places(detector, classifier, name)
    beyond = [name_beyond for name_beyond in classifier.state_dict() if name_beyond not in places.values()]
    head = head_tensors(backbone, num_classes=_CLASSES, in_chans=in_chans, options=options)
    matched = match(classifier, file, kept=beyond, head=head, name=backbone)
    tensors = {
        inner: matched.tensors[name_beyond]
        for inner, name_beyond in places.items()
        if name_beyond in matched.tensors
    }
    drawn = sorted({name_beyond.split(".")[0] for name_beyond in detector.state_dict()} - {_PREFIX[:-1]})
    about = f"into the backbone, {matched.layout.about}"
    layout = Layout(about, matched.layout.names)
    unused = _summary(_names_in(file, classifier, beyond, matched.layout))
    unused = (*matched.unused, *unused)
    return put(
        detector, file, Match(layout, tensors, matched.widened, matched.part, matched.others), drawn, unused
    )


def _of_backbone(name: str, options: Mapping[str, object]) -> dict[str, object]:
    """Return the options that a detector hands on, none of which downloads weights."""
    accepted = {
        key
        for key, parameter in inspect.signature(factory_of(name)).parameters.items()
        if parameter.kind != parameter.VAR_KEYWORD
    }
    return {key: value for key, value in options.items() if key not in accepted | {"pretrained"}}


def _places(detector: nn.Module, classifier: nn.Module, name: str) -> dict[str, str]:
    """Names in the detector's backbone to those in the classifier; timm flattens a level of some, with ``_`` for ``.``.

    Raises:
        CheckpointError: A tensor of the backbone is not in the classifier.
    """
    theirs = {full_name.replace(".", "_"): full_name for full_name in classifier.state_dict()}
    shapes = {full_name: tensor.shape for full_name, tensor in classifier.state_dict().items()}
    places = {}
    for inner, tensor in detector.state_dict().items():
        if not inner.startswith(_PREFIX):
            continue
        full_name = theirs.get(inner.removeprefix(_PREFIX).replace(".", "_"))
        if full_name is None or shapes[full_name] != tensor.shape:
            raise CheckpointError(
                f"the backbone of {name!r} cannot start from a classifier: it has other tensors than one.",
                got=f"{inner} {tuple(tensor.shape)}",
                fix="leave model.weights out; --model.options.pretrained true loads timm's",
            )
        places[inner] = full_name
    return places


def _names_in(file: WeightsFile, classifier: nn.Module, beyond: Iterable[str], layout: Layout) -> list[str]:
    """Return the classifier's own names of what the file has beyond the backbone."""
    names = layout.names(classifier) or {}
    given = {tensor_name for view in views(file.tensors, names.values()) for tensor_name in view.tensors}
    return [name for name in beyond if names[name] in given]


def _summary(names: Iterable[str]) -> tuple[str, ...]:
    """Write how many tensors each part has."""
    return tuple(
        f"{count} of {part}" for part, count in Counter(name.split(".")[0] for name in names).items()
    )
