"""`netaug recipes`."""

from __future__ import annotations

from netaug.commands.arguments import new_parser, parse
from netaug.config.recipes import recipe_names, recipe_summaries, recipe_text
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.suggest import nearest

_EXAMPLE = """
netaug recipes
netaug recipes transfer/pets
netaug recipes show demo/digits > mine.yaml
netaug recipes show transfer/pets/mcunet --resolved"""
_BASELINE = "-baseline"


def run(words: list[str]) -> None:
    """List the recipes, or print one."""
    parser = new_parser(
        "recipes",
        "[BEGINNING | show NAME [--resolved]]",
        "Lists the packaged recipes with one line each, or prints one. NAME[-baseline] is a pair: with NetAug, and\n"
        "without it under the paper's settings for that.",
        _EXAMPLE,
    )
    parser.add_argument(
        "what", type=str, nargs="*", default=[], help="Nothing, how names begin, or: show NAME."
    )
    parser.add_argument(
        "--resolved",
        action="store_true",
        help="Print every setting, those of the recipe's base and defaults too.",
    )
    arguments, _ = parse(parser, words)
    what = list(arguments.what)
    if len(what) == 2 and what[0] == "show":
        say(_resolved(what[1]) if arguments.resolved else recipe_text(what[1]), end="")
        return
    beginning = what[0] if what else ""
    lines = {name: line for name, line in _pairs().items() if name.startswith(beginning)}
    if arguments.resolved or len(what) > 1 or not lines:
        close = nearest(beginning, recipe_names(), count=1)
        raise ConfigError(
            "`netaug recipes` does not know these words.",
            got=" ".join(words),
            allowed="nothing, the beginning of a name, or: show NAME [--resolved]",
            fix=f"netaug recipes show {close[0] if close else 'demo/digits'}",
        )
    width = max(map(len, lines))
    say("\n".join(f"{name:<{width}}  {line}" for name, line in lines.items()))


def _pairs() -> dict[str, str]:
    """Return the summaries by name; a baseline is named with its recipe."""
    lines = recipe_summaries()
    return {
        f"{name}[{_BASELINE}]" if name + _BASELINE in lines else name: line
        for name, line in lines.items()
        if not (name.endswith(_BASELINE) and name.removesuffix(_BASELINE) in lines)
    }


def _resolved(name: str) -> str:
    from netaug.config.loading import load_config, to_yaml

    return f"# {name}, all settings\n{to_yaml(load_config(name, builds=False))}"
