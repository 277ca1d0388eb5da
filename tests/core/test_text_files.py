"""Text files are UTF-8 or what their byte-order mark says; anything else is named, with file and way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.core.errors import DataError
from netaug.core.text_files import decode_xml, read_lines, read_text
from netaug.data.readers.class_names import read_class_names
from netaug.data.readers.table_files import read_columns

WORDS = "großer Alk\nオオウミガラス\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_says_the_encoding_and_is_no_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "words.txt").write_bytes(WORDS.encode(encoding))
    assert read_text(tmp_path / "words.txt") == WORDS
    assert read_lines(tmp_path / "words.txt") == ["großer Alk", "オオウミガラス"]
    assert read_class_names(str(tmp_path / "words.txt")) == ("großer Alk", "オオウミガラス")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_have_no_mark_in_their_first_column(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.tsv").write_bytes("path\tlabel\na.jpg\tオ\n".encode(encoding))
    assert read_columns(tmp_path / "t.tsv", ("path", "label")) == {"path": ["a.jpg"], "label": ["オ"]}


FOREIGN = {
    "gb2312": ("猫\n狗\n", "GB18030"),
    "shift_jis": ("ｶﾀｶﾅ猫\n", "SHIFT_JIS"),
    "latin-1": ("café\n", "ISO-8859-1"),
    "utf-16-le": ("cat\ndog\n", "UTF-16"),
}


@pytest.mark.parametrize("encoding", FOREIGN)
def test_other_encodings_are_named_and_not_guessed(tmp_path: Path, encoding: str) -> None:
    text, suspect = FOREIGN[encoding]
    path = tmp_path / "words.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(DataError) as caught:
        read_text(path, "list of images")
    assert f"the list of images '{path}' is not in UTF-8" in caught.value.where
    assert suspect in str(caught.value)
    assert "iconv -f" in str(caught.value.fix)


def test_lines_end_in_newlines_alone(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\u2028b\r\nc\x0bd\re", newline="")
    assert read_lines(tmp_path / "words.txt") == ["a\u2028b", "c\x0bd", "e"]


XML = '<?xml version="1.0" encoding="{}"?><a>{}</a>'


@pytest.mark.parametrize(
    ("declared", "actual", "word"),
    [
        ("gb2312", "gb2312", "猫"),
        ("GB2312", "gbk", "朱镕基"),  # of the wider encoding alone, under the narrower name
        ("big5", "big5", "貓"),
        ("Shift_JIS", "shift_jis", "ネコ"),
        ("euc-kr", "euc_kr", "고양이"),
        ("ISO-8859-1", "latin-1", "café"),
        ("UTF-16", "utf-8", "café"),  # as .NET writes a string
        ("utf-16", "utf-16", "猫"),
        ("gbk", "utf-8-sig", "猫"),
    ],
)
def test_xml_is_read_as_it_declares(declared: str, actual: str, word: str) -> None:
    text = XML.format(declared, word)
    assert decode_xml(text.encode(actual), "a.xml") == text


@pytest.mark.parametrize("declared", ["martian", "zlib", "unicode_escape", "idna", "rot13", "utf_7"])
def test_xml_in_an_unknown_encoding_is_named(declared: str) -> None:
    with pytest.raises(DataError, match=r"'a\.xml' declares an encoding that is unknown") as caught:
        decode_xml(XML.format(declared, "cat").encode(), "a.xml")
    assert declared in str(caught.value.got)


def test_xml_that_declares_another_encoding_than_it_has_is_named() -> None:
    with pytest.raises(DataError, match=r"'a\.xml' is not in UTF-8") as caught:
        decode_xml(XML.format("utf-8", "大熊猫").encode("gbk"), "a.xml")
    assert "GB18030" in str(caught.value)
    with pytest.raises(DataError, match=r"'a\.xml' is not in SHIFT_JIS"):
        decode_xml(XML.format("shift_jis", "ÿ").encode("latin-1"), "a.xml")
