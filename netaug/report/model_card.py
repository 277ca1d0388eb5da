"""A model card: what a trained network is, how good it is and how it is used, as the Hugging Face Hub reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from netaug.compare.formatting import si
from netaug.compare.records import RunRecord, read_config, read_record
from netaug.compare.run_specs import RunSpec
from netaug.config.trust import is_foreign
from netaug.core.display import score_name
from netaug.core.errors import CheckpointError
from netaug.core.escaping import line, markdown
from netaug.core.existing import HUB_PREFIX
from netaug.runs.folder import find_weights
from netaug.weights.hub import repository_of
from netaug.weights.metadata import ModelCard, read_card

MARK = "<!-- written by `netaug card` -->"
"""Stands in every card, so that a README of somebody's own is not taken for one."""
_PIPELINES = {"classify": "image-classification", "detect": "object-detection"}
_METRICS = {"top1": "accuracy"}  # as the Hub calls them
_SETTINGS = (
    "data.name", "data.augment", "data.batch_size", "train.epochs", "train.optimizer", "train.lr",
    "train.weight_decay", "train.label_smoothing", "train.seed", "netaug.enabled",
)  # fmt: skip
"""Settings that a card shows; paths of the machine that trained are not its business."""
_CLASSES = 20  # that are named


def model_card(source: Path, *, hub_name: str = "", license: str = "") -> str:
    """Return the card of a trained network as Markdown with YAML front matter.

    Args:
        source: A run folder, or a weights file that netaug wrote; of a run the card also says how it was trained.
        hub_name: ``user/name`` of the repository it goes to, for the lines that load it.
        license: An identifier of the Hub, such as ``mit``; a card without one leaves the question open.

    Raises:
        RunFolderError: There is no network.
        CheckpointError: The file is damaged, or of another program; or ``hub_name`` is not ``user/name``.
    """
    if hub_name:
        repository_of(f"{HUB_PREFIX}{hub_name}")
    weights = find_weights(source)
    card = read_card(weights)
    if card is None:
        raise CheckpointError(
            f"'{weights}' has no description, so there is nothing to write a card from.",
            got="a file that netaug did not write",
            fix="`netaug import-weights FILE --model NAME` writes one with a description",
        )
    run = read_record(RunSpec("run", "final", 0, None, None, 1), source) if source.is_dir() else None
    config = read_config(source) if source.is_dir() else {}
    name = hub_name.rpartition("/")[2] or source.resolve().stem
    front = yaml.safe_dump(_front_matter(card, name, config, license), sort_keys=False, allow_unicode=True)
    return "\n".join([f"---\n{front}---", MARK, *_body(card, name, hub_name, run, config)]) + "\n"


def scores(card: ModelCard) -> dict[str, float]:
    """Return what was measured when the network was saved, in percent by name."""
    return ({} if card.top1 is None else {"top1": card.top1}) | card.scores


def _front_matter(card: ModelCard, name: str, config: Mapping[str, Any], license: str) -> dict[str, Any]:
    pipeline = _PIPELINES.get(card.task, card.task)
    values: dict[str, Any] = {"library_name": "netaug"}
    if license:
        values["license"] = license
    values |= {"pipeline_tag": pipeline, "tags": ["netaug", "tinyml", "pytorch"]}
    data = line((config.get("data") or {}).get("name", ""))
    if data and scores(card):
        metrics = [
            {"type": _METRICS.get(key, key), "name": f"{score_name(key)} (%)", "value": round(value, 2)}
            for key, value in scores(card).items()
        ]
        values["model-index"] = [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": pipeline},
                        "dataset": {"name": data, "type": data, "split": card.val_split},
                        "metrics": metrics,
                    }
                ],
            }
        ]
    return values


def _body(
    card: ModelCard, name: str, hub_name: str, run: RunRecord | None, config: Mapping[str, Any]
) -> Iterator[str]:
    measured = ", ".join(f"{score_name(key)} {value:.2f} %" for key, value in scores(card).items())
    yield f"\n# {markdown(name)}\n"
    method = "[netaug](https://arxiv.org/abs/2110.08890)"
    yield f"{markdown(card.name)}, trained with {method} {markdown(card.netaug_version)}."
    if measured:
        yield f"**{measured}** on the split {markdown(card.val_split)}: one training, so no interval."
    yield "\n## Use\n"
    place = f"{HUB_PREFIX}{hub_name}" if hub_name else "model.safetensors"
    yield f"```python\nimport netaug\n\nmodel = netaug.load({place!r}{_trusted(card)})  # a plain torch module"
    yield f"predictions = netaug.predict({place!r}, ['picture.jpg']{_trusted(card)})\n```\n"
    yield "The file holds tensors and a description; nothing in it is executed."
    yield "\n## The network\n"
    yield from _table(_network(card, run))
    if config:
        yield "\n## The training\n"
        yield from _table(_training(config, run))


def _trusted(card: ModelCard) -> str:
    return f", trusted=[{line(card.name)!r}]" if is_foreign(card.name) else ""


def _network(card: ModelCard, run: RunRecord | None) -> dict[str, str]:
    side = card.image_size
    rows = {
        "input": f"{card.in_chans} x {side} x {side}, scaled to [0, 1], then "
        f"mean {', '.join(f'{x:g}' for x in card.mean)}, std {', '.join(f'{x:g}' for x in card.std)}",
        "center crop": f"{card.crop_ratio:g} of the shorter side",
    }
    if run is not None and run.summary:
        rows["size"] = f"{si(run.summary.params)} parameters, {si(run.summary.macs)} MACs per image"
    if card.widths:
        rows["width"] = "wider than the network of this name: extracted from its supernet"
    named = ", ".join(card.class_names[:_CLASSES])
    more = len(card.class_names) - _CLASSES
    rows[f"{card.num_classes} classes"] = named + (f" and {more} more" if more > 0 else "")
    return rows


def _training(config: Mapping[str, Any], run: RunRecord | None) -> dict[str, str]:
    rows = {}
    for key in _SETTINGS:
        group, _, setting = key.partition(".")
        if setting in (config.get(group) or {}):
            rows[key] = str(config[group][setting])
    if run is not None and run.summary:
        rows["epochs trained"] = str(run.summary.epochs)
    return rows


def _table(rows: Mapping[str, str]) -> Iterator[str]:
    yield from ("| | |", "|---|---|")
    for name, value in rows.items():
        yield f"| {markdown(name)} | {markdown(value)} |"
