from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netaug.core.errors import DataError
from netaug.data.labels import Labels, RawLabels, resolve_labels
from netaug.data.readers.class_names import read_class_names


def raw(texts: Sequence[str], origin: str = "'t.csv'") -> RawLabels:
    return RawLabels(texts, origin, lambda index: f"line {index}")


def resolve(
    train: Sequence[str], val: Sequence[str] | None = None, names: tuple[str, ...] | None = None
) -> Labels:
    return resolve_labels(raw(train), None if val is None else raw(val, "'v.csv'"), names)


def error_of(
    train: Sequence[str], val: Sequence[str] | None = None, names: tuple[str, ...] | None = None
) -> DataError:
    with pytest.raises(DataError) as caught:
        resolve(train, val, names)
    return caught.value


@given(st.lists(st.text("abc", min_size=1, max_size=2), min_size=1))
def test_names_are_sorted_and_every_image_keeps_its_own(texts: list[str]):
    labels = resolve(texts)
    assert labels.class_names == tuple(sorted(set(texts)))
    assert [labels.class_names[label] for label in labels.train_N] == texts


@given(st.permutations(range(12)))
def test_numbers_are_the_labels(numbers: list[int]):
    labels = resolve([str(number) for number in numbers])
    assert labels.train_N.tolist() == numbers
    assert labels.class_names == tuple(str(number) for number in range(12))


def test_whole_numbers_may_be_written_as_floats():
    assert resolve(["1.0", "0.0", "1"]).train_N.tolist() == [1, 0, 1]


def test_codes_with_leading_zeros_are_names():
    assert resolve(["007", "010"]).class_names == ("007", "010")


def test_named_classes_take_numbers_or_names():
    names = ("zebra", "ant")
    assert resolve(["1", "0"], names=names) == (names, pytest.approx([1, 0]), None)
    assert resolve(["ant", "zebra"], names=names) == (names, pytest.approx([1, 0]), None)
    assert resolve(["5", "3"], names=("5", "3")).train_N.tolist() == [0, 1]


def test_both_splits_share_their_classes():
    labels = resolve(["b", "a"], ["b"])
    assert labels.val_N is not None
    assert (labels.train_N.tolist(), labels.val_N.tolist()) == ([1, 0], [1])


@pytest.mark.parametrize(
    ("train", "val", "names", "message"),
    [
        (["0", "-1"], None, None, "out of range"),
        (["0", "7", "1"], None, None, "out of range"),
        (["0", "2"], None, ("a", "b"), "out of range"),
        (["0", "1"], ["-1"], None, "out of range"),
        (["0", "1"], ["0", "2"], None, "that the training split lacks"),
        (["0", "2", "2"], ["1"], None, "that the training split lacks"),
        (["a", "b"], ["c"], None, "that the training split lacks"),
        (["a"], ["b"], ("a", "b"), "that the training split lacks"),
        (["0", "1"], ["cat"], None, "is a name"),
        (["a", "c"], None, ("a", "b"), "not among the names"),
        (["a", ""], None, None, "is missing"),
        (["0", "nan"], None, None, "not a whole number"),
        (["0", "0.5"], None, None, "not a whole number"),
        (["0", "inf"], None, None, "not a whole number"),
    ],
)
def test_a_wrong_label_is_shown_with_its_place(train, val, names, message: str):
    error = error_of(train, val, names)
    assert message in error.where
    assert "line " in str(error.got)


def test_a_name_may_look_like_a_missing_number():
    assert resolve(["none", "some"]).class_names == ("none", "some")


def test_classes_without_images_are_said(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    resolve(["1", "2", "1"], ["2"])
    assert "'t.csv' has no images of 1 classes ('0'). Labels count from 0." in caplog.text
    assert "'v.csv' lacks 1 classes ('1'); not evaluated." in caplog.text


def test_nothing_is_said_when_all_is_well(caplog: pytest.LogCaptureFixture):
    resolve(["0", "1"], ["1", "0"])
    assert caplog.text == ""


def test_a_file_names_the_classes(tmp_path: Path):
    file = tmp_path / "names.txt"
    file.write_text("\ufeffgreat auk\nzebra \n\n", "utf-8")
    assert read_class_names(str(file)) == ("great auk", "zebra")
    assert read_class_names(None) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"a\n\nb", "line 2"), (b"a\nb\na", "line 3"), (b"\xe9\n", "is not in UTF-8")],
)
def test_a_wrong_file_of_names_is_refused(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_class_names(str(tmp_path / "names.txt"))


def test_a_missing_file_of_names_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.txt"):
        read_class_names(str(tmp_path / "gone.txt"))
