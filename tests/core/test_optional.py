"""A missing optional package is named with the extra that installs it, and how to do without."""

from __future__ import annotations

import json

import pytest

from netaug.core.errors import ConfigError, DataError, NetaugError
from netaug.core.optional import import_extra


def test_a_package_that_is_there_is_returned() -> None:
    assert import_extra("json", "hf", "the dataset 'hf'") is json


@pytest.mark.parametrize("kind", [DataError, ConfigError])
def test_a_missing_package_is_named_with_its_extra(kind: type[NetaugError]) -> None:
    with pytest.raises(kind, match="the table 't' needs") as caught:
        import_extra("netaug_no_such_package", "parquet", "the table 't'", "save it as CSV", error=kind)
    assert caught.value.fix == "pip install 'netaug[parquet]', or save it as CSV"
    assert "netaug_no_such_package" in str(caught.value.got)
