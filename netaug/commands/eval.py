"""`netaug eval`."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaug.commands.arguments import (
    add_trust,
    announce,
    check_recognizable,
    new_parser,
    parse,
    trusted_names,
)
from netaug.commands.classification_report import write_classification_report
from netaug.commands.detection_report import write_detection_report
from netaug.commands.eval_curve import evaluate_comparison
from netaug.commands.evaluation import ALLOWED_SETTINGS, SETTINGS, check_confirmed, shown_mean
from netaug.commands.widths import (
    ALLOWED,
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
from netaug.core.display import score_name
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.existing import check_network_or_comparison, is_comparison

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from netaug.api.evaluation import TrainedNetwork
    from netaug.weights.metadata import ModelCard

_EXAMPLE = """
netaug eval runs/demo-digits-netaug-seed0
netaug eval runs/demo-digits-netaug-seed0 --widths base widest draws:4 macs:2.0x
netaug eval runs/voc --resolution 256 320 416
netaug eval runs/voc --report page
netaug eval model.safetensors --data DIR"""

_FURTHER = {"ap": ("ap50", "ap75"), "top1": ("top5",), "mean_per_class": ("top5",)}
"""What is shown beside a score."""
_REPORTS = {"detect": write_detection_report, "classify": write_classification_report}
"""What writes the page about a network, by its task."""


def run(words: list[str]) -> None:
    """Print how good a trained network is."""
    arguments, given = parse(_parser(), words, ALLOWED_SETTINGS, exists={"run": check_network_or_comparison})
    if Path(arguments.run).is_file():
        check_recognizable(given)
    trusted = trusted_names(arguments, given)
    images = check_images(arguments.images, given=arguments.widths is not None)
    _check_report(arguments)
    announce(f"loading {arguments.run} and its evaluation images")
    source, sides, fresh = Path(arguments.run), arguments.resolution, _images_to_recalibrate(arguments)
    if arguments.widths is not None:
        if sides is not None:
            raise ConfigError("--widths and --resolution exclude each other.", fix="leave one of them out")
        _eval_widths(source, split_words(arguments.widths), given, images, trusted)
    elif is_comparison(source):
        if sides is None:
            raise ConfigError(
                f"'{source}' holds a comparison; its runs are measured at several resolutions.",
                fix="add --resolution SIDE ..., or give the folder of one run",
            )
        evaluate_comparison(source, sides, given, trusted)
    elif sides is not None:
        _eval_sides(_opened(source, given, trusted), sides, fresh)
    else:
        report = None if arguments.report is None else Path(arguments.report)
        _eval_one(_opened(source, given, trusted), source, given, report, fresh)


def _parser() -> ArgumentParser:
    parser = new_parser(
        "eval",
        "RUN|WEIGHTS|COMPARISON [--resolution SIDE ...] [--widths NETWORK ...] [--recalibrate N] [--report DIR]\n"
        "                   [--data.key VALUE ...]",
        "Measures top-1, or average precision of a detector, on the evaluation images: of the run's own data, or of\n"
        "the data given. With --resolution, on inputs of other sizes; with --widths, of networks of other widths,\n"
        "which a NetAug run has trained along. Of a comparison's folder --resolution measures all runs, and says how\n"
        "many MACs fewer an arm needs to be as good as the baseline.",
        _EXAMPLE,
    )
    parser.add_argument(
        "run",
        type=str,
        help="A run folder, a weights file (then give --data DIR), or the folder of a comparison.",
    )
    parser.add_argument(
        "--widths", type=str, nargs="+", default=None, help=f"{ALLOWED}. Only for a run folder."
    )
    parser.add_argument(
        "--resolution",
        type=int,
        nargs="+",
        default=None,
        help="Sides of the input in pixels, each measured; a detector's are multiples of 32.",
    )
    parser.add_argument(
        "--recalibrate",
        type=int,
        default=0,
        help="Training images on which the statistics of batch norms are estimated again for the measurement; 0 takes "
        "the network's own. At other resolutions they fit better.",
    )
    parser.add_argument(
        "--report",
        type=str,
        default=None,
        help="Folder for a page with what is confused, curves and pictures (detection.html, classification.html), and "
        "for the predictions: COCO's results (detections.json) of a detector, predictions.csv of a classifier.",
    )
    add_images(parser, "the batch norms of other widths")
    add_trust(parser, confirms=True)
    add_settings(parser, SETTINGS)
    return parser


def _images_to_recalibrate(arguments: Any) -> int:
    """Return the value of ``--recalibrate``.

    Raises:
        ConfigError: It is out of range, or networks are measured that have statistics of training images already.
    """
    images: int = arguments.recalibrate
    if images < 0:
        raise ConfigError("--recalibrate is out of range.", got=images, allowed="a whole number, at least 0")
    if images and (arguments.widths is not None or is_comparison(Path(arguments.run))):
        raise ConfigError(
            "--recalibrate is for one network.",
            got="--widths" if arguments.widths is not None else f"a comparison, '{arguments.run}'",
            fix="leave it out; with --widths, --images says on how many images other widths are recalibrated",
        )
    return images


def _check_report(arguments: Any) -> None:
    """Raise ConfigError for a page about several networks or resolutions."""
    others = {"--widths": arguments.widths, "--resolution": arguments.resolution}
    for name, value in others.items():
        if arguments.report is not None and value is not None:
            raise ConfigError(
                f"--report is a page about one measurement, and {name} asks for several.",
                got=f"--report and {name}",
                fix="leave one of them out; --data.image_size SIDE gives the page of another resolution",
            )


def _eval_widths(
    run: Path, parts: list[str], given: list[str], images: int, trusted: Collection[str]
) -> None:
    """Print a table of networks of a run's supernet."""
    bench = open_bench(run, given, images, trusted)
    info, rows = bench.data.info, []
    for choice in choose(bench.supernet, parts):
        own = choice.label == "base"  # the network of the run folder, as it is shipped
        network = bench.supernet.extract() if own else bench.network(choice.widths)
        rows.append(measured(bench, choice, network))
    say(f"{score_name(bench.task.score)} on {info.val_split} of {info.name}, n {info.val_size:,}")
    say(
        f"base with its own statistics; others: {describe(bench)}\n"
        if bench.recalibrates
        else describe(bench)
    )
    print_table(bench, rows)


def _opened(place: Path, given: list[str], trusted: Collection[str]) -> TrainedNetwork:
    """Load the network of a run folder or weights file for measuring."""
    from netaug.api.evaluation import evaluation_settings, open_network

    network = open_network(place, evaluation_settings(place, given), trusted)
    check_confirmed(network.card, given)
    return network


def _eval_one(
    network: TrainedNetwork, place: Path, given: list[str], report: Path | None, recalibrate: int
) -> None:
    """Print how good the network of a run folder or weights file is; write the page about it."""
    if report is not None:
        _prepare(report, network.card)
    found = network.measure(recalibrate=recalibrate, per_image=report is not None)
    info, score = found.info, found.score
    shown = {name: found.metrics[name] for name in _FURTHER.get(score, ()) if name in found.metrics}
    others = "".join(f"  {score_name(name)} {value:.2f} %" for name, value in shown.items())
    say(
        f"{score_name(score)} {found.metrics[score]:.2f} %{shown_mean(found.metrics.get('mean_per_class'))}{others}  "
        f"loss {found.metrics['loss']:.4f}  n {info.val_size:,}  split {info.val_split} of {info.name}"
    )
    if report is not None:
        command = shlex.join(["netaug", "eval", str(place), *given, "--report", str(report)])
        write = _REPORTS[network.card.task]
        say(f"written: {', '.join(map(str, write(found, place, command, report)))}")


def _prepare(folder: Path, card: ModelCard) -> None:
    """Make the folder of a page, before anything is measured.

    Raises:
        ConfigError: There is no page about networks of this task.
        RunFolderError: The folder cannot be made.
    """
    from netaug.core.io import cannot_write

    if card.task not in _REPORTS:
        raise ConfigError(
            f"there is no page about networks of the task {card.task!r}.",
            got=card.name,
            allowed=", ".join(_REPORTS),
            fix="leave --report out",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _eval_sides(network: TrainedNetwork, sides: list[int], recalibrate: int) -> None:
    """Print how good a network is on inputs of several sizes, and what each costs."""
    rows = [network.measure(side, recalibrate) for side in sides]
    info, score = rows[0].info, rows[0].score
    say(f"{score_name(score)} on {info.val_split} of {info.name}, n {info.val_size:,}")
    say(f"{'side':>5}  {'MACs':>13}  {score_name(score) + ' %':>8}  {'loss':>8}")
    for row in rows:
        say(f"{row.side:>5}  {row.macs:>13,}  {row.metrics[score]:>8.2f}  {row.metrics['loss']:>8.4f}")
