"""What one forward computes: loss, sums for metrics, predictions. One file per kind of task."""

from netaug.tasks.base import Task
from netaug.tasks.classify import ClassificationTask

__all__ = ["ClassificationTask", "Task"]
