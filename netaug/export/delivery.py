"""Writes the folder of an export: the files of each format with a program that reads them, and what was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from netaug.export.comparison import Ladder, Memory, Rung, climb
from netaug.export.conversion import Conversion
from netaug.export.float_reference import run_float
from netaug.export.formats import find_format
from netaug.export.formats.base import Format, Written
from netaug.profile import profile
from netaug.weights.metadata import ModelCard

_PREDICT = '''\
"""Prints the likeliest classes of an image: python predict.py IMAGE. Needs {needs}."""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
FACTS = json.loads((HERE / "preprocessing.json").read_text(encoding="utf-8"))


def read_image(file):
    image = ImageOps.exif_transpose(Image.open(file)).convert(FACTS["mode"])
    side, shorter = FACTS["image_size"], FACTS["shorter_side"]
    if shorter is None:  # the whole image is scaled to the square
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    else:  # the shorter side is scaled, and the center is kept
        width, height = (shorter * edge // min(image.size) for edge in image.size)
        left, top = round((width - side) / 2), round((height - side) / 2)
        image = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))
    pixels_HWC = np.asarray(image, np.float32).reshape(side, side, -1) / 255
    return ((pixels_HWC - np.float32(FACTS["mean"])) / np.float32(FACTS["std"])).astype(np.float32)

{load}

if __name__ == "__main__":
    logits = predict(read_image(sys.argv[1]))
    exponentials = np.exp(logits - logits.max())
    for index in np.argsort(-logits)[:5]:
        print(f"{{100 * exponentials[index] / exponentials.sum():5.1f}} %  {{FACTS['labels'][index]}}")
'''

_README = """\
# {name} for images of {side} x {side} pixels

Written by `{command}`.

```
{ladder}
```

| folder | run it with |
|---|---|
{rows}

`preprocessing.json` of each folder says how images become the input: scaled, `pixel / 255`, minus `mean`, divided by
`std`; it also has the labels in the order of the outputs. `predict.py` is that in Python, without netaug. In `micro`,
`make check` runs the test cases on this machine and, where QEMU is installed, on emulated Cortex-M cores.
"""


def deliver(conversion: Conversion, formats: Sequence[str], folder: Path, command: str) -> Ladder:
    """Write all formats into a folder, check them, and return what was measured.

    Args:
        conversion: The network.
        formats: Names as in :data:`netaug.export.formats.NAMES`.
        folder: An empty one.
        command: The command line, for README.md.

    Raises:
        ExportError: The network cannot be exported, or a check fails; the folder is then incomplete.
        ResourceError: The C compiler refuses the sources.
    """
    chosen = {name: find_format(name) for name in dict.fromkeys(formats)}
    written = [_write(name, kind, conversion, folder / name) for name, kind in chosen.items()]
    int8 = any(kind.int8 for kind in chosen.values())
    rungs = [*_own_rungs(conversion, int8=int8), *(rung for item in written for rung in item.rungs)]
    count, tallies = climb(conversion, rungs)
    ladder = Ladder(
        images=count,
        split=conversion.val_split,
        dataset=conversion.dataset,
        side=conversion.card.image_size,
        rungs=tallies,
        macs=profile(conversion.network, conversion.example_NCHW).macs,
        memory=_memory(conversion, written) if int8 else (),
        checks=tuple(check for item in written for check in item.checks),
    )
    (folder / "ladder.json").write_text(json.dumps(ladder.to_json(), indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_readme(conversion.card, chosen, ladder, command), encoding="utf-8")
    return ladder


def _write(name: str, kind: Format, conversion: Conversion, folder: Path) -> Written:
    folder.mkdir()
    written = kind.write(conversion, folder)
    facts = json.dumps(preprocessing(conversion.card), indent=2, ensure_ascii=False)
    (folder / "preprocessing.json").write_text(facts + "\n", encoding="utf-8")
    script = _PREDICT.format(needs=kind.needs, load=kind.load)
    (folder / "predict.py").write_text(script, encoding="utf-8")
    return written


def preprocessing(card: ModelCard) -> dict[str, object]:
    """Return how image files become the network's input, as values of JSON."""
    cropped = card.crop_ratio < 1
    return {
        "image_size": card.image_size,
        "shorter_side": math.ceil(card.image_size / card.crop_ratio) if cropped else None,
        "mode": "L" if card.in_chans == 1 else "RGB",
        "mean": card.mean,
        "std": card.std,
        "labels": card.class_names,
    }


def _own_rungs(conversion: Conversion, *, int8: bool) -> list[Rung]:
    """Return the forms that need no runtime; those behind the trained network only where a format is made from them."""
    rungs = [Rung("trained network, float32", conversion.logits, "float")]
    if int8:
        rungs.append(
            Rung("batch norms folded, float32", lambda x: run_float(conversion.floats, x)[0].numpy(), "float")
        )
        rungs.append(Rung("int8, NumPy reference", conversion.reference))
    return rungs


def _memory(conversion: Conversion, written: Sequence[Written]) -> tuple[Memory, ...]:
    memory = tuple(item for part in written for item in part.memory)
    if any(item.name == "generated C" for item in memory):
        return memory
    need = conversion.need  # known from shapes: the user sees what --to micro would save
    return (*memory, Memory("generated C", need.sram, need.flash, f"largest at {need.peak}; with --to micro"))


def _readme(card: ModelCard, chosen: dict[str, Format], ladder: Ladder, command: str) -> str:
    rows = "\n".join(
        f"| `{name}` | `python {name}/predict.py IMAGE`, with {kind.needs} |" for name, kind in chosen.items()
    )
    return _README.format(
        name=card.name,
        side=card.image_size,
        command=command,
        ladder="\n".join(ladder.describe()),
        rows=rows,
    )
