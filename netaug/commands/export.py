"""`netaug export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.commands.arguments import add_trust, announce, new_parser, parse, trusted_names
from netaug.commands.deployment import add_budget
from netaug.commands.evaluation import ALLOWED_SETTINGS, SETTINGS
from netaug.config.settings import add_settings
from netaug.core.escaping import say
from netaug.core.existing import check_network

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_ABOUT = """\
Writes a trained classifier or detector in formats that devices and other programs read, checks every form against the
trained network, and prints what each costs: accuracy on the evaluation images, memory, flash. A failed check leaves no
files. int8 ranges come from training images without augmentation. With --board or --sram a network that does not fit
is refused before it is converted. Formats: tflite-int8 (tflite-micro, LiteRT), micro (C99 for microcontrollers), tflite
(LiteRT, float32), onnx and onnx-int8 (ONNX Runtime; pip install 'netaug[onnx]'), torch (torch.export), pte
(ExecuTorch). --to pte and --via litert use packages in environments of their own, which --fetch makes."""

_EXAMPLE = """
netaug export runs/demo-digits-netaug-seed0
netaug export runs/demo-digits-netaug-seed0 --to micro --out digits --check all --board nucleo-f446re
netaug export model.safetensors --to onnx onnx-int8 --data.name folder --data.root DIR"""


def run(words: list[str]) -> None:
    """Write a network for devices, and print the ladder."""
    arguments, given = parse(_parser(), words, ALLOWED_SETTINGS, exists={"run": check_network})
    announce(f"loading the network of {arguments.run}, and images for {' and '.join(arguments.to)}")

    from netaug.api.export import run_export
    from netaug.api.export_options import ExportOptions

    options = ExportOptions(
        tuple(arguments.to),
        arguments.resolution,
        arguments.calibrate,
        arguments.range,
        arguments.check,
        arguments.board,
        arguments.sram,
        arguments.flash,
        arguments.via,
        arguments.fetch,
    )
    trusted = trusted_names(arguments, given)
    command = shlex.join(["netaug", "export", *words])
    exported = run_export(Path(arguments.run), options, arguments.out, given, trusted, command)
    for line in exported.ladder.describe():
        say(line)
    say(f"written: {exported.folder}")


def _parser() -> ArgumentParser:
    options = "[--resolution SIDE] [--calibrate 512] [--range minmax] [--check 1000] [--board NAME]"
    usage = f"RUN|WEIGHTS [--to FORMAT ...] [--out DIR] {options} [--data.key VALUE ...]"
    parser = new_parser("export", usage, _ABOUT, _EXAMPLE)
    parser.add_argument(
        "run", type=str, help="A run folder, or a weights file (then give --data.name and --data.root)."
    )
    parser.add_argument(
        "--to", type=str, nargs="+", default=["tflite-int8", "micro"], help="Formats, a folder each."
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="A new folder; null is NAME-export in the working directory.",
    )
    parser.add_argument(
        "--resolution",
        type=int | None,
        default=None,
        help="Side of the input in pixels; null is the trained one.",
    )
    parser.add_argument(
        "--calibrate", type=int, default=512, help="Training images that the ranges of int8 are measured on."
    )
    parser.add_argument(
        "--range",
        type=str,
        default="minmax",
        help="minmax, or the percentage of values a range holds, such as 99.99.",
    )
    parser.add_argument(
        "--check",
        type=str,
        default="1000",
        help="Evaluation images that every form is measured on, from all over the split, or all.",
    )
    add_budget(parser)
    parser.add_argument(
        "--via",
        type=str | None,
        default=None,
        help="litert: .tflite files by Google's converter, for operators that ours refuses.",
    )
    parser.add_argument(
        "--fetch",
        action="store_true",
        help="Make the environment that --via litert or --to pte needs; without it, they say what would be fetched.",
    )
    add_trust(parser, confirms=True)
    add_settings(parser, SETTINGS)
    return parser
