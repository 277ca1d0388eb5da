"""`netaug card`."""

from __future__ import annotations

from pathlib import Path

from netaug.commands.arguments import announce, new_parser, parse
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.existing import check_network

_ABOUT = """\
Writes a model card for a run, or for a weights file: README.md with front matter as the Hugging Face Hub reads it,
beside model.safetensors. Both files are what a repository on the Hub needs for `netaug.load("hf:user/name")`. Paths of
your machine are not in it."""

_EXAMPLE = """
netaug card runs/demo-digits-netaug-seed0 --hub user/name --license mit
hf upload user/name runs/demo-digits-netaug-seed0 . --include README.md model.safetensors"""


def run(words: list[str]) -> None:
    """Write a model card."""
    parser = new_parser(
        "card", "RUN|WEIGHTS [--hub USER/NAME] [--license NAME] [--out FILE]", _ABOUT, _EXAMPLE
    )
    parser.add_argument("source", type=str, metavar="RUN|WEIGHTS", help="A run folder or a weights file.")
    parser.add_argument(
        "--hub",
        type=str | None,
        default=None,
        help="USER/NAME of the repository, for the lines that load it.",
    )
    parser.add_argument(
        "--license",
        type=str | None,
        default=None,
        help="An identifier of the Hub, such as mit or apache-2.0; it depends on your images, too.",
    )
    parser.add_argument(
        "--out", type=str | None, default=None, help="The file; null is README.md beside the weights."
    )
    arguments, _ = parse(parser, words, exists={"source": check_network})
    announce(f"loading the network of {arguments.source}")

    from netaug.core.io import write_atomic
    from netaug.report.model_card import MARK, model_card
    from netaug.runs.folder import find_weights

    source = Path(arguments.source)
    out = Path(arguments.out) if arguments.out else find_weights(source).parent / "README.md"
    text = model_card(source, hub_name=arguments.hub or "", license=arguments.license or "")
    if out.is_dir() or (out.exists() and MARK not in out.read_text(encoding="utf-8", errors="replace")):
        raise ConfigError(
            f"'{out}' is not a model card of netaug, and is not overwritten.",
            got="a folder" if out.is_dir() else "a file of somebody's own",
            fix="name another file with --out",
        )
    write_atomic(out, text)
    say(out)
