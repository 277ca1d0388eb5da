"""Tasks: loss, metrics, checks and predictions, with a kind of task per file."""

from netaug.tasks.base import Task
from netaug.tasks.classify import ClassificationTask

__all__ = ["ClassificationTask", "Task"]
