"""The paper's training runs as recipes: `python -m netaug.recipes.paper` writes their files from these tables.

A test compares the files with what is rendered here, so a figure stands in one place. What the recipes of a family
share is in its `_base.yaml`, which is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent
_DATA_OF = {
    "imagenet": "ImageNet-1k: class folders in DIR/train and DIR/val, or the official flat val with its devkit",
    "imagenet21k": "ImageNet-21K-P winter21, class folders in DIR/imagenet21k_train and DIR/imagenet21k_val",
}
_PAPER = "arXiv:2110.08890"
_OURS = "Not in the paper's code: rate, decay and multipliers are ours."


@dataclass(frozen=True)
class Net:
    """A network of the paper; top-1 on ImageNet in percent, without and with NetAug."""

    title: str
    size: int
    cost: str
    width: str
    top1: tuple[str, str]
    read: str
    own: str = ""
    note: str = ""


NETS = {
    "mobilenetv2-tiny": Net(
        "MobileNetV2-Tiny",
        144,
        "0.75 M parameters, 23.5 M MACs",
        "[1, 1.8, 2.6]",
        ("51.7", "53.3"),
        "printed",
    ),
    "mobilenetv2-0.35": Net(
        "MobileNetV2 x 0.35",
        160,
        "1.68 M parameters, 30.9 M MACs",
        "[1, 1.8, 2.6]",
        ("56.3", "57.8"),
        "printed",
    ),
    "mobilenetv3-0.35": Net(
        "MobileNetV3-Large x 0.35",
        160,
        "2.11 M parameters, 19.5 M MACs",
        "[1, 2, 3]",
        ("58.1", "60.3"),
        "read off bars, +-0.05",
        own="  lr: 1.6\n  weight_decay: 3.0e-5\n",
    ),
    "proxylessnas-0.35": Net(
        "ProxylessNAS-Mobile x 0.35",
        160,
        "1.78 M parameters, 35.7 M MACs",
        "[1, 1.8, 2.6]",
        ("59.1", "60.8"),
        "printed",
    ),
    "mcunet": Net(
        "MCUNet", 176, "0.74 M parameters, 81.8 M MACs", "[1, 1.6, 2.2]", ("61.5", "62.7"), "printed"
    ),
    "resnet50": Net(
        "ResNet50",
        224,
        "25.6 M parameters, 4.1 G MACs",
        "[1, 1.5, 2]",
        ("76.8", "76.5"),
        "the difference printed, 76.8 read off a bar",
        own="  lr: 0.8  # Goyal et al. 2017, arXiv:1706.02677, for a batch of 2048\n  weight_decay: 1.0e-4\n",
        note=_OURS,
    ),
}
TINY = [name for name in NETS if name != "resnet50"]

# Classes; and per network of TINY the rate for one of four GPUs, as in the paper's code, and the classifier's dropout.
DATASETS: dict[str, tuple[str, int, dict[str, tuple[str, str]]]] = {
    "food101": (
        "Food-101",
        101,
        dict(
            zip(
                TINY,
                [("0.06", "0.1"), ("0.10", "0.2"), ("0.20", "0.2"), ("0.10", "0.2"), ("0.04", "0.1")],
                strict=True,
            )
        ),
    ),
    "flowers102": (
        "Oxford Flowers-102",
        102,
        dict(
            zip(
                TINY,
                [("0.08", "0"), ("0.08", "0.3"), ("0.05", "0.6"), ("0.06", "0.2"), ("0.05", "0.4")],
                strict=True,
            )
        ),
    ),
    "cars": (
        "Stanford Cars",
        196,
        dict(
            zip(
                TINY,
                [("0.14", "0.2"), ("0.18", "0.5"), ("0.10", "0.7"), ("0.20", "0.2"), ("0.25", "0.1")],
                strict=True,
            )
        ),
    ),
    "cub200": (
        "CUB-200-2011",
        200,
        dict(
            zip(
                TINY,
                [("0.04", "0.5"), ("0.02", "0.7"), ("0.02", "0.8"), ("0.04", "0.7"), ("0.08", "0.6")],
                strict=True,
            )
        ),
    ),
    "pets": (
        "Oxford-IIIT Pets",
        37,
        dict(
            zip(
                TINY,
                [("0.06", "0.1"), ("0.01", "0.4"), ("0.01", "0.8"), ("0.01", "0.8"), ("0.01", "0.6")],
                strict=True,
            )
        ),
    ),
}
GPUS = 4
# Top-1 gained by pre-training MobileNetV2 x 0.35 with NetAug, read off bars; there is no figure for the other cells.
GAINS = {"food101": "+1.0", "flowers102": "+1.6", "cars": "+2.9", "pets": "+0.4"}


def rendered() -> dict[str, str]:
    """The text of each recipe by its name."""
    return {**dict(_imagenet()), **dict(_imagenet21k()), **dict(_transfer())}


def _imagenet() -> Iterator[tuple[str, str]]:
    for key, net in NETS.items():
        name = f"imagenet/{key}"
        without, with_ = net.top1
        figures = f"top-1 {without} without and {with_} with NetAug ({net.read})."
        expected = f"not measured yet. The paper ({_PAPER}): {figures}"
        about = f"{net.title} on ImageNet at {net.size} pixels: {net.cost}."
        settings = (
            f"base: imagenet/_base\nmodel:\n  name: {key}\ndata:\n  image_size: {net.size}\n"
            f"netaug:\n  width: {net.width}\n"
            + ("  expand: [1]\n" if key == "resnet50" else "")
            + (f"train:\n{net.own}" if net.own else "")
        )
        yield name, _head(name, about, "imagenet", expected, net.note) + settings
        yield f"{name}-baseline", _baseline(name, net, "ImageNet", "imagenet", expected, net.note)


def _imagenet21k() -> Iterator[tuple[str, str]]:
    for key in TINY:
        net, name = NETS[key], f"imagenet21k/{key}"
        about = f"{net.title} pre-trained on ImageNet-21K-P at {net.size} pixels, 20 epochs."
        expected = f"not measured yet; the paper ({_PAPER}) trains this too, but no figure of it is at hand."
        note = "1 of the 20 epochs as warm-up, and the share of epochs that augment widths, are ours."
        settings = (
            f"base: imagenet/{key}\ndata:\n  name: imagenet21k\ntrain:\n  epochs: 20\n  warmup_epochs: 1\n"
        )
        yield name, _head(name, about, "imagenet21k", expected, note) + settings
        yield f"{name}-baseline", _baseline(name, net, "ImageNet-21K-P", "imagenet21k", expected, note)


def _baseline(name: str, net: Net, where: str, data: str, expected: str, note: str) -> str:
    about = (
        f"{net.title} on {where} without NetAug, for comparison: he-normal initialisation as in the paper."
    )
    settings = f"base: {name}\nmodel:\n  init: he\nnetaug:\n  enabled: false\n"
    return _head(f"{name}-baseline", about, data, expected, note) + settings


def _head(name: str, about: str, data: str, expected: str, note: str) -> str:
    return (
        f"# {about}\n#\n"
        + _commands(f"train {name} --data.root DIR", gpus=8)
        + f"# data:     {_DATA_OF[data]}\n"
        + "# hardware: a GPU server; the batch is the global one, for all GPUs together\n"
        + f"# expected: {expected}\n"
        + (f"# note:     {note}\n" if note else "")
    )


def _commands(words: str, gpus: int) -> str:
    """One process, one node, 16 processes."""
    return (
        f"# command:  netaug {words}\n"
        f"# 1 node:   torchrun --nproc-per-node {gpus} -m netaug {words}\n"
        "# 16 procs: torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\\n"
        f"#             -m netaug {words}\n"
    )


def _transfer() -> Iterator[tuple[str, str]]:
    for data, (title, classes, cells) in DATASETS.items():
        for key, (rate, dropout) in cells.items():
            name, net = f"transfer/{data}/{key}", NETS[key]
            gain = GAINS.get(data) if key == "mobilenetv2-0.35" else None
            told = f"{gain} top-1 by pre-training with NetAug (read off a bar, +-0.05)."
            about = (
                f"# {net.title}, pre-trained, fine-tuned without NetAug on {title}, {classes} classes.\n#\n"
            )
            yield (
                name,
                about
                + _commands(f"finetune {name} --from RUN|WEIGHTS --data.root DIR", gpus=4)
                + f"# weights:  such as runs/imagenet-{key}-netaug-seed0 of `netaug train imagenet/{key}`\n"
                "# hardware: one GPU is enough; the batch is the global one\n"
                f"# expected: not measured yet. The paper ({_PAPER}): {told if gain else 'no figure for this pair.'}\n"
                f"base: transfer/_base\nmodel:\n  name: {key}\n  dropout: {dropout}\n"
                f"data:\n  name: {data}\n  image_size: {net.size}\n"
                f"train:\n  lr: {float(rate) * GPUS:.3g}  # {rate} for each of {GPUS} GPUs\n"
                + ("  weight_decay: 3.0e-5\n" if key == "mobilenetv3-0.35" else ""),
            )


def write() -> None:
    """Write the files of all recipes."""
    for name, text in rendered().items():
        path = _FOLDER / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
