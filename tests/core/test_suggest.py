"""A wrong name is answered with the names it was likely meant to be, in one form."""

from __future__ import annotations

import pytest

from netaug.core.suggest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [("epocs", 1, ["epochs"]), ("ADAMW", 1, ["AdamW"]), ("xyz", 3, []), ("epoch", 2, ["epochs", "epoch_s"])],
)
def test_near_names_come_best_first_whatever_their_case(name: str, count: int, expected: list[str]) -> None:
    assert nearest(name, ["epochs", "epoch_s", "AdamW", "lr"], count) == expected


def test_a_question_names_all_suggestions_and_is_none_without_them() -> None:
    assert did_you_mean(map(repr, ["a", "b"])) == "did you mean 'a' or 'b'?"
    assert did_you_mean([]) is None
