"""`netaug data check`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaug.commands.arguments import new_parser, parse
from netaug.commands.data_settings import DATASET_HELP, SETTINGS, check_jobs, data_config, named_dataset
from netaug.config.loading import default_config
from netaug.config.settings import add_settings
from netaug.core.errors import ConfigError, DataError
from netaug.core.escaping import say
from netaug.core.io import write_atomic

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from netaug.config import DataConfig
    from netaug.data import Published
    from netaug.data.registry import Source
    from netaug.datacheck.report import Report
    from netaug.datacheck.speed import Speed

_ABOUT = """\
Examines every image of a dataset before time is spent on training. It
  - counts images by split and class, beside the published counts where the dataset has them;
  - reads and decodes every file: corrupt, truncated, oversized (known from the header, before memory is taken) and
    those that are not images; and, for your information, CMYK, more than 8 bits, grayscale and EXIF-rotated ones;
  - finds images that are equal pixel by pixel: in both splits, or under two labels. Similar ones are not found;
  - times the train pipeline on one core and, with --model, training steps of that network with and without NetAug
    on this machine, and says which of the two limits and how many --data.workers are needed.
Of a dataset with boxes (voc, coco, yolo) it counts and measures the objects, names every box and annotation that is
wrong, and finds images of another size than annotated; nothing is timed.

Exit codes: 0 the dataset is sound, 1 problems were found, 2 a mistake in the command or a dataset that cannot be
read at all, 130 stopped by Ctrl-C (what was found until then is shown, and written to --json)."""

_EXAMPLE = """
netaug data check --data DIR --model mcunet
netaug data check cifar10 --data DIR
netaug data check --data PACKED --json found.json --no-speed
netaug data check voc --data VOCdevkit --data.image_size 256"""

_SETTINGS = (
    *SETTINGS,
    *(f"data.{key}" for key in ("image_size", "augment", "batch_size", "cache")),
    *(f"train.{key}" for key in ("device", "threads", "channels_last")),
)

EXIT_PROBLEMS = 1

_KEPT = 10_000  # of each kind of problem are written to --json word for word


def run(words: list[str]) -> None:
    """Check a dataset and report."""
    arguments, given = parse(_parser(), words, _SETTINGS)
    jobs = check_jobs(arguments.jobs)
    _check_json(arguments.json)

    arguments.dataset, given = named_dataset(arguments.dataset, given)

    from netaug.data.registry import find_dataset

    config = data_config(arguments.dataset, given)
    if find_dataset(config.name).task == "detect":
        report = _check_boxes(config, arguments, jobs)
    else:
        report = _check_labels(config, arguments, given, jobs)
    _conclude(report, arguments.json)


def _check_labels(config: DataConfig, arguments: Any, given: list[str], jobs: int) -> Report:
    """Examine images with one label each, and time them."""
    from netaug.data.registry import load_source
    from netaug.data.single_class import single_class
    from netaug.datacheck.counts import complaints, count
    from netaug.datacheck.report import Report
    from netaug.datacheck.scan import scan

    if arguments.model is not None:
        from netaug.models import default_image_size

        default_image_size(arguments.model)  # raises for a wrong name before the work, not after it
    source = load_source(config)
    facts = _facts(config)
    rows = count(source, facts)
    splits = [("train", source.train), *([(source.val_split, source.val)] if source.val is not None else [])]
    alone = single_class(source.train.images, source.train.labels_N, source.class_names)
    findings = scan(splits, jobs)
    timed = findings.complete and alone is None and not arguments.no_speed
    speed, reason = _speed(source, arguments, given) if timed else (None, "")
    problems = [*complaints(rows, facts), *([f"{alone.where} {alone.got}; {alone.fix}"] if alone else [])]
    return Report(config.name, config.root, rows, problems, findings, speed, reason)


def _speed(source: Source, arguments: Any, given: list[str]) -> tuple[Speed | None, str]:
    """Time the train pipeline and, with --model, training steps; or return why that is not possible."""
    from netaug.datacheck.speed import TimedNetwork, try_measure

    say("timing the pipeline" + " and the network" * bool(arguments.model), file=sys.stderr, flush=True)
    config = default_config([f"--data.name={arguments.dataset}", *given])
    augment_given = any(word.startswith("--data.augment=") for word in given)
    augment = config.data.augment if augment_given else None
    model = replace(config.model, name=arguments.model or "")
    network = TimedNetwork(model, config.netaug, config.train) if arguments.model else None
    return try_measure(config.data, source, network, check_jobs(None), augment=augment)


def _parser() -> ArgumentParser:
    usage = "[DATASET] --data DIR [--model NAME] [--json FILE] [--no-speed] [--jobs N]"
    parser = new_parser("data check", usage, _ABOUT, _EXAMPLE)
    parser.add_argument("dataset", type=str, nargs="?", default=None, help=DATASET_HELP)
    parser.add_argument("--model", type=str | None, default=None, help="A network as for --model.name.")
    parser.add_argument(
        "--json", type=str | None, default=None, help="File to write everything to, every file by name."
    )
    parser.add_argument("--no-speed", action="store_true", help="Do not time anything.")
    parser.add_argument("--jobs", type=int | None, default=None, help="Threads; null is one a processor.")
    add_settings(parser, _SETTINGS)
    return parser


def _check_boxes(config: DataConfig, arguments: Any, jobs: int) -> Report:
    """Examine images with boxes."""
    from netaug.data.detection.build import read_source
    from netaug.data.detection.problems import Problems
    from netaug.datacheck import boxes
    from netaug.datacheck.report import Report
    from netaug.datacheck.scan import scan

    if arguments.model is not None:
        raise ConfigError(
            "--model times networks on images with one label each.",
            got=f"--model {arguments.model}, the dataset '{config.name}'",
            fix="leave --model out",
        )
    problems = Problems(skip=True, keep=_KEPT)
    source = read_source(config, problems)
    splits = boxes.splits_of(source)
    findings = scan(boxes.as_images(splits), jobs)
    if findings.complete:
        boxes.check_sizes(splits, findings, problems)
    rows = boxes.object_counts(source)
    facts = [boxes.box_facts(name, split, config.image_size) for name, split in splits]
    return Report(
        config.name,
        config.root,
        rows,
        [*boxes.absent(rows), *boxes.uncounted(splits), *boxes.box_complaints(problems, shown=3)],
        findings,
        remarks=[*boxes.fact_lines(facts, config.image_size), *boxes.class_lines(rows)],
        more=boxes.as_json(facts, problems),
    )


def _conclude(report: Report, path: str | None) -> None:
    say("\n".join(report.lines()), flush=True)
    if path is not None:
        write_atomic(Path(path), json.dumps(report.as_json(), indent=1) + "\n")
    if not report.findings.complete:
        raise KeyboardInterrupt
    if report.problems:
        sys.exit(EXIT_PROBLEMS)


def _check_json(path: str | None) -> None:
    """Raise DataError for a file that cannot be written before the work, not after it."""
    if path is None:
        return
    if not Path(path).absolute().parent.is_dir() or Path(path).is_dir():
        raise DataError(
            f"--json '{path}' cannot be written.",
            got="a folder" if Path(path).is_dir() else f"no folder '{Path(path).parent}'",
            allowed="a file in an existing folder",
        )


def _facts(config: DataConfig) -> Published | None:
    """Return what is published of the dataset, or of the one that it is a packed copy of."""
    from netaug.data import published
    from netaug.data.readers.packed.layout import read_meta

    if config.name == "packed" and config.root is not None:
        return published(read_meta(Path(config.root).expanduser()).origin)
    return published(config.name)
