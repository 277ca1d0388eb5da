"""`netaug models`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netaug.commands.arguments import announce, new_parser, parse
from netaug.core.errors import ConfigError, ModelError
from netaug.core.escaping import say

_ABOUT = """\
Lists the networks that `--model.name` takes, with parameters and multiply-accumulates (MACs) in millions.

There are four kinds of names:
  mcunet, mobilenetv2-0.35   written here; a number at the end of a name is the width, any number > 0
  timm:NAME                  any network of timm; --timm finds names
  yolov3:NAME                a detector on a network of these two kinds, such as yolov3:mobilenetv2-0.35
  package.module:function    your own; modules in the working directory are found too, and FILE.py:function works

Your own network is a function like this, here in a file nets.py; further arguments are model.options:
  def build(*, num_classes: int, in_chans: int, channels: int = 32) -> torch.nn.Module: ...
  netaug inspect nets:build --image-size 64
  netaug train demo/digits --model.name nets:build --model.options '{channels: 8}'"""

_EXAMPLE = """
netaug models
netaug models --max-params 2M
netaug models --timm 'mobilenetv3*'
netaug models --timm mobilenet --max-params 5M"""

_OWN_FACTORY = "package.module:function"
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


def run(words: list[str]) -> None:
    """List the networks."""
    parser = new_parser("models", "[--timm [PATTERN]] [--max-params COUNT]", _ABOUT, _EXAMPLE)
    parser.add_argument(
        "--timm",
        type=str,
        nargs="?",
        const="*",
        default=None,
        help="List timm's networks instead: those whose name fits a pattern with * and ?, or contains the word.",
    )
    parser.add_argument(
        "--max-params",
        type=str | None,
        default=None,
        help="Only networks of at most so many parameters, such as 500k or 5M; counted for 1000 classes.",
    )
    arguments, _ = parse(parser, words)
    most = None if arguments.max_params is None else _count(arguments.max_params)
    announce("building the networks, to count what they cost")
    if arguments.timm is None:
        _list_own(most)
    else:
        _list_timm(arguments.timm, most)


def _count(text: str) -> float:
    """Return the number in a text such as ``5M``."""
    match = re.fullmatch(r"(\d*\.?\d+(?:e\d+)?)([kMG]?)", text)
    if match is None or not 0 < float(match[1]) < float("inf"):
        raise ConfigError(
            "--max-params is not a number of parameters.",
            got=repr(text),
            allowed="> 0, e.g. 500k, 5M, 2500000",
        )
    return float(match[1]) * _UNITS[match[2]]


def _list_own(most: float | None) -> None:
    from netaug.models import describe_detectors, describe_models, timm_version

    about, left = describe_models(), 0
    width = max(map(len, [*about, _OWN_FACTORY]))
    say(f"{'name':<{width}}  side  params     MACs   (millions, for 1000 classes, color images of this side)")
    for name, side, params, macs in _own_rows():
        if most is not None and params > most:
            left += 1
            continue
        # each takes a moment: flush, so that it shows at once
        say(
            f"{name:<{width}}  {side:>4}  {params / 1e6:>6.3f}  {macs / 1e6:>7.2f}   {about[name]}",
            flush=True,
        )
    if left:
        say(f"{left} more have more parameters")
    version, count = timm_version()
    say(
        f"\n{'timm:NAME':<{width}}  any of the {count} networks of timm {version}; `netaug models --timm` finds them"
    )
    for name, text in describe_detectors().items():
        say(f"{name:<{width}}  {text}, on a network of the kinds above")
    say(f"{_OWN_FACTORY:<{width}}  your own, made by a function of yours; see `netaug models --help`")


def _own_rows() -> Iterator[tuple[str, int, int, int]]:
    """Yield name, side of the image, parameters and MACs of the networks written here."""
    import torch

    from netaug.models import create_model, default_image_size, list_models
    from netaug.profile import profile

    for name in list_models():
        side = default_image_size(name)
        with torch.device("meta"):  # counts without weights
            cost = profile(create_model(name), torch.empty(1, 3, side, side))
        yield name, side, cost.params, cost.macs


def _list_timm(pattern: str, most: float | None) -> None:
    from netaug.models import list_timm_models

    names = [f"timm:{name}" for name in list_timm_models(pattern)]
    if most is None:
        say("\n".join(names))
        return
    width, found, failed = max(map(len, names)), 0, list[str]()
    say(f"{'name':<{width}}  params   (millions, for 1000 classes)")
    for name in names:
        try:
            params = _params(name)
        except ModelError:
            failed.append(name)
            continue
        if params <= most:
            found += 1
            say(f"{name:<{width}}  {params / 1e6:>6.3f}", flush=True)  # each takes a moment: show it at once
    say(f"{found} of {len(names)} networks have at most {most:,.0f} parameters")
    if failed:
        say(f"could not be counted: {', '.join(failed)}")


def _params(name: str) -> int:
    import torch

    from netaug.models import create_model

    with torch.device("meta"):  # counts without weights
        return sum(parameter.numel() for parameter in create_model(name).parameters())
