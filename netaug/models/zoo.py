"""Models of timm by their names there; timm is imported on first use only."""

from __future__ import annotations

import fnmatch
import importlib.util
import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from netaug.core.errors import ModelError
from netaug.core.suggest import did_you_mean, nearest
from netaug.models.factory import call, describe

FALLBACK_IMAGE_SIZE = 224


def create_timm_model(name: str, *, num_classes: int, in_chans: int, options: dict[str, object]) -> nn.Module:
    """Create timm's model ``name``, with random weights unless ``options`` has ``pretrained: true``.

    Raises:
        ModelError: timm has no such model, refuses the options, or its weights cannot be downloaded.
    """
    timm = _timm_with(name)
    fixed = {"num_classes": num_classes, "in_chans": in_chans}
    factory = partial(timm.create_model, name)
    if not options.get("pretrained"):
        return call(factory, f"timm:{name}", fixed, options)
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.CRITICAL)  # it writes two lines for each attempt; the last error says it all
    try:
        return call(factory, f"timm:{name}", fixed, options)
    except ModelError as error:
        if not _is_of_the_network(error.__cause__):
            raise
        raise ModelError(
            f"timm's weights of {name!r} cannot be downloaded, and are not in the cache.",
            got=" ".join(str(error.__cause__).split()),
            fix="try again with a network connection; or fetch the file elsewhere, drop pretrained, and give "
            "--model.weights FILE",
        ) from error
    finally:
        hub.setLevel(level)


def _is_of_the_network(error: BaseException | None) -> bool:
    package = type(error).__module__.split(".")[0]
    return isinstance(error, OSError) or package in ("huggingface_hub", "httpx", "requests", "urllib3")


def timm_image_size(name: str) -> int:
    """Return height = width in pixels of the images that timm's model was made for; 224 where timm does not say.

    Raises:
        ModelError: timm has no such model.
    """
    timm = _timm_with(name)
    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ModelError(f"timm does not know {name!r}: {describe(error)}", got=f"timm:{name}") from error
    return FALLBACK_IMAGE_SIZE if settings is None else int(settings.input_size[-1])


def list_timm_models(pattern: str = "*") -> list[str]:
    """Names of timm's models, sorted; none of them needs weights.

    Args:
        pattern: With ``*`` or ``?``, what the whole name must fit; else a word the name contains.

    Raises:
        ModelError: No name fits.
    """
    import timm

    wanted = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    names = timm.list_models()
    matches = fnmatch.filter(names, wanted)
    if not matches:
        raise ModelError(
            "no model of timm fits the pattern.",
            got=repr(pattern),
            allowed="a part of a name, or a pattern such as 'mobilenet*'",
            fix=did_you_mean(map(repr, nearest(pattern.strip("*"), names, 3))),
        )
    return matches


def timm_version() -> tuple[str, int]:
    """Return the version of timm, and how many models it has."""
    import timm

    return timm.__version__, len(timm.list_models())


def is_timm_model(name: str) -> bool:
    """Return whether timm has a model of this name, without importing timm, which takes longer than torch."""
    found = importlib.util.find_spec("timm")
    if found is None or not name.isidentifier():
        return False
    start = re.compile(rf"^def {name}\(", re.MULTILINE)  # as its registered factories begin
    folders = [Path(place) / "models" for place in found.submodule_search_locations or []]
    return any(start.search(file.read_text("utf-8")) for folder in folders for file in folder.glob("*.py"))


_NAME = re.compile(r"[A-Za-z0-9_.+-]+")  # nothing that timm reads as a place, such as hf-hub:OWNER/NAME


def _timm_with(name: str) -> Any:
    import timm

    if not (_NAME.fullmatch(name) and timm.is_model(name)):
        raise ModelError(
            f"timm has no model named {name!r}.",
            got=f"timm:{name}",
            allowed=f"a name of timm.list_models(), {len(timm.list_models())} in timm {timm.__version__}",
            fix=did_you_mean(repr(f"timm:{near}") for near in nearest(name, timm.list_models(), 3)),
        )
    return timm
