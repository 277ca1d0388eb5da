"""A wrong request is refused with one clear message before anything starts."""

from pathlib import Path

import pytest

from netaug.core.errors import ConfigError
from tests.compare.helpers import request

OUT = Path("nowhere")


@pytest.mark.parametrize("name", ["seeds", "jobs", "threads"])
@pytest.mark.parametrize("value", [0, -1])
def test_counts_must_be_positive(name, value):
    with pytest.raises(ConfigError, match=f"--{name}"):
        request(OUT, **{name: value})


@pytest.mark.parametrize("lrs", [(0.0,), (-0.1, 0.1), (float("nan"),), (float("inf"),), (0.1, 0.1)])
def test_rates_must_be_positive_finite_and_different(lrs):
    with pytest.raises(ConfigError, match="--lr"):
        request(OUT, lrs=lrs)


@pytest.mark.parametrize(
    "override", ["--train.seed=1", "--netaug.enabled=false", "--out=x", "--train.threads=2"]
)
def test_what_the_comparison_sets_cannot_be_overridden(override):
    with pytest.raises(ConfigError, match="comparison sets it"):
        request(OUT, override)


def test_a_rate_can_be_set_unless_it_is_tuned():
    request(OUT, "--train.lr=0.3", "--data.holdout=0.2")
    with pytest.raises(ConfigError, match=r"train\.lr"):
        request(OUT, "--train.lr=0.3", lrs=(0.1,))


def test_command_can_be_pasted_into_a_shell():
    asked = request(Path("my runs/a"), "--data.root=/x y", lrs=(0.1, 0.2))
    assert asked.command() == (
        "netaug compare demo/fake --seeds 2 --jobs 4 --threads 1 --out 'my runs/a' --lr 0.1 0.2 "
        "'--data.root=/x y'"
    )


def test_jobs_share_the_cores():
    assert request(OUT, jobs=10_000, threads=None).most_threads == 1
    assert request(OUT, jobs=1, threads=None).most_threads >= request(OUT, threads=None).most_threads
