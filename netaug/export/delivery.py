"""Writes the folder of an export: the files of each format with a program that reads them, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from netaug.export.conversion import Conversion
from netaug.export.float_reference import run_float
from netaug.export.formats import find_format
from netaug.export.formats.base import Format, Written
from netaug.export.ladder import FloatForm, Form, Int8Form, Ladder, Memory, measure_ladder
from netaug.export.programs import preprocessing, program
from netaug.profile import profile
from netaug.weights.metadata import ModelCard

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
    chosen = {name: find_format(name, conversion.via) for name in dict.fromkeys(formats)}
    written = [_write(name, kind, conversion, folder / name) for name, kind in chosen.items()]
    int8 = any(kind.int8 for kind in chosen.values())
    forms = [*_own_forms(conversion, int8=int8), *(form for item in written for form in item.forms)]
    images, rungs = measure_ladder(conversion, forms)
    ladder = Ladder(
        images=images,
        split=conversion.val_split,
        dataset=conversion.dataset,
        side=conversion.card.image_size,
        score=conversion.task.score,
        rungs=rungs,
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
    facts = json.dumps(preprocessing(conversion), indent=2, ensure_ascii=False)
    (folder / "preprocessing.json").write_text(facts + "\n", encoding="utf-8")
    script = program(conversion, kind.load, kind.needs)
    (folder / "predict.py").write_text(script, encoding="utf-8")
    return written


def _own_forms(conversion: Conversion, *, int8: bool) -> list[Form]:
    """Return the forms that need no runtime; those behind the trained network only where a format is made from them."""
    trained = FloatForm("trained network, float32", conversion.trained)
    if not int8:
        return [trained]
    folded = FloatForm("batch norms folded, float32", lambda images: run_float(conversion.floats, images))
    return [trained, folded, Int8Form("int8, NumPy reference", conversion.reference)]


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
