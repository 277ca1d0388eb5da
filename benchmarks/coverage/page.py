"""Render the page about coverage: definition, summary, what holds channels at base width, a row per model."""

from __future__ import annotations

import datetime
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version

from benchmarks.coverage.catalogue import MOST_PARAMS, Entry
from benchmarks.coverage.causes import OUTPUT
from benchmarks.coverage.probe import BATCH, DROP, FEWER, LARGE, SIZES, WEIGHT_DRAWS, Record

Pair = tuple[Entry, Record]

ABOUT = """# Coverage

What NetAug does with every image classifier of timm and torchvision that has at most {most} M parameters. The list
is found by code: every name the two libraries list is built on the meta device and counted.

**Convolutional** means: at the model's default input, at least half of its multiply-accumulates (MACs) are in
convolutions other than a patch embedding (a convolution on the image whose stride is its kernel, of 4 pixels or
more). A linear layer on a channels-last map `[N, H, W, C]` counts as the 1 x 1 convolution that it computes. The
other classifiers (transformers, mixers) follow in a table of their own, as an extra.

Each model is built with its library's default options and fresh weights, with dropout and drop path at {drop} where
timm's factory takes them. Parameters that start at zero get random values: a zero would hide faults behind it.
`netaug.augment` is called with default settings and {batch} images of noise ({fewer} from {large} pixels on), as small
as the model runs on out of {sizes} pixels and its own default.

What the columns say:

- **MACs widening**: part of the MACs at the default input in layers of which at least one channel axis widens.
- **widest**: MACs of the widest network / MACs of the base network, at the images used (px).
- **groups**: width groups that widen / that stay at base width; the classes are always one of the latter.
- **base**: after augmented passes with frozen weights, a base pass in training mode has the model's own outputs,
  gradients and buffers, bit for bit.
- **extract**: `extract()` in both modes, and `extract(widths)` at two drawn sets of widths and at the widest in
  training mode (batch statistics), give the supernet's outputs at these widths bit for bit; dropout seeded the same,
  no gradients recorded.
- **gradients**: every parameter that NetAug adds gets a gradient in the widest network, and not only zeros (in one
  of {draws} draws of weights at the latest: a rectifier may be dead by chance).
- **augment**: seconds of processor time of `netaug.augment`, on one thread.
- **held by**: what keeps the other MACs at base width (share of all), or what went wrong.
"""


def page(entries: Iterable[Entry], records: Mapping[str, Record], *, jobs: int) -> str:
    """Return the whole page as Markdown.

    Args:
        entries: All models that were counted.
        records: Results by name.
        jobs: How many models ran at a time.
    """
    looked_at = list(entries)
    pairs = [(entry, records[entry.name]) for entry in looked_at if entry.small and entry.name in records]
    pairs.sort(key=lambda pair: pair[0].name)
    convolutional = [pair for pair in pairs if pair[0].convolutional]
    others = [pair for pair in pairs if not pair[0].convolutional]
    sizes = ", ".join(map(str, SIZES))
    parts = [
        ABOUT.format(
            most=MOST_PARAMS // 10**6,
            batch=BATCH,
            fewer=FEWER,
            large=LARGE,
            drop=DROP,
            draws=WEIGHT_DRAWS,
            sizes=sizes,
        ),
        "## Summary\n",
        _summary(convolutional, others),
        _left_out(looked_at, records),
        _how(pairs, jobs),
        "## What holds channels at base width\n",
        "Convolutional classifiers in which it holds 2 % of the MACs or more, and those of them below half.\n",
        _causes(convolutional),
        "## Convolutional classifiers\n",
        _table(convolutional),
        "## Other classifiers\n",
        _table(others),
    ]
    return "\n".join(parts)


def _summary(convolutional: Sequence[Pair], others: Sequence[Pair]) -> str:
    tests: list[tuple[str, Callable[[Record], bool]]] = [
        ("models", lambda record: True),
        ("base exact", lambda record: record.exact_base),
        ("extraction exact", lambda record: record.exact_extract),
        ("both exact", lambda record: record.exact_base and record.exact_extract),
        ("gradients reach everything added", lambda record: record.gradients),
        ("half of the MACs or more widen", lambda record: record.widened >= 0.5),
        ("nine tenths or more widen", lambda record: record.widened >= 0.9),
        ("not augmented (refused, or out of time or memory)", lambda record: bool(record.error)),
    ]
    lines = ["| | convolutional | others |", "|---|---:|---:|"]
    for title, test in tests:
        cells = []
        for pairs in (convolutional, others):
            count = sum(test(record) for _, record in pairs)
            cells.append(str(count) if title == "models" else f"{count} ({count / max(1, len(pairs)):.1%})")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    slowest = [
        max(pairs, key=lambda pair: pair[1].seconds, default=None) for pairs in (convolutional, others)
    ]
    cells = [f"{pair[1].seconds:.1f} s, {_name(pair[0])}" if pair else "" for pair in slowest]
    lines.append(f"| slowest `augment` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _left_out(entries: Sequence[Entry], records: Mapping[str, Record]) -> str:
    counts = (
        f"Of {len(entries)} models listed, {sum(entry.small for entry in entries)} are small classifiers. "
    )
    problems = sorted(f"{_name(entry)} ({entry.problem})" for entry in entries if entry.problem)
    unchecked = sorted(_name(entry) for entry in entries if entry.small and entry.name not in records)
    if problems:
        counts += f"Left out: {', '.join(problems)}. "
    if unchecked:
        counts += f"Not checked yet: {', '.join(unchecked)}."
    return counts.strip() + "\n"


def _how(pairs: Sequence[Pair], jobs: int) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("netaug", "torch", "torchvision", "timm"))
    commits = Counter(record.code or "unknown" for _, record in pairs).most_common()
    code = ", ".join(f"{name} ({count} models)" for name, count in commits)
    minutes = sum(record.total for _, record in pairs) / 60 / jobs
    return (
        f"Command: `python -m benchmarks.coverage --jobs {jobs}`, which resumes where it was stopped "
        f"({minutes:.0f} minutes of processor time per job for the checks). "
        f"Commit: {code}. Versions: {versions}, Python {platform.python_version()}. "
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, no GPU. "
        f"Date: {datetime.date.today().isoformat()}.\n"
    )


def _causes(pairs: Sequence[Pair]) -> str:
    models_by_cause: dict[str, list[tuple[float, str]]] = defaultdict(list)
    below: dict[str, int] = defaultdict(int)
    for entry, record in pairs:
        fractions = {
            cause_of_models: fraction for cause_of_models, fraction in record.held.items() if fraction >= 0.02
        }
        for cause_of_models, fraction in fractions.items():
            models_by_cause[cause_of_models].append((fraction, _name(entry)))
            below[cause_of_models] += record.widened < 0.5
    if not models_by_cause:
        return "Nothing.\n"
    lines = ["| cause | models | below half | most of the MACs |", "|---|---:|---:|---|"]
    for cause_of_models, models in sorted(models_by_cause.items(), key=lambda item: -len(item[1])):
        worst = ", ".join(f"{name} {fraction:.0%}" for fraction, name in sorted(models, reverse=True)[:3])
        lines.append(f"| {cause_of_models} | {len(models)} | {below[cause_of_models]} | {worst} |")
    return "\n".join(lines) + "\n"


def _table(pairs: Sequence[Pair]) -> str:
    lines = [
        "| model | M params | M MACs | default px | px | MACs widening | widest | groups | base | extract | gradients "
        "| augment s | held by |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|---|---|---:|---|",
    ]
    return "\n".join(lines + [_row(entry, record) for entry, record in pairs]) + "\n"


def _row(entry: Entry, record: Record) -> str:
    exact = [_mark(kept) for kept in (record.exact_base, record.exact_extract, record.gradients)]
    cells = [
        _name(entry),
        f"{entry.params / 1e6:.2f}",
        f"{entry.macs / 1e6:.0f}",
        f"{entry.size}",
        f"{record.size or ''}",
        f"{record.widened:.0%}",
        f"{record.growth:.1f}x",
        f"{record.groups_wide} / {record.groups_frozen}",
        *exact,
        f"{record.seconds:.1f}",
        _held(record),
    ]
    return f"| {' | '.join(cells)} |"


def _held(record: Record) -> str:
    problems = [text for text in (record.error, *record.notes) if text]
    causes = [
        f"{cause_of_model} {fraction:.0%}"
        for cause_of_model, fraction in record.held.items()
        if fraction >= 0.01 and cause_of_model != OUTPUT
    ]
    return "; ".join([*problems, *causes[:3]]).replace("|", "\\|").replace("\n", " ")


def _mark(kept: bool) -> str:
    return "yes" if kept else "**no**"


def _name(entry: Entry) -> str:
    return entry.name.removeprefix("timm:")
