"""`netaug data pack`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from netaug.commands.arguments import new_parser, parse
from netaug.commands.data_settings import DATASET_HELP, SETTINGS, check_jobs, data_config, named_dataset
from netaug.config.settings import add_settings
from netaug.core.display import duration
from netaug.core.escaping import say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from netaug.data.readers.packed.layout import Meta

_ABOUT = """\
Writes a copy of a dataset into one folder, with all images in one file, scaled down as small networks need them.
Training then reads it with `--data.name packed --data.root FOLDER`: same classes, labels, order and
normalization as the original, so the batches are the same apart from the scaling.

  jpeg      images scaled to a shorter side of --size, encoded again; 10 to 20 kB each at 256 pixels
  pixels    the same without compression: nothing to decode, but some 200 kB each at 256 pixels
  original  the files byte for byte, in one file: the same batches to the bit

Datasets that are pixels already (CIFAR, Fashion-MNIST, digits) stay pixels and lose nothing. A random crop of a
packed image has fewer pixels to choose from: keep --size at 1.3 times data.image_size or more.
The folder appears when it is whole: after Ctrl-C or a crash there is none, and the same command starts again."""

_EXAMPLE = """
netaug data pack --data DIR --out PACKED
netaug data pack cifar10 --data DIR --out PACKED
netaug data pack --data DIR --out PACKED --size 224 --quality 95 --data.on_error skip
netaug data pack --data DIR --out PACKED --encoding original"""


def run(words: list[str]) -> None:
    """Write a packed copy."""
    arguments, given = parse(_parser(), words, SETTINGS)
    jobs = check_jobs(arguments.jobs)
    arguments.dataset, given = named_dataset(arguments.dataset, given)

    from netaug.data import customary_metric
    from netaug.data.decode.deep_images import warn_of_deep
    from netaug.data.readers.packed.payload import choose
    from netaug.data.readers.packed.writer import Origin, pack
    from netaug.data.registry import load_source
    from netaug.data.store import MemoryImages

    config = data_config(arguments.dataset, given)
    source = load_source(config)
    origin = Origin(config.name, source.metric or customary_metric(config.name), source)
    how = choose(origin.source.train.images, arguments.encoding, arguments.size, arguments.quality)
    splits = [split.images for _, split in origin.splits()]
    warn_of_deep([images for images in splits if not isinstance(images, MemoryImages)])
    start = time.perf_counter()
    try:
        meta = pack(
            origin, Path(arguments.out), how, skip_errors=config.on_error == "skip", jobs=jobs, say=_say
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; '{arguments.out}' is not written") from None
    _report(meta, arguments.out, time.perf_counter() - start)


def _parser() -> ArgumentParser:
    parser = new_parser(
        "data pack",
        "[DATASET] --data DIR --out FOLDER [--size N] [--encoding jpeg|pixels|original] [--quality Q]",
        _ABOUT,
        _EXAMPLE,
    )
    parser.add_argument("dataset", type=str, nargs="?", default=None, help=DATASET_HELP)
    parser.add_argument("--out", type=str, required=True, help="The folder to write; a new or an empty one.")
    parser.add_argument(
        "--encoding",
        type=Literal["jpeg", "pixels", "original"] | None,
        default=None,
        help="How images are stored, see above; null is jpeg, or pixels where images are pixels already.",
    )
    parser.add_argument(
        "--size",
        type=int | None,
        default=None,
        help="Pixels that a shorter side is scaled down to; smaller images stay. null is 256, or no scaling "
        "for original and for datasets held decoded in memory.",
    )
    parser.add_argument(
        "--quality", type=int | None, default=None, help="JPEG quality, 1 to 100; null is 90. Only for jpeg."
    )
    parser.add_argument("--jobs", type=int | None, default=None, help="Threads; null is one a processor.")
    add_settings(parser, SETTINGS)
    return parser


def _say(text: str) -> None:
    say(text, file=sys.stderr, flush=True)


def _report(meta: Meta, out: str, seconds: float) -> None:
    from netaug.data.readers.packed.writer import size_in_words

    count = meta.train + (meta.val or 0)
    val = "" if meta.val is None else f" and {meta.val:,} {meta.val_split}"
    say(
        f"packed {meta.train:,} training{val} images of {len(meta.class_names)} classes into {out}: "
        f"{size_in_words(meta.payload_bytes)}, {count / seconds:,.0f} images per second, {duration(seconds)}"
    )
    if meta.left_out:
        say(f"left out {len(meta.left_out)} that do not decode, first: '{meta.left_out[0]}'")
    say(f"train on it with: netaug train --data {out}; a recipe takes --data.name packed --data.root {out}")
