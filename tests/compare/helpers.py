"""Comparisons made without training: a fake train command, and records made by hand."""

import io
import sys
from pathlib import Path

from rich.console import Console

from netaug.compare import CompareRequest, Comparison
from netaug.compare.engine import run_comparison
from netaug.compare.records import Epoch, RunRecord, RunSummary
from netaug.compare.run_specs import Phase, RunSpec
from netaug.report.comparison_pages import write_report

FAKE_TRAIN = (sys.executable, "-S", "-E", str(Path(__file__).with_name("fake_train.py")))


def request(out: Path, *overrides: str, **changes: object) -> CompareRequest:
    """A request with two seeds, four jobs; ``changes`` replace fields."""
    values: dict[str, object] = {
        "recipe": "demo/fake",
        "overrides": overrides,
        "seeds": 2,
        "jobs": 4,
        "out": out,
    }
    return CompareRequest(**(values | {"threads": 1} | changes))  # type: ignore[arg-type]


def run_fake(asked: CompareRequest) -> tuple[Comparison, str]:
    """The comparison by the fake train command, and what it printed meanwhile."""
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=False)
    settings = {"fake": dict(word.removeprefix("--").split("=") for word in asked.overrides)}
    comparison = run_comparison(asked, settings, FAKE_TRAIN, console, poll_seconds=0.01)
    write_report(comparison, asked.out)
    return comparison, text.getvalue()


def record(
    arm: str,
    seed: int,
    val_score: float | None,
    *,
    train_score: float = 70.0,
    seconds: float = 10.0,
    phase: Phase = "final",
    lr: float = 0.1,
    params: int = 412,
    epochs: int = 3,
    share: float | None = None,
    steps: int | None = None,
) -> RunRecord:
    """A run's record; ``val_score=None`` makes it a failed one."""
    spec = RunSpec(arm, phase, seed, lr, None, 1, (("netaug.enabled", arm == "netaug"),))
    if val_score is None:
        return RunRecord(spec, Path("nowhere"), None, lr, message="it broke")
    summary = RunSummary(
        epochs, val_score, 1.1, train_score, 1.0, seconds, 1000 * epochs, params, 23100, "val", steps=steps
    )
    curve = tuple(
        Epoch(
            i,
            train_score * (i + 1) / epochs,
            val_score * (i + 1) / epochs,
            seconds / epochs,
            1000,
            None if share is None else share + 0.01 * (i + seed),
            None if share is None else 0.1,
        )
        for i in range(epochs)
    )
    return RunRecord(spec, Path("nowhere"), summary, lr, curve)
