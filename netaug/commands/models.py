"""`netaug models`."""

from __future__ import annotations

from netaug.commands.arguments import new_parser, parse


def run(words: list[str]) -> None:
    """List the networks."""
    parser = new_parser("models", "", "Lists the networks that `--model.name` takes.", "netaug models")
    parse(parser, words)

    from netaug.models import describe_models

    lines = describe_models() | {
        "timm:NAME": "any convolutional network of timm, e.g. timm:mobilenetv3_small_050",
        "package.module:function": "your own factory, called with num_classes=, in_chans= and model.options",
    }
    width = max(map(len, lines))
    print("\n".join(f"{name:<{width}}  {line}" for name, line in lines.items()))
