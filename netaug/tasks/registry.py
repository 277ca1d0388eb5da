"""The kinds of tasks by name. A new one is a file of this package, and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netaug.config import RunConfig
from netaug.core.errors import ConfigError
from netaug.models.registry import is_detector
from netaug.tasks.base import Task
from netaug.tasks.classification import Classification
from netaug.tasks.detection import Detection
from netaug.tasks.kind import TaskKind

if TYPE_CHECKING:
    from netaug.data import Data

_KINDS: dict[str, TaskKind] = {}


def register_task(kind: TaskKind) -> None:
    """Make a kind of task known by its name, which datasets and weights files give."""
    assert kind.name not in _KINDS, f"two kinds of tasks are named {kind.name!r}"
    _KINDS[kind.name] = kind


register_task(Classification())
register_task(Detection())


def task_names() -> list[str]:
    """Return the names of all kinds of tasks."""
    return list(_KINDS)


def task_kind(name: str) -> TaskKind:
    """Return the kind of task that a dataset or a weights file names.

    Raises:
        ConfigError: It is not registered, e.g. a file was written by a program with a task of its own.
    """
    if name not in _KINDS:
        raise ConfigError(
            f"there is no task {name!r}.",
            allowed=", ".join(_KINDS),
            fix="import the module that registers it with netaug.tasks.registry.register_task",
        )
    return _KINDS[name]


def kind_of_network(name: str) -> TaskKind:
    """Return the kind of task that a network is for by its name; a user's factory is taken for a classifier."""
    return task_kind("detect" if is_detector(name) else "classify")


def choose_task(config: RunConfig, data: Data) -> Task[Any, Any]:
    """Return the task of a dataset, with the metric that results on it are customarily reported in.

    Args:
        config: Settings of the loss and of the metrics.
        data: Its ``info.task`` names the kind of task.

    Raises:
        ConfigError: A setting is for images with one label each, and the data is of another kind.
    """
    kind = task_kind(data.info.task)
    kind.check_settings(config)
    return kind.build(config, data)
