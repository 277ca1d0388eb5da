"""`netaug extract`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaug.commands.arguments import add_trust, announce, new_parser, parse, trusted_names
from netaug.commands.deployment import add_budget, given_budget
from netaug.commands.evaluation import ALLOWED_SETTINGS, SETTINGS
from netaug.commands.widths import (
    ALLOWED,
    Choice,
    Row,
    add_images,
    check_images,
    choose,
    describe,
    measured,
    open_bench,
    print_table,
    split_words,
)
from netaug.config.settings import add_settings
from netaug.core.errors import ConfigError, RunFolderError
from netaug.core.escaping import say
from netaug.core.existing import check_network
from netaug.core.io import cannot_write
from netaug.core.whole_folder import NewFolder, is_taken, lock_of, new_folder

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from netaug.export.boards import Budget
    from netaug.train.reopen import WidthBench

_EXAMPLE = """
netaug extract runs/demo-digits-netaug-seed0 --widths widest --out widest.safetensors
netaug extract runs/demo-digits-netaug-seed0 --widths macs:2.0x --out double.safetensors --measure
netaug extract runs/demo-digits-netaug-seed0 --family 4 --out family --measure
netaug extract runs/demo-digits-netaug-seed0 --family 6 --round 8 --board nucleo-f446re --out boards"""
_SUFFIX, _WORK = ".safetensors", "extracting"


def run(words: list[str]) -> None:
    """Write networks of other widths out of one training."""
    arguments, given = parse(_parser(), words, ALLOWED_SETTINGS, exists={"run": check_network})
    parts, out, budget = _wanted(arguments), Path(arguments.out), given_budget(arguments)
    images = check_images(arguments.images, given=True)
    if _written_before(out, arguments.family):
        say(f"{arguments.family} networks in '{out}', written by a call that was killed when it had finished")
        return
    _refuse_existing(out, folder=arguments.family is not None)
    announce(f"loading the networks of {arguments.run}")

    from netaug.elastic.family import family

    bench = open_bench(Path(arguments.run), given, images, trusted_names(arguments, given))
    _make_parents(out)
    if arguments.family is None:
        rows = _write(bench, choose(bench.supernet, parts), [out], measure=arguments.measure)
    else:
        chosen = family(bench.supernet, arguments.family, arguments.round)
        rows = _write_family(bench, chosen, out, measure=arguments.measure)
    say(describe(bench))
    print_table(bench, rows)
    if budget is not None:
        say(_what_fits(bench, rows, budget))


def _what_fits(bench: WidthBench, rows: Sequence[Row], budget: Budget) -> str:
    """Return a sentence: which of the networks, narrowest first, is the largest that fits the memory of a board."""
    from netaug.export.budget import verdict
    from netaug.export.micro.need import need_at_side

    card = bench.card
    said = "no network of the family fits"
    for row in rows:
        network = bench.supernet.extract(row.choice.widths).cpu().eval()
        need = need_at_side(network, card.in_chans, card.image_size)
        if need.fits(budget):
            said = f"the largest network that fits is '{row.file}'; in int8, {verdict(need, budget)}"
        elif row is rows[0]:
            said += f"; the first one: {verdict(need, budget)}"
    return said


def _parser() -> ArgumentParser:
    parser = new_parser(
        "extract",
        "RUN --widths NETWORK|--family K --out FILE|DIR [--round 8] [--board NAME] [--measure] [--images N]",
        "Writes wider networks of a NetAug run as weights files, for `netaug eval` and `netaug predict`.\n"
        "Their batch-norm statistics are estimated on training images first.",
        _EXAMPLE,
    )
    parser.add_argument("run", type=str, help="A run folder of a training with NetAug.")
    parser.add_argument("--widths", type=str | None, default=None, help=f"{ALLOWED}; draws:N is for eval.")
    parser.add_argument(
        "--family",
        type=int | None,
        default=None,
        help="Number of networks to write, evenly spaced in MACs from base to widest.",
    )
    parser.add_argument(
        "--round",
        type=int,
        default=1,
        help="With --family: channels are multiples of it, where they are not the base network's.",
    )
    add_budget(parser)
    parser.add_argument("--out", type=str, required=True, help="The weights file; a folder with --family.")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="Measure top-1, or average precision, on the evaluation images too.",
    )
    add_images(parser, "the statistics")
    add_trust(parser, confirms=True)
    add_settings(parser, SETTINGS)
    return parser


def _wanted(arguments: Any) -> list[str]:
    """Return the network that --widths names; none with --family."""
    if (arguments.widths is None) == (arguments.family is None):
        raise ConfigError(
            "netaug extract needs to know which network.",
            got="neither --widths nor --family" if arguments.widths is None else "both --widths and --family",
            allowed="one of --widths NETWORK, --family K",
        )
    if arguments.round < 1 or (arguments.round > 1 and arguments.family is None):
        raise ConfigError(
            "--round cannot be used.",
            got=f"--round {arguments.round}" + ("" if arguments.family else " without --family"),
            allowed="with --family, a whole number, at least 1; devices like 4, 8 or 16",
        )
    if arguments.family is not None:
        return []
    parts = split_words([arguments.widths])
    if len(parts) > 1 or parts[0].startswith("draws:"):
        raise ConfigError(
            "--widths names several networks, and --out is one file.",
            got=arguments.widths,
            allowed="base, widest, draw:STEP, macs:RATIOx or GROUP=CHANNELS,...",
            fix="one call per network, or --family K",
        )
    if not arguments.out.endswith(_SUFFIX):
        raise ConfigError(
            "--out is not the name of a weights file.", got=arguments.out, allowed=f"FILE{_SUFFIX}"
        )
    return parts


def _names(count: int) -> list[str]:
    """Return the file names of a family."""
    return [f"{number}{_SUFFIX}" for number in range(1, count + 1)]


def _written_before(out: Path, count: int | None) -> bool:
    """Return whether a call for this folder was killed between its last file and its end."""
    if count is None or not lock_of(out, _WORK).exists() or not out.is_dir():
        return False
    with _filled(out) as place:
        return place.after_kill and {entry.name for entry in out.iterdir()} == set(_names(count))


@contextmanager
def _filled(out: Path) -> Iterator[NewFolder]:
    try:
        with new_folder(out.absolute(), _WORK) as place:
            yield place
    except BlockingIOError:
        raise RunFolderError(
            f"another process is extracting into '{out}'.",
            fix="wait for it, or choose another folder with --out",
        ) from None
    except OSError as error:
        raise cannot_write(out, error) from error


def _make_parents(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error


def _refuse_existing(out: Path, *, folder: bool) -> None:
    if not is_taken(out) and (folder or not out.is_dir()):
        return
    raise RunFolderError(
        f"'{out}' exists already; nothing is overwritten.",
        allowed="a new or an empty folder" if folder else "a new file",
        fix="choose another with --out, or remove it yourself",
    )


def _write_family(
    bench: WidthBench, members: Sequence[dict[str, int]], out: Path, *, measure: bool
) -> list[Row]:
    """Write networks; all of them or none."""
    choices = [Choice(str(number), widths) for number, widths in enumerate(members, 1)]
    names = _names(len(members))
    with _filled(out) as place:
        rows = _write(bench, choices, [place.filling / name for name in names], measure=measure)
        place.publish()
    return [replace(row, file=str(out / name)) for row, name in zip(rows, names, strict=True)]


def _write(
    bench: WidthBench, choices: Sequence[Choice], files: Sequence[Path], *, measure: bool
) -> list[Row]:
    from netaug.weights.metadata import save_weights

    rows = []
    for choice, file in zip(choices, files, strict=True):
        network = bench.network(choice.widths)
        row = measured(bench, choice, network) if measure else Row(choice)
        save_weights(file, network, bench.card_of(choice.widths, row.score))
        rows.append(replace(row, file=str(file)))
    return rows
