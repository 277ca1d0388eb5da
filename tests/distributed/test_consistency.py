"""What ranks compare before they train, and how a difference is named."""

from __future__ import annotations

import pytest
from torch import nn

from netaug.config.loading import load_config
from netaug.distributed.consistency import PER_RANK, Report, check_reports, report_of
from netaug.distributed.consistency import _layers as layers
from netaug.distributed.differences import differences, listed


def report(*words: str, resume: bool = False, backend: str = "gloo") -> Report:
    """The report of a rank that was started with these words."""
    return Report.from_json(report_of(load_config("demo/digits", words), resume, backend).to_json())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train.epochs=7"], "train.epochs 20 on rank 0, 7 on rank 1"),
        (["--data.batch_size=32"], "data.batch_size 64 on rank 0, 32 on rank 1"),
        (["--train.seed=3"], "train.seed 0 on rank 0, 3 on rank 1"),
        (["--netaug.width=1,2"], "netaug.width [1.0, 1.8, 2.6] on rank 0, [1.0, 2.0] on rank 1"),
        (["--data.download=true"], "data.download false on rank 0, true on rank 1"),
    ],
)
def test_a_setting_that_differs_is_named_with_both_values(words: list[str], said: str) -> None:
    first = report("--train.epochs=20", "--data.batch_size=64", "--netaug.width=1,1.8,2.6")
    second = report("--train.epochs=20", "--data.batch_size=64", "--netaug.width=1,1.8,2.6", *words)
    assert said in str(check_reports({0: first, 1: second}))


@pytest.mark.parametrize(
    "words",
    [
        ["--data.root=/elsewhere", "--data.workers=3", "--train.threads=2"],
        ["--train.timeout_minutes=3", "--train.checkpoint_minutes=1", "--train.keep_checkpoints=5"],
        ["--train.device=cpu"],
    ],
)
def test_what_belongs_to_a_machine_may_differ(words: list[str]) -> None:
    assert check_reports({0: report(), 1: report(*words)}) is None


def test_how_a_rank_was_started_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--resume false on rank 0, true on rank 1" in str(
        check_reports({0: report(), 1: report(resume=True)})
    )
    said = str(check_reports({0: report(), 1: report(backend="nccl")}))
    assert 'train.device "cpu" on rank 0, "cuda" on rank 1' in said
    first = report()
    monkeypatch.setattr("netaug.__version__", "9.9")
    assert '"9.9" on rank 1' in str(check_reports({0: first, 1: report()}))


def test_settings_of_a_machine_are_settings() -> None:
    assert set(PER_RANK) < set(report_of(load_config("demo/digits"), False, "gloo").facts) | set(PER_RANK)
    assert not set(PER_RANK) & set(report().facts)


def test_ranks_of_a_value_are_written_as_ranges() -> None:
    facts = {rank: {"x": 1 if rank in (3, 7) else 0} for rank in range(9)}
    assert differences(facts) == ["x 0 on ranks 0-2, 4-6, 8, 1 on ranks 3, 7"]


def test_many_differences_are_a_text_of_bounded_length() -> None:
    found = differences({0: dict.fromkeys(map(str, range(30)), 0), 1: {}})
    assert listed(found).endswith("and 24 more")


def test_networks_of_other_layers_are_told_apart_and_values_are_not() -> None:
    first, same = nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(3, 4))
    assert layers(first) == layers(same)
    assert layers(first) != layers(nn.Sequential(nn.Linear(3, 5)))
    assert layers(first) != layers(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    same[0].weight.requires_grad_(False)
    assert layers(first) != layers(same)
