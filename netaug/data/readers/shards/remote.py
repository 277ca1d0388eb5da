"""A remote file as a stream: http and https by Python itself, buckets through fsspec."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from netaug.core.errors import DataError, first_line
from netaug.core.optional import import_extra

_TIMEOUT_SECONDS = 60
_FOR_A_WHILE = frozenset({408, 425, 429, 500, 502, 503, 504})


class TransientError(Exception):
    """A failure that may be over at the next try."""


@dataclass(frozen=True)
class Remote:
    """An open remote file.

    Args:
        stream: Its bytes from ``start`` on.
        start: The first byte that comes.
        size: Bytes of the whole file; None if the server does not say.
        version: Names this state of the file; empty if the server does not say.
    """

    stream: IO[bytes]
    start: int
    size: int | None
    version: str

    def read(self, count: int) -> bytes:
        """Return the next bytes, empty at the end; raises :class:`TransientError` if the connection breaks."""
        try:
            return self.stream.read(count)
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(first_line(error) or type(error).__name__) from None


@contextmanager
def open_remote(address: str, start: int, version: str) -> Iterator[Remote]:
    """Open a remote file.

    Args:
        address: ``http://...``, ``https://...``, or one that fsspec knows, such as ``s3://...`` and ``gs://...``.
        start: Bytes at hand already.
        version: The state of the file that they are of.

    Yields:
        The stream; it begins at 0 if the file is of another state or the server cannot begin elsewhere.

    Raises:
        DataError: The address is wrong, refused, or needs a package that is missing.
        TransientError: It failed in a way that may be over at the next try.
    """
    is_http = address.lower().startswith(("http://", "https://"))
    remote = _open_http(address, start, version) if is_http else _open_bucket(address, start, version)
    with remote.stream:
        yield remote


def _open_http(address: str, start: int, version: str) -> Remote:
    # "identity": offsets into a compressed transfer would not be offsets into the file.
    request = urllib.request.Request(address, headers={"User-Agent": "netaug", "Accept-Encoding": "identity"})
    if start and version:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", version)  # the whole file comes if it is of another version by now
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # the part at hand is the whole, or longer: begin again
                return _open_http(address, 0, "")
            if error.code in _FOR_A_WHILE:
                raise TransientError(f"the server answers {error.code}") from None
            raise _refused(address, f"the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise TransientError(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(first_line(error) or type(error).__name__) from None
    except ValueError as error:
        raise _refused(address, first_line(error)) from None
    headers, goes_on = answer.headers, answer.status == 206
    length = headers.get("Content-Length")
    begin = start if goes_on else 0
    size = int(length) + begin if length is not None and length.isdigit() else None
    tag = headers.get("ETag") or ""
    strong = "" if tag.startswith("W/") else tag  # a weak tag may stand for different bytes
    return Remote(answer, begin, size, strong or headers.get("Last-Modified") or "")


def _open_bucket(address: str, start: int, version: str) -> Remote:
    fsspec = import_extra("fsspec", "webdataset", f"'{address}'")
    if "::" in address:
        raise _refused(address, "a chain of addresses")
    try:
        files, path = fsspec.core.url_to_fs(address)
        facts: dict[str, Any] = files.info(path)
        now = str(facts.get("ETag") or facts.get("etag") or facts.get("mtime") or facts.get("created") or "")
        begin = start if now and now == version else 0
        stream = files.open(path, "rb")
        stream.seek(begin)
    except (ImportError, ValueError) as error:  # no package for this kind of address, or no such kind
        raise DataError(
            f"'{address}' cannot be opened.",
            got=first_line(error),
            allowed="http://, https://, s3://, gs:// and what fsspec knows",
            fix="pip install 'netaug[webdataset]' brings the packages for s3:// and gs://",
        ) from None
    except FileNotFoundError:
        raise _refused(address, "there is no such file") from None
    except PermissionError as error:
        raise _refused(address, first_line(error) or "no permission") from None
    except Exception as error:  # each kind of bucket has errors of its own
        raise TransientError(f"{type(error).__name__}: {first_line(error)}") from None
    return Remote(stream, begin, facts.get("size"), now)


def _refused(address: str, reason: str) -> DataError:
    return DataError(
        f"the shard '{address}' cannot be fetched.",
        got=reason,
        fix="look the address up, and whether it may be read without a login",
    )
