"""Shells complete commands, options, settings and values."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.commands import COMMANDS
from netaug.commands.completion import SHELLS, command_line

_TRY = """
source "$1"
complete -p netaug > /dev/null || exit 1
COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
_shtab_netaug netaug "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "netaug.bash"
    with pytest.MonkeyPatch.context() as patch, path.open("w", encoding="utf-8") as file:
        patch.setattr("sys.stdout", file)
        assert main(["completion", "bash"]) == 0
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], {"train"}),
        (["train", "demo/dig"], {"demo/digits"}),
        (["train", "demo/digits", "--train.ep"], {"--train.epochs"}),
        (["train", "demo/digits", "--ep"], {"--epochs"}),
        (["train", "demo/digits", "--netaug.enabled", ""], {"true", "false"}),
        (["train", "--distill.loss", "d"], {"dkd", "dist"}),
        (["compare", "epochs"], {"epochs-curve", "epochs-curve-small"}),
        (["inspect", "mcunet", "--board", "stm32f746"], {"stm32f746g-disco"}),
        (["data", ""], {"check", "anchors", "pack"}),
        (["export", "run", "--sr"], {"--sram"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bash_completes(words: list[str], expected: set[str], script: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", _TRY, "bash", script, "netaug", *words], check=True, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == expected


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
