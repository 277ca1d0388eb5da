"""`netaug boards`."""

from __future__ import annotations

from netaug.commands.arguments import new_parser, parse
from netaug.core.escaping import say

_ABOUT = """\
Lists the boards that `--board` takes: core, SRAM, the largest run of it without a gap, flash, and the pages that state
these figures. One array holds all activations, so the run without a gap is what counts. Nothing is deducted for your
own program; for a board that is not listed give `--sram 256KB --flash 1MB`."""

_EXAMPLE = """
netaug boards
netaug boards stm32f746g-disco
netaug inspect mcunet --board stm32f746g-disco"""


def run(words: list[str]) -> None:
    """List the boards, or show one."""
    parser = new_parser("boards", "[NAME]", _ABOUT, _EXAMPLE)
    parser.add_argument("name", type=str, nargs="?", default=None, help="Only this board.")
    arguments, _ = parse(parser, words)

    from netaug.export.boards import boards, describe_boards, find_board

    chosen = boards().values() if arguments.name is None else [find_board(arguments.name)]
    for line in describe_boards(chosen):
        say(line)
