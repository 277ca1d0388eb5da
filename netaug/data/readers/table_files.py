"""Tables of image paths and labels, read from CSV, TSV and Parquet files into columns of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from netaug.core.errors import DataError
from netaug.core.optional import import_extra
from netaug.core.text_files import read_text
from netaug.data.labels import shown

SUFFIXES = (".csv", ".tsv", ".parquet")
_DELIMITERS = ",\t;"
_TEXT_LIMIT = 2**20  # characters of one cell: a file that is not a table ends here


def read_columns(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[str]]:
    """Read columns of a table.

    Args:
        path: A CSV, TSV or Parquet file. Text is as for :func:`read_text`, with a header line; fields are separated by
            comma, tab or semicolon, whichever the header has most of.
        needed: Columns that must be there.
        optional: Columns that are read if they are there.

    Returns:
        Each column's values as text in the order of the rows; a missing value is empty.

    Raises:
        DataError: The file is missing, damaged, empty or without a needed column.
    """
    if not path.is_file():
        raise DataError(f"there is no table '{path}'.", allowed=f"a file ending in {', '.join(SUFFIXES)}")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"'{path}' is not known as a table.",
            got=f"a file ending in '{path.suffix}'",
            allowed=", ".join(SUFFIXES),
        )
    columns = (_read_parquet if path.suffix.lower() == ".parquet" else _read_text)(path, needed, optional)
    if not any(columns.values()):
        raise DataError(f"the table '{path}' has no rows.", got="nothing below the names of the columns")
    return columns


def place_in(path: Path, row: int) -> str:
    """Return where a row is, for messages; rows count from 0."""
    return f"row {row}" if path.suffix.lower() == ".parquet" else f"row {row + 1} below the header"


def _chosen(path: Path, columns: Sequence[str], needed: Sequence[str], optional: Sequence[str]) -> list[str]:
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(
            f"the table '{path}' has no column {shown(missing)}.",
            got=f"columns {shown(columns)}" if columns else "no columns",
            allowed="a header line with the names of the columns, path and label unless settings name others",
            fix="name the columns: --data.image_column NAME --data.label_column NAME",
        )
    repeated = [name for name in needed if list(columns).count(name) > 1]
    if repeated:
        raise DataError(
            f"the table '{path}' has more than one column {shown(repeated)}.", got=f"columns {shown(columns)}"
        )
    return [*needed, *(name for name in optional if name in columns)]


def _read_text(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, list[str]]:
    file = io.StringIO(read_text(path, "table"), newline="")
    delimiter = max(_DELIMITERS, key=file.readline().count)
    file.seek(0)
    try:
        return _rows(path, csv.reader(file, delimiter=delimiter, strict=True), needed, optional)
    except csv.Error as error:
        raise DataError(f"the table '{path}' is damaged.", got=error, allowed="a CSV file") from None


def _rows(path: Path, rows: Any, needed: Sequence[str], optional: Sequence[str]) -> dict[str, list[str]]:
    header = [name.strip() for name in next(rows, [])]
    if not header:
        raise DataError(f"the table '{path}' is empty.", allowed="a header line and a line per image")
    names = _chosen(path, header, needed, optional)
    positions = [header.index(name) for name in names]
    columns: list[list[str]] = [[] for _ in names]
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(
                f"line {rows.line_num} of the table '{path}' does not fit its header.",
                got=f"{len(row)} fields: {shown(row)}",
                allowed=f"{len(header)} fields: {shown(header)}",
                fix='put fields that hold the delimiter in quotes: "a, b.jpg"',
            )
        for column, position in zip(columns, positions, strict=True):
            column.append(row[position].strip())
    return dict(zip(names, columns, strict=True))


def _read_parquet(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, list[str]]:
    parquet = import_extra("pyarrow.parquet", "parquet", f"the table '{path}'", "save it as CSV")
    arrow = import_extra("pyarrow", "parquet", f"the table '{path}'", "save it as CSV")
    try:
        with parquet.ParquetFile(path) as file:
            names = _chosen(path, file.schema_arrow.names, needed, optional)
            types = {name: file.schema_arrow.field(name).type for name in names}
            table = file.read(columns=names)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(
            f"the table '{path}' is damaged.", got=error, allowed="a whole Parquet file"
        ) from None
    nested = [
        f"{name} ({kind})" for name, kind in types.items() if arrow.types.is_nested(kind) or _is_bytes(kind)
    ]
    if nested:
        raise DataError(
            f"columns of the table '{path}' hold neither text nor numbers: {', '.join(nested)}.",
            allowed="paths of image files; class indices or class names",
            fix="for images inside of Parquet files use Hugging Face datasets: --data.name hf",
        )
    return {name: list(_texts(table.column(name))) for name in names}


def _is_bytes(kind: Any) -> bool:
    return str(kind) in ("binary", "large_binary")


def _texts(column: Any) -> Iterator[str]:
    for chunk in column.chunks:
        for value in chunk.to_pylist():
            yield "" if value is None else str(value).strip()
