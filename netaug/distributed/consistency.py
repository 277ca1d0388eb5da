"""Compares what must be alike on all ranks of a training, and names what is not."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

import netaug
from netaug.config import RunConfig
from netaug.config.loading import flat_mapping
from netaug.core import errors
from netaug.core.errors import ConfigError, DataError, ModelError, NetaugError, TrainingError
from netaug.data import Data
from netaug.data.decode.jpeg import decoder
from netaug.data.listing_digest import fingerprint
from netaug.distributed.differences import Facts, differences, listed
from netaug.distributed.world import World
from netaug.profile import Profile

PER_RANK = (
    *("data.root", "data.class_names", "data.workers", "train.threads", "train.checkpoint_minutes"),
    *("train.keep_checkpoints", "train.tensorboard", "train.wandb", "train.timeout_minutes"),
)
"""Settings that may differ between ranks: paths and resources of a machine, or what rank 0 alone uses."""
_PATHS = ("model.weights", "distill.cache", "distill.teacher")
"""Settings whose value is a path of the machine: its content is compared when it is read."""


@dataclass(frozen=True)
class Report:
    """Holds what a rank reports at the rendezvous.

    Args:
        facts: What must be alike on all ranks, by the name that a message calls it.
        versions: What should be alike: results may differ in their last bits otherwise.
        error: Why this rank cannot start; None if it can.
    """

    facts: Facts = field(default_factory=dict)
    versions: Facts = field(default_factory=dict)
    error: NetaugError | None = None

    def to_json(self) -> str:
        """Return the report as text that :meth:`from_json` reads."""
        error = None if self.error is None else error_to_dict(self.error)
        return json.dumps({"facts": self.facts, "versions": self.versions, "error": error}, default=str)

    @staticmethod
    def from_json(text: str) -> Report:
        """Return the report in a text; that of an earlier version of netaug has no facts."""
        try:
            content = json.loads(text)
            error = content["error"]
            return Report(
                content["facts"], content["versions"], None if error is None else error_from_dict(error)
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return Report()


def report_of(config: RunConfig, resume: bool, backend: str) -> Report:
    """Return what this rank reports to the others before they train together.

    Args:
        config: The whole configuration: any setting that is not free to differ must be alike on all ranks.
        resume: Whether ``--resume`` is given.
        backend: The library that connects the ranks; it follows from ``train.device`` and this machine.
    """
    settings = {name: value for name, value in flat_mapping(config).items() if name not in PER_RANK}
    settings |= {name: "given" if settings[name] else None for name in _PATHS}
    if settings["train.device"] in ("auto", "cuda", "cpu"):
        settings["train.device"] = "cuda" if backend == "nccl" else "cpu"
    facts = {"the version of netaug": netaug.__version__, "the code of netaug": _code(), "--resume": resume}
    versions = {name: version(name) for name in ("torch", "torchvision", "numpy", "timm")}
    return Report(facts | settings, versions | {"the JPEG decoder": decoder()})


def check_reports(reports: Mapping[int, Report]) -> NetaugError | None:
    """Return the error that keeps these ranks from training together; None if nothing does.

    Args:
        reports: By rank; those of some ranks are enough to find a difference between them.
    """
    for rank, report in sorted(reports.items()):
        if (error := report.error) is not None:
            where = f"rank {rank} cannot start: {error.where}"
            return type(error)(where, got=error.got, allowed=error.allowed, fix=error.fix)
    differing = differences({rank: report.facts for rank, report in reports.items()})
    if not differing:
        return None
    return ConfigError(
        "the ranks of this training were started with different settings.",
        got=listed(differing),
        allowed=f"the same on every rank; these may differ: {', '.join(PER_RANK)}, and paths",
        fix="start every rank with the same command and the same installation of netaug",
    )


def check_data_alike(world: World, data: Data) -> None:
    """Refuse ranks that read different images: their slices would not add up to an epoch of any of them.

    Raises:
        DataError: They differ; names what and how, on every rank.
    """

    def error(differing: str) -> DataError:
        return DataError(
            "the ranks of this training do not read the same data.",
            got=differing,
            allowed="the same images and classes on every rank; data.root may be another path on each machine",
            fix="copy the dataset again to the machine that differs, or check --data.root there",
        )

    if world.size == 1:
        return
    with world.raise_on_all_ranks():  # it reads files
        digests = {} if data.listing is None else data.listing.digests
    facts = {
        f"{part} of {split} images": digest[:12]
        for split, parts in digests.items()
        for part, digest in parts.items()
    }
    world.check_equal({**fingerprint(data.info), "steps": len(data.train), **facts}, error)


def check_network_alike(world: World, network: nn.Module, model_name: str, cost: Profile) -> None:
    """Refuse ranks that build different networks, such as from different versions of a user's own factory.

    Raises:
        ModelError: They differ; names what and how, on every rank.
    """

    def error(differing: str) -> ModelError:
        return ModelError(
            f"the ranks of this training build different networks as {model_name!r}.",
            got=differing,
            allowed="the same layers and sizes on every rank",
            fix="start every rank with the same code and the same versions of the libraries that define the network",
        )

    facts = {
        "parameters": cost.params,
        "MACs": cost.macs,
        "layers": _layers(network),
        "code": _factory_code(model_name),
    }
    world.check_equal(facts, error)


def check_teacher_alike(world: World, teacher: str | None) -> None:
    """Refuse ranks whose teachers have different weights.

    Raises:
        ModelError: They differ.
    """

    def error(differing: str) -> ModelError:
        return ModelError(
            "the ranks of this training have different teachers.",
            got=differing,
            allowed="the same weights on every rank; distill.teacher and distill.cache may be other paths",
            fix="copy the teacher, or the cache of its outputs, again to the machine that differs",
        )

    world.check_equal({"teacher": teacher}, error)


def error_to_dict(error: NetaugError) -> dict[str, Any]:
    """Return an error as JSON has it."""
    fields = {"where": error.where, "got": error.got, "allowed": error.allowed, "fix": error.fix}
    texts = {name: None if value is None else str(value) for name, value in fields.items()}
    return {"kind": type(error).__name__, **texts}


def error_from_dict(content: Mapping[str, Any]) -> NetaugError:
    """Return the error that :func:`error_to_dict` described; one of a kind that is not known is a TrainingError."""
    kind = getattr(errors, str(content["kind"]), None)
    known = kind if isinstance(kind, type) and issubclass(kind, NetaugError) else TrainingError
    return known(
        str(content["where"]),
        got=content.get("got"),
        allowed=content.get("allowed"),
        fix=content.get("fix"),
    )


def _layers(network: nn.Module) -> str:
    """Return a digest of names, kinds, shapes and of what is trained, not of values: those of rank 0 count."""
    lines = [f"{name} {type(module).__qualname__}" for name, module in network.named_modules()]
    lines += [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in network.state_dict().items()]
    lines += [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _factory_code(model_name: str) -> str | None:
    """Return a digest of the file of a user's own factory; None for networks of a library."""
    module = sys.modules.get(model_name.partition(":")[0])
    path = None if module is None or ":" not in model_name else module.__file__
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def _code() -> str:
    """Return a digest of the package's source files: two installations of one version may differ."""
    folder, digest = Path(netaug.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]
