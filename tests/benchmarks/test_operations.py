"""A NetAug step runs few operations more than two plain steps: the base pass, the wide pass and a handful."""

from __future__ import annotations

from benchmarks import operations

MOST = 2.4
"""Working operations of a NetAug step per working operation of a plain step."""


def test_a_step_runs_at_most_two_point_four_times_the_operations_of_a_plain_one() -> None:
    row = operations.measure("mobilenetv2-tiny", rounds=1)
    assert row.plain.working > 100
    own_loop, trainer = row.ratios
    assert 1.8 < trainer < 2.1 < own_loop <= MOST
