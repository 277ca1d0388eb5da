"""Name networks of a supernet, open its run, and print their table: shared by `eval --widths` and `extract`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.commands.evaluation import check_confirmed
from netaug.config.loading import pairs
from netaug.core.display import score_name
from netaug.core.errors import ConfigError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser
    from torch import nn

    from netaug.elastic import Supernet
    from netaug.train.reopen import WidthBench

RECALIBRATION_IMAGES = 16_000
"""How many training images the statistics of a width come from (arXiv:2110.08890, code)."""

ALLOWED = "base, widest, draw:STEP, draws:N, macs:RATIOx (such as macs:2.0x), or GROUP=CHANNELS,..."
_FORMS = re.compile(r"base|widest|draws?:\d+|macs:\d*\.?\d+x?")
_EXPLICIT = re.compile(r"[^=,\s]+=\d+(,[^=,\s]+=\d+)*")


@dataclass(frozen=True)
class Choice:
    """A network of a supernet.

    Args:
        label: As the command line names it.
        widths: Channels per group.
    """

    label: str
    widths: dict[str, int]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        choice: The network.
        score: What results are reported in, in percent; None when not measured.
        loss: In nats; None when not measured.
        mean_per_class: In percent; None when not measured or not customary.
        file: Where it was written; empty if nowhere.
    """

    choice: Choice
    score: float | None = None
    loss: float | None = None
    mean_per_class: float | None = None
    file: str = ""


def split_words(words: Sequence[str]) -> list[str]:
    """Return the single networks that words name, e.g. ``base,widest draws:4`` is three.

    Raises:
        ConfigError: A word has none of the forms.
    """
    networks: list[str] = []
    for word in words:
        parts = [word] if "=" in word else [part for part in word.split(",") if part]
        for part in parts:
            if not (_FORMS.fullmatch(part) or _EXPLICIT.fullmatch(part)):
                raise ConfigError(
                    "--widths does not name a network.",
                    got=part,
                    allowed=ALLOWED,
                    fix="`netaug inspect` lists the groups with their channels" if "=" in part else None,
                )
        networks += parts
    if not networks:
        raise ConfigError("--widths names no network.", got=" ".join(words) or "nothing", allowed=ALLOWED)
    return networks


def choose(supernet: Supernet, parts: Sequence[str]) -> list[Choice]:
    """Return the widths of the networks that the parts name.

    Raises:
        ConfigError: A ratio of MACs is out of range.
        ShapeError: A group is unknown or frozen, or its channels are out of range.
    """
    return [choice for part in parts for choice in _choices(supernet, part)]


def _choices(supernet: Supernet, part: str) -> Iterator[Choice]:
    from netaug.elastic.family import widths_at_macs

    if "=" in part:
        pairs = (pair.split("=") for pair in part.split(","))
        with supernet.at({name: int(channels) for name, channels in pairs}):
            yield Choice(part, supernet.widths)
        return
    kind, _, value = part.partition(":")
    if kind == "draws":
        yield from (Choice(f"draw:{step}", supernet.sample(step)) for step in range(int(value)))
    elif kind == "draw":
        yield Choice(part, supernet.sample(int(value)))
    elif kind == "macs":
        yield Choice(part, widths_at_macs(supernet, float(value.removesuffix("x"))))
    elif kind == "widest":
        yield Choice(part, supernet.plan.widest)
    else:
        with supernet.at({}):
            yield Choice(part, supernet.widths)


def add_images(parser: ArgumentParser, purpose: str) -> None:
    """Add the option ``--images``; ``purpose`` says what the images are for."""
    parser.add_argument(
        "--images",
        type=int | None,
        default=None,
        help=f"Training images for {purpose}; null is {RECALIBRATION_IMAGES}, or all if there are fewer.",
    )


def check_images(images: int | None, given: bool) -> int:
    """Return the value of ``--images``.

    Raises:
        ConfigError: It is below 1, or was given where nothing is recalibrated.
    """
    if images is not None and not given:
        raise ConfigError(
            "--images has no effect without --widths.", got=images, fix="leave it out, or add --widths"
        )
    if images is not None and images < 1:
        raise ConfigError("--images is out of range.", got=images, allowed="a whole number, at least 1")
    return RECALIBRATION_IMAGES if images is None else images


def open_bench(run: Path, given: list[str], images: int, trusted: Collection[str] = ()) -> WidthBench:
    """Load the supernet of a run with its data, on its device.

    Raises:
        NetaugError: The run, its data or its device cannot be used.
    """
    import torch

    from netaug.api.evaluation import check_classes
    from netaug.core.device import choose_device, set_up
    from netaug.data import Normalizer, build_data
    from netaug.runs.folder import read_config
    from netaug.tasks.registry import choose_task, task_kind
    from netaug.train.reopen import WidthBench, open_supernet

    supernet, card = open_supernet(run, trusted, _given_side(run, given))
    check_confirmed(card, given)
    config = read_config(run, tuple(given))
    device, last = choose_device(config.train.device), config.train.channels_last
    set_up(device, config.train.threads)
    detect = replace(config.detect, anchor_sizes=tuple(side for pair in card.anchors for side in pair))
    pin_memory = device.type == "cuda"
    data = build_data(config.data, seed=config.train.seed, pin_memory=pin_memory, detect=detect)
    check_classes(card, data.info)
    task_kind(card.task).check_data(data)
    supernet.to(device=device, memory_format=torch.channels_last if last else torch.contiguous_format)  # type: ignore[call-overload]
    normalizer = Normalizer(card.mean, card.std, device, last)
    batches = min(len(data.train), -(-images // config.data.batch_size))
    task = choose_task(config, data)
    return WidthBench(supernet, card, data, normalizer, task, batches * config.data.batch_size)


def _given_side(run: Path, given: Sequence[str]) -> int | None:
    """Return the height = width of the input that the user gave; None is that of the training.

    Raises:
        ConfigError: A detector cannot have it.
    """
    from netaug.runs.folder import find_weights
    from netaug.tasks.registry import task_kind
    from netaug.weights.metadata import read_card

    sides = [int(value) for key, value in pairs(given) if key == "data.image_size" and value.isdigit()]
    card = read_card(find_weights(run)) if sides else None
    if card is not None:
        task_kind(card.task).check_side("data.image_size", sides[-1])
    return sides[-1] if sides else None


def measured(bench: WidthBench, choice: Choice, network: nn.Module) -> Row:
    """Measure a network, and return its row of the table."""
    metrics = bench.measure(network)
    score, mean = metrics[bench.task.score], metrics.get("mean_per_class")
    return Row(choice, score, metrics["loss"], mean_per_class=mean)


def describe(bench: WidthBench) -> str:
    """Return a line that says where the batch-norm statistics of the networks come from."""
    if not bench.recalibrates:
        return "the network has no batch norms: nothing to recalibrate"
    return f"statistics re-estimated on {bench.images:,} training images, augmented as in training"


def print_table(bench: WidthBench, rows: Sequence[Row]) -> None:
    """Print a line per network: size, and what was measured."""
    from rich.table import Table

    from netaug.core.consoles import SafeConsole

    supernet, base = bench.supernet, bench.supernet.macs({})
    table = Table(box=None, pad_edge=False)
    table.add_column("network")
    columns = ["channels", "parameters", "MACs", "x base"]
    columns += [f"{score_name(bench.task.score)} %", "loss"] if rows[0].score is not None else []
    columns += ["mean per class %"] if rows[0].mean_per_class is not None else []
    for column in columns:
        table.add_column(column, justify="right")
    if rows[0].file:
        table.add_column("file")
    for row in rows:
        macs, widths = supernet.macs(row.choice.widths), row.choice.widths
        cells = [row.choice.label, _growth(supernet, widths), f"{supernet.num_parameters(widths):,}"]
        cells += [f"{macs:,}", f"{macs / base:.2f}"]
        if row.score is not None and row.loss is not None:
            cells += [f"{row.score:.2f}", f"{row.loss:.4f}"]
        if row.mean_per_class is not None:
            cells.append(f"{row.mean_per_class:.2f}")
        table.add_row(*cells, *([row.file] if row.file else []))
    console = SafeConsole(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def _growth(supernet: Supernet, widths: dict[str, int]) -> str:
    groups = supernet.groups
    ratios = [widths[name] / groups[name].base for name in widths if groups[name].most > groups[name].base]
    least, most = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return f"x{least}" if least == most else f"x{least} to {most}"
