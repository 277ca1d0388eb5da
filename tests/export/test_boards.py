"""Boards and budgets: every figure has a source, every mistake a message."""

from __future__ import annotations

import pytest

from netaug.core.errors import ConfigError, ModelError
from netaug.export.boards import Budget, boards, budget_of, find_board, parse_size, show_size
from netaug.export.budget import MemoryNeed, largest_side, largest_width, verdict

KB = 1024


def _need(sram: int, flash: int = 100 * KB) -> MemoryNeed:
    return MemoryNeed(sram, sram, sram, sram, flash, "blocks.1.expand", {"a": sram // 2, "b": sram // 2})


def test_every_board_has_sources_and_plausible_figures() -> None:
    assert len(boards()) >= 10
    for board in boards().values():
        assert board.sources, board.name
        assert all(source.startswith("https://") for source in board.sources)
        assert 0 < board.block <= board.sram < board.flash


def test_an_unknown_board_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean stm32f746g-disco"):
        find_board("stm32f746-disco")
    with pytest.raises(ConfigError, match="--sram 256KB"):
        find_board("zx81")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256KB", 256 * KB),
        ("1MB", KB * KB),
        ("1.5 MiB", 3 * KB * KB // 2),
        ("327680", 327680),
        ("4k", 4 * KB),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "--sram") == size


@pytest.mark.parametrize("text", ["", "0", "-1KB", "12GB", "many", "1e3", "nan", "inf", "9" * 30 + "MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--sram is not a size of memory"):
        parse_size(text, "--sram")


def test_options_make_one_budget() -> None:
    assert budget_of(None, None, None) is None
    assert budget_of("stm32h743", None, None) == Budget("stm32h743", 512 * KB, 2 * KB * KB)
    assert budget_of("stm32h743", "100KB", None) == Budget("stm32h743", 100 * KB, 2 * KB * KB)
    assert budget_of(None, "64KB", None) == Budget("the given memory", 64 * KB, None)
    with pytest.raises(ConfigError, match="add --sram"):
        budget_of(None, None, "1MB")


def test_the_verdict_says_what_is_left_or_lacking() -> None:
    budget = Budget("board", 320 * KB, 1024 * KB)
    assert (
        verdict(_need(304 * KB), budget)
        == "board: fits, and leaves 16 KB of SRAM and 921 KB of flash for everything else"
    )
    assert "needs 400 KB of SRAM at blocks.1.expand and there are 320 KB" in verdict(_need(400 * KB), budget)
    assert "needs 1,103 KB of flash and there are 1,024 KB" in verdict(_need(10 * KB, 1100 * KB), budget)
    assert (
        verdict(_need(10 * KB), Budget("board", 20 * KB))
        == "board: fits, and leaves 10 KB of SRAM for everything else"
    )


def test_the_largest_side_that_fits() -> None:
    tried = []

    def need_at(side: int) -> MemoryNeed:
        tried.append(side)
        if side == 96:
            raise ModelError("not that one")
        return _need(side * side * 10)

    budget = Budget("board", 100 * KB)
    assert largest_side(need_at, 160, _need(160 * 160 * 10), budget) == (80, _need(80 * 80 * 10))
    assert tried == [112, 96, 80]
    assert largest_side(need_at, 160, _need(160 * 160 * 10), Budget("board", 100)) is None
    assert largest_side(need_at, 160, _need(1, 10_000_000), Budget("board", 100 * KB, 1024 * KB)) is None


def test_the_largest_width_that_fits() -> None:
    def need_at(width: float) -> MemoryNeed:
        return _need(round(width * 1000 * KB), round(width * width * 4000 * KB))

    assert largest_width(need_at, 0.35, need_at(0.35), Budget("board", 260 * KB)) == (0.25, need_at(0.25))
    assert largest_width(need_at, 0.35, need_at(0.35), Budget("board", 900 * KB, 100 * KB)) == (
        0.15,
        need_at(0.15),
    )
    assert largest_width(need_at, 0.35, need_at(0.35), Budget("board", 10)) is None


def test_sizes_read_as_people_write_them() -> None:
    assert [show_size(size) for size in (2960, 320 * KB, 5 * KB * KB)] == ["2,960 B", "320 KB", "5.0 MB"]
