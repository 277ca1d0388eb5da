"""Dividing and merging channels: what is demanded holds afterwards, and nothing changes in number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netaug.elastic.groups import Groups, Part, Parts


def _dims(*dims: tuple[tuple[int, int], ...]) -> tuple[Groups, list[Parts]]:
    """Dimensions of parts of (channels, repeat), a group of its own each."""
    groups = Groups()
    return groups, [tuple(Part(groups.new(size, "x"), repeat) for size, repeat in dim) for dim in dims]


def _claimed_sizes(groups: Groups, parts: Parts) -> list[tuple[int, int]]:
    return [(groups.size(part.group), part.repeat) for part in groups.resolve(parts)]


def test_equal_groups_become_one_and_the_first_made_gives_the_name() -> None:
    groups = Groups()
    late, early = groups.new(8, "late"), groups.new(8, "early")
    groups.claim((Part(early),), "early")
    groups.claim((Part(late),), "late")
    groups.unify((Part(late),), (Part(early),), "add")
    assert groups.roots() == [early]
    assert groups.name(early) == "early"


def test_a_group_meets_a_concatenation_and_is_divided() -> None:
    groups, (whole, joined) = _dims(((10, 1),), ((4, 1), (6, 1)))
    groups.unify(whole, joined, "add")
    assert groups.resolve(whole) == groups.resolve(joined) != whole
    assert _claimed_sizes(groups, whole) == [(4, 1), (6, 1)]


def test_runs_of_elements_meet_single_ones() -> None:
    groups, (runs, single) = _dims(((3, 4),), ((12, 1),))
    groups.unify(runs, single, "add")
    assert _claimed_sizes(groups, single) == [(3, 4)]


def test_runs_of_different_length_meet_in_their_common_multiple() -> None:
    groups, (two, three) = _dims(((6, 2),), ((4, 3),))
    groups.unify(two, three, "add")
    assert _claimed_sizes(groups, two) == _claimed_sizes(groups, three) == [(2, 6)]


def test_channels_of_different_number_freeze() -> None:
    groups, (seven, eight) = _dims(((7, 1),), ((8, 1),))
    groups.unify(seven, eight, "here")
    assert groups.is_frozen(seven)
    assert groups.is_frozen(eight)
    assert "'here' combines channels" in (groups.reason(seven[0].group) or "")


def test_a_frozen_group_freezes_what_it_is_unified_with() -> None:
    groups, (first, second) = _dims(((8, 1),), ((8, 1),))
    groups.freeze(second, "fixed")
    groups.unify(first, second, "add")
    assert groups.is_frozen(first)


def test_a_cut_goes_between_channels_only() -> None:
    groups, (dim,) = _dims(((4, 3),))
    assert groups.cut(dim, 0, 7) is None
    found = groups.cut(dim, 3, 9)
    assert found is not None
    assert groups.elements(found) == 6


@pytest.mark.parametrize(("size", "count", "tile"), [(12, 3, [(4, 1)]), (12, 5, None), (12, 12, [(1, 1)])])
def test_tiles_are_equal_stretches(size: int, count: int, tile: list[tuple[int, int]] | None) -> None:
    groups, (dim,) = _dims(((size, 1),))
    found = groups.tile(dim, count, "here")
    assert (found and _claimed_sizes(groups, found)) == tile
    if found is not None:
        assert groups.resolve(dim) == found * count


def test_tiles_of_joined_channels_are_unified() -> None:
    groups, (dim,) = _dims(((4, 1), (2, 1), (6, 1)))
    found = groups.tile(dim, 2, "shuffle")
    assert found is not None
    assert groups.resolve(dim) == groups.resolve(found) * 2


def test_channels_that_no_layer_makes_stay() -> None:
    groups, (made, not_made) = _dims(((4, 1),), ((4, 1),))
    groups.claim(made, "conv")
    groups.freeze_unclaimed()
    assert not groups.is_frozen(made)
    assert groups.is_frozen(not_made)


DIMS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), min_size=1, max_size=4).map(tuple)


@given(
    dims=st.lists(DIMS, min_size=2, max_size=5),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["unify", "cut", "tile", "divide"]), st.integers(0, 99), st.integers(0, 99)
        ),
        max_size=8,
    ),
)
def test_any_sequence_of_demands_keeps_the_number_of_elements(
    dims: list[tuple[tuple[int, int], ...]], steps: list[tuple[str, int, int]]
) -> None:
    """Whatever is demanded, every dimension keeps its elements, and what is unified is equal or frozen for good."""
    groups, found = _dims(*dims)
    elements = [groups.elements(dim) for dim in found]
    equal: list[tuple[Parts, Parts]] = []
    for kind, first, second in steps:
        dim, other = found[first % len(found)], found[second % len(found)]
        if kind == "unify":
            groups.unify(dim, other, "here")
            equal.append((dim, other))
        elif kind == "cut":
            groups.cut(dim, 0, second % groups.elements(groups.resolve(dim)))
        elif kind == "tile":
            stretch = groups.tile(dim, 1 + second % 4, "here")
            assert (
                stretch is None
                or groups.elements(groups.resolve(stretch)) * (1 + second % 4) == elements[first % len(found)]
            )
        else:
            groups.divide(dim, 1 + second % 4)
        assert [groups.elements(groups.resolve(dim)) for dim in found] == elements
        for one, two in equal:
            same = groups.resolve(one) == groups.resolve(two)
            assert same or (groups.is_frozen(one) and groups.is_frozen(two))
