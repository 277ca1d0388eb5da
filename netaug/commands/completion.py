"""`netaug completion`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

import shtab

from netaug.commands import COMMANDS
from netaug.commands.arguments import described, new_parser, parse
from netaug.commands.data import SUBCOMMANDS
from netaug.compare.planning import plan_names
from netaug.config.datasets import DATASETS
from netaug.config.recipes import recipe_names
from netaug.config.settings import SHORT, settings
from netaug.export.boards import boards

_ABOUT = """\
Prints a script with which a shell completes commands, options, settings and their values. Write it where the shell
looks for such scripts, making the folder with `mkdir -p` if there is none, and start a new shell."""

_EXAMPLE = """
netaug completion bash > ~/.local/share/bash-completion/completions/netaug
netaug completion fish > ~/.config/fish/completions/netaug.fish
netaug completion zsh > ~/.zsh/_netaug      # with fpath=(~/.zsh $fpath) before compinit in ~/.zshrc"""

SHELLS = ("bash", "zsh", "fish")
_HELP_WIDTH = 80


def run(words: list[str]) -> None:
    """Print a script for completion in a shell."""
    parser = new_parser("completion", "|".join(SHELLS), _ABOUT, _EXAMPLE)
    parser.add_argument("shell", type=Literal["bash", "zsh", "fish"], help="The shell.")
    arguments, _ = parse(parser, words)
    sys.stdout.write(shtab.complete(command_line(), arguments.shell))  # `say` would escape what a shell needs


def command_line() -> argparse.ArgumentParser:
    """Return a parser with all commands, their options and settings, to be described and not to parse."""
    whole = argparse.ArgumentParser(prog="netaug")
    whole.add_argument("-V", "--version", action="store_true", help="show the version")
    commands = whole.add_subparsers()
    for command, line in COMMANDS.items():
        if command == "data":
            parts = commands.add_parser(command, help=line, description=line).add_subparsers()
            for name, about in SUBCOMMANDS.items():
                _describe(parts.add_parser(name, help=about, description=about), f"data_{name}")
        else:
            _describe(commands.add_parser(command, help=line, description=line), command)
    return whole


def _describe(target: argparse.ArgumentParser, command: str) -> None:
    """Add to ``target`` what the command takes: its own arguments, settings, and short names of settings."""
    module = importlib.import_module(f"netaug.commands.{command.replace('-', '_')}")
    parser, allowed = described(module.run)
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    taken = {option for action in shown for option in action.option_strings}
    for action in shown:
        if action.dest != "help":
            hint = getattr(action, "_typehint", None)
            text = settings()[action.dest].help if action.dest in settings() else str(action.help)
            _add(target, action.option_strings or [action.dest], hint, text, action)
    keys = [key for key in settings() if {key, key.partition(".")[0]} & set(allowed)]
    for key in keys:
        if f"--{key}" not in taken:
            _add(target, [f"--{key}"], settings()[key].hint, settings()[key].help)
    for short, key in SHORT.items():
        if key in keys and f"--{short}" not in taken:
            _add(target, [f"--{short}"], settings()[key].hint, settings()[key].help)


def _add(
    target: argparse.ArgumentParser,
    names: Sequence[str],
    hint: Any,
    text: str,
    action: argparse.Action | None = None,
) -> None:
    summary = text.partition(". ")[0].replace("%%", "%")
    summary = summary if len(summary) <= _HELP_WIDTH else f"{summary[: _HELP_WIDTH - 1]}…"
    options: dict[str, Any] = {"help": summary.replace("%", "%%")}
    if action is not None and action.nargs == 0:
        target.add_argument(*names, action="store_true", **options)
        return
    if action is not None and action.nargs is not None:
        options["nargs"] = action.nargs
    names_or_files, choices = _names_or_files(names[0]), _choices(names[0], hint)
    if choices and not names_or_files:
        options["choices"] = choices
    added = target.add_argument(*names, **options)
    if names_or_files:
        # a positional and an option of one name, such as `model`, complete other names: each has its own function
        kind = names[0].lstrip("-") if names[0].startswith("-") else f"positional_{names[0]}"
        added.complete = _completer(kind, names_or_files)  # type: ignore[attr-defined]
    elif not choices and not {int, float} & {hint, *get_args(hint)}:
        added.complete = shtab.FILE  # type: ignore[attr-defined]


def _names_or_files(name: str) -> list[str]:
    """Return the names that an argument takes, where it takes the path of a file as well."""
    if name in ("--model", "--model.name", "model"):
        from netaug.models import list_models  # torch is slow to load

        return list_models() if name != "model" else [*list_models(), *recipe_names()]
    known: dict[str, Callable[[], list[str]]] = {
        "recipe": recipe_names,
        "what": lambda: [*plan_names(), *recipe_names()],  # of compare and recipes
    }
    return known[name]() if name in known else []


def _completer(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Return functions of the shells that complete these names, and files."""
    # bash escapes what it completes, and marks folders, for functions whose names have "_files" in them
    function = f"_netaug_{name.replace('.', '_')}_or_files"
    listed = " ".join(names)
    bodies = {
        "bash": f'{function}() {{\n  compgen -W \'{listed}\' -- "$1"\n  compgen -f -- "$1"\n}}\n',
        "zsh": f"{function}() {{\n  _alternative 'names:name:({listed})' 'files:file:_files'\n}}\n",
        "fish": f"function {function}\n  printf '%s\\n' {listed}\n  __fish_complete_path (commandline -ct)\nend\n",
    }
    return {"bash": function, "zsh": function, "fish": f"({function})", "preamble": bodies}


def _choices(name: str, hint: Any) -> list[str]:
    """Return the values that an argument takes, as far as they are a short list."""
    known: dict[str, Callable[[], list[str]]] = {
        "--data.name": lambda: list(DATASETS),
        "dataset": lambda: list(DATASETS),
        "--board": lambda: list(boards()),
        "--to": _formats,
    }
    if name in known:
        return known[name]()
    if hint is bool:
        return ["true", "false"]
    literals = [part for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
    return [str(value) for part in literals for value in get_args(part)]


def _formats() -> list[str]:
    from netaug.export.formats import NAMES  # torch is slow to load

    return list(NAMES)
