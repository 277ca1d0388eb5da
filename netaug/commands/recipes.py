"""`netaug recipes`."""

from __future__ import annotations

from netaug.commands.arguments import new_parser, parse
from netaug.errors import ConfigError
from netaug.recipes import recipe_summaries, recipe_text

_EXAMPLE = """
netaug recipes
netaug recipes show demo/digits > mine.yaml"""


def run(words: list[str]) -> None:
    """List the recipes, or print one."""
    parser = new_parser(
        "recipes", "[show NAME]", "Lists the packaged recipes with one line each, or prints one.", _EXAMPLE
    )
    parser.add_argument("what", type=str, nargs="*", default=[], help="Nothing, or: show NAME.")
    arguments, _ = parse(parser, words)
    what = list(arguments.what)
    if not what:
        lines = recipe_summaries()
        width = max(map(len, lines))
        print("\n".join(f"{name:<{width}}  {line}" for name, line in lines.items()))
    elif what[0] == "show" and len(what) == 2:
        print(recipe_text(what[1]), end="")
    else:
        raise ConfigError(
            "`netaug recipes` does not know these words.",
            got=" ".join(what),
            allowed="nothing, or: show NAME",
            fix="netaug recipes show demo/digits",
        )
