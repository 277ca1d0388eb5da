"""What a file may name as a network: nothing that makes Python import, or timm load or download, what the file chose.

Weights files, run folders, recipes and plans come from anywhere. The networks written here and timm's are known code;
a factory ``package.module:function`` is code of the user's choice, so only the user's own command line may name it:
with ``--model.name``, or ``--trust`` beside it for teachers and the arms of a plan. ``load_weights(path, trusted)`` and
``load_config(..., trusted=)`` are the two doors through which a file's network comes.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Collection, Mapping

from netaug.core.errors import ModelError, UntrustedNetworkError

DETECTORS = frozenset({"yolov3"})
"""Networks whose name is followed by a colon and the name of another one. `netaug.models` refuses to register others,
so that names can be checked before torch is imported."""
LOADING_OPTIONS = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "feature_cfg",
        "feature_cls",
        "features_only",
        "model_cfg",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_custom_load",
        "pretrained_filter_fn",
        "pretrained_model_args",
        "pretrained_strict",
    }
)
"""Options of timm that load a file, download, or return something else than a classifier."""
_PLACE = re.compile(r"[/\\:]")  # in no option that names an activation, a norm or a pooling of timm
_FACTORY = re.compile(r"(\w+:)*([A-Za-z_][\w.]*|[\w./-]+\.py):[A-Za-z_]\w*")
_NEVER_OWN = sys.stdlib_module_names | {"torch", "torchvision", "timm", "huggingface_hub", "transformers"}
"""Packages in which no user's factory lives; a message that shows how to call into them would be a trap."""
_MOST = 65_536  # of channels, layers, pixels and whatever else the options of known networks count
_SHOWN = 200  # characters of a file's options in a message


def backbone_of(name: str, /) -> str | None:
    """Return the name of the network that a detector is built on; None for what is not the name of a detector."""
    detector, _, backbone = name.partition(":")
    return backbone if detector in DETECTORS else None


def is_foreign(name: str) -> bool:
    """Whether building the network of this name imports a factory: it is neither one written here nor timm's."""
    while (backbone := backbone_of(name)) is not None:
        name = backbone
    return ":" in name and not name.startswith("timm:")


def confirmation(name: str) -> str:
    """Return what follows a command on a network of this name, so that it is imported again; nothing for known ones."""
    return f" --model.name {shlex.quote(name)}" if is_foreign(name) else ""


def check_network(
    name: str,
    options: Mapping[str, object],
    *,
    where: str,
    trusted: Collection[str] = (),
    option: str = "--model.name",
) -> None:
    """Refuse a network that a file describes if building it would run, load or download what the file chose.

    Args:
        name: As for :func:`netaug.create_model`.
        options: Keyword arguments of its factory that come from the file.
        where: The file, for messages.
        trusted: Factories that the user has named on this command line.
        option: How the user names this one.

    Raises:
        UntrustedNetworkError: The name is a factory that is not among ``trusted``.
        ModelError: An option would make timm load a file or download.
    """
    if is_foreign(name):
        if name not in trusted:
            raise _untrusted(name, options, where, option)
        return
    if "timm:" not in name:
        return
    for key, value in options.items():
        if (key in LOADING_OPTIONS and value not in (None, False)) or _names_a_place(value):
            raise ModelError(
                f"{where} has an option that makes timm load a file or download.",
                got=f"{key}={value!r} for {name!r}"[:_SHOWN],
                allowed="in a file: options of the network's layers alone",
                fix=f"if you want it, give it on the command line: --model.options.{key} VALUE",
            )


def _untrusted(name: str, options: Mapping[str, object], where: str, option: str) -> UntrustedNetworkError:
    module = name.rpartition(":")[0].rpartition(":")[2]
    confirm = f"{option} {shlex.quote(name)}"
    is_users = _FACTORY.fullmatch(name) and module.partition(".")[0] not in _NEVER_OWN
    error = UntrustedNetworkError(
        f"{where} names a factory of foreign code as its network; it is not imported.",
        got=f"{name!r} with {_shown(options)}",
        allowed="in a file: a name of `netaug models`, or timm:NAME; a factory of your own only where you name it "
        "yourself on this command line, with --model.name (or --trust)",
        fix=f"only if that code is your own: {confirm}"
        if is_users
        else "do not use it: this is not a factory of networks",
    )
    error.confirm = confirm if is_users else ""
    return error


def check_options(name: object, options: object) -> bool:
    """Whether what a file says of a factory's options can be that: names to plain values, and no absurd numbers."""
    if not isinstance(options, Mapping) or not isinstance(name, str):
        return False
    plain = all(isinstance(key, str) and key not in ("num_classes", "in_chans") for key in options)
    return plain and (is_foreign(name) or all(map(_is_sane, options.values())))


def _is_sane(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_sane, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_sane, value))
    return not isinstance(value, int | float) or abs(value) <= _MOST


def _names_a_place(value: object) -> bool:
    """Whether a value, or something inside it, is the path or address of a file."""
    if isinstance(value, Mapping):
        return any(_names_a_place(part) for part in (*value, *value.values()))
    if isinstance(value, list | tuple):
        return any(map(_names_a_place, value))
    return isinstance(value, str) and _PLACE.search(value) is not None


def _shown(options: Mapping[str, object]) -> str:
    text = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no options"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
