"""Numbers are written so that they cannot be misread."""

import pytest

from netaug.compare.formatting import MINUS, NONE, interval, plus_minus, rate, seconds, si, signed
from netaug.compare.paired_statistics import Difference, Spread


def test_signs():
    assert [signed(value) for value in (0.94, -0.2, 0.04, -0.04)] == ["+0.9", f"{MINUS}0.2", "0.0", "0.0"]


def test_interval_shows_on_which_side_of_zero_it_ends():
    assert interval(Difference({}, 0.9, 0.3, 1.5)) == "+0.9 [+0.3, +1.5]"
    assert interval(Difference({}, 0.9, 0.012, 1.788)) == "+0.9 [+0.01, +1.79]"
    assert interval(Difference({}, 0.9, None, None)) == "+0.9"
    assert interval(None) == NONE


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.46, "9.5 s"), (9.97, "10 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_seconds(value, text):
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(412, "412"), (999.7, "1.00 k"), (23100, "23.1 k"), (1.017e12, "1.02 T"), (999_999, "1.00 M")],
)
def test_si(value, text):
    assert si(value) == text


def test_spread_and_rate():
    assert plus_minus(Spread(3, 85.21, 1.34)) == "85.2 ± 1.3"
    assert plus_minus(Spread(1, 85.21, None)) == "85.2"
    assert (rate(0.1), rate(1e-5), rate(None)) == ("0.1", "1e-05", NONE)
