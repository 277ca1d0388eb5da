"""Shells complete commands, options, settings and values."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.commands import COMMANDS
from netaug.commands.completion import SHELLS, command_line

_BASH = """
source "$1"
complete -p netaug > /dev/null || exit 1
COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
_shtab_netaug netaug "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
_FISH = """
source "$argv[1]"
complete -C "$argv[2..]"
"""
_ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "script=${(q)1}; source ${(q)1}.inside"
while zpty -r shell line; do [[ $line == ready* ]] && break; done
zpty -w -n shell "${*[2,-1]}"$'\t'
while zpty -r shell line; do
  [[ $line == *END* ]] && break
  [[ $line == *MATCH* ]] && print -r -- ${${line#*MATCH }%%$'\r'*}
done
"""
# `compadd` is how zsh's completion hands over what matches
_ZSH_INSIDE = r"""
PROMPT=
mkdir -p $script.d && cp $script $script.d/_netaug
fpath=($script.d $fpath)
autoload -Uz compinit && compinit -u -D
finish() { echo END; exit }
comppostfuncs=(finish)
compadd() {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  for hit in $hits; do echo "MATCH $hit"; done
}
bindkey '^I' complete-word
echo ready
"""
_PROGRAMS = {
    "bash": ["bash", "-c", _BASH, "bash"],
    "fish": ["fish", "-c", _FISH],
    "zsh": ["zsh", "-f", "-c", _ZSH, "zsh"],
}


@pytest.fixture(scope="module", params=SHELLS)
def script(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param}")
    path = tmp_path_factory.mktemp("completion") / request.param
    with pytest.MonkeyPatch.context() as patch, path.open("w", encoding="utf-8") as file:
        patch.setattr("sys.stdout", file)
        assert main(["completion", request.param]) == 0
    path.with_suffix(".inside").write_text(_ZSH_INSIDE)
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], {"train"}),
        (["train", "demo/dig"], {"demo/digits"}),
        (["train", "demo/digits", "--train.ep"], {"--train.epochs"}),
        (["train", "demo/digits", "--ep"], {"--epochs"}),
        (["train", "demo/digits", "--netaug.enabled", ""], {"true", "false"}),
        (["train", "--distill.loss", "d"], {"dkd", "dist"}),
        (["train", "--model.name", "mcu"], {"mcunet"}),
        (["train", "--model", "own"], {"own.py"}),
        (
            ["train", "--model", "demo/b"],
            set(),
        ),  # a network, where a positional of this name is also a recipe
        (["inspect", "mcu"], {"mcunet"}),
        (["inspect", "demo/b"], {"demo/bccd"}),
        (["compare", "epochs"], {"epochs-curve", "epochs-curve-small"}),
        (["inspect", "mcunet", "--board", "stm32f746"], {"stm32f746g-disco"}),
        (["data", ""], {"check", "anchors", "pack"}),
        (["export", "run", "--sr"], {"--sram"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_shell_completes(words: list[str], expected: set[str], script: Path) -> None:
    (script.parent / "own.py").touch()
    program = [*_PROGRAMS[script.name], str(script)]
    line = ["netaug", *words]
    done = subprocess.run(
        [*program, *(line if script.name == "bash" else [" ".join(line)])],
        check=True,
        capture_output=True,
        text=True,
        cwd=script.parent,
        timeout=200,
    )
    assert {line.partition("\t")[0].strip() for line in done.stdout.splitlines()} - {""} == expected


def test_each_command_is_completed() -> None:
    (commands,) = (action for action in command_line()._actions if isinstance(action.choices, dict))
    assert isinstance(commands.choices, dict)
    assert commands.choices.keys() == COMMANDS.keys()


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "netaug" in capsys.readouterr().out


def test_another_shell_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 2
    assert "fish" in capsys.readouterr().err
