"""Plans for tests: written into a file, read back."""

from pathlib import Path

from netaug.compare.arms import Plan
from netaug.compare.planfile import read_plan
from netaug.compare.planning import expand_plan

FOUR_ARMS = """
about: A teacher and four arms.
recipe: demo/digits
stages:
  teacher: {once: true, set: {netaug.enabled: false, train.label_smoothing: 0}}
reference: baseline
arms:
  baseline: {set: {netaug.enabled: false}}
  twice: {set: {netaug.enabled: false}, times: {train.epochs: 2}}
  taught: {set: {netaug.enabled: false, distill: {teacher: "{run:teacher}", temperature: 2}}}
  netaug: {times: {train.lr: 2}}
"""


def plan_from(folder: Path, text: str = FOUR_ARMS, name: str = "mine.yaml") -> Plan:
    """The plan with this text, written into ``folder``."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return expand_plan(read_plan(path))
