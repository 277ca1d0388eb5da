"""Many runs become an honest answer: does Network Augmentation help for this recipe?"""

from netaug.compare.engine import compare
from netaug.compare.request import CompareRequest
from netaug.compare.results import ArmRow, Comparison, Verdict
from netaug.compare.table import show

__all__ = ["ArmRow", "CompareRequest", "Comparison", "Verdict", "compare", "show"]
