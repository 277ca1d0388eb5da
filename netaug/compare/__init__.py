"""Train the arms of a plan and compare them; a recipe alone is compared with and without Network Augmentation."""

from netaug.compare.engine import compare
from netaug.compare.request import CompareRequest
from netaug.compare.results import ArmRow, Comparison, Verdict
from netaug.compare.table import show

__all__ = ["ArmRow", "CompareRequest", "Comparison", "Verdict", "compare", "show"]
