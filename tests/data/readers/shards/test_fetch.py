from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.readers.shards.fetch import cached_path, fetch_shards
from tests.data.shards import shards_of

Log = list[tuple[str, str | None]]


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder with ranges and ETags; ``cuts`` says after how many bytes the next answers break off."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.log, self.cuts, self.statuses = root, Log(), list[int](), list[int]()
        self.tag = '"one"'

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.log.append((self.path, wanted))
        file = self.server.root / self.path.lstrip("/")
        status = self.server.statuses.pop(0) if self.server.statuses else 200 if file.is_file() else 404
        if status != 200:
            return self.send_error(status)
        content, start = file.read_bytes(), 0
        if wanted and self.headers.get("If-Range") == self.server.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("ETag", self.server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        until = self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[start:until])

    def trickle(self) -> None:
        """A file that takes a minute."""
        self.send_response(200)
        self.send_header("Content-Length", str(10**9))
        self.end_headers()
        with contextlib.suppress(OSError):  # the other side has enough
            for _ in range(6000):
                self.wfile.write(bytes(2**16))
                time.sleep(0.01)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The folder ``two_classes`` as shards behind an address."""
    monkeypatch.setattr("netaug.data.readers.shards.fetch._PAUSE_SECONDS", 0.0)
    with Server(shards_of(two_classes, tmp_path / "shards")) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def content(server: Server, name: str) -> bytes:
    return (server.root / name).read_bytes()


def fetched(address: str) -> bytes:
    (path,) = fetch_shards([address])
    return Path(path).read_bytes()


def error_of(address: str) -> DataError:
    with pytest.raises(DataError) as caught:
        fetch_shards([address])
    return caught.value


def test_remote_shards_give_the_batches_of_local_ones(server: Server):
    settings = {
        "batch_size": 3,
        "image_size": 8,
        "cache": "none",
        "augment": "imagenet",
        "name": "webdataset",
    }
    patterns = {"train_split": "train/{000..002}.tar", "val_split": "val/{000..001}.tar"}
    local = build_data(DataConfig(**settings, root=str(server.root)), seed=1)  # type: ignore[arg-type]
    for root in (server.address, server.address + "/"):
        remote = build_data(DataConfig(**settings, **patterns, root=root), seed=1)  # type: ignore[arg-type]
        for a, b in zip(local.train.epoch(1), remote.train.epoch(1), strict=True):
            assert torch.equal(a.images_NCHW, b.images_NCHW)
            assert torch.equal(a.labels_N, b.labels_N)
    assert len(server.log) == 5  # each shard once


def test_what_is_fetched_needs_no_connection_any_more(server: Server):
    address = f"{server.address}/train/000.tar"
    assert fetched(address) == content(server, "train/000.tar")
    (server.root / "train/000.tar").unlink()
    fetched(address)
    assert len(server.log) == 1


def test_a_broken_connection_goes_on_where_it_broke(server: Server):
    server.cuts = [5000, 9000]
    assert fetched(f"{server.address}/train/000.tar") == content(server, "train/000.tar")
    assert [wanted for _, wanted in server.log] == [None, "bytes=5000-", "bytes=9000-"]


def test_another_start_goes_on_where_the_last_one_broke(server: Server):
    address = f"{server.address}/train/000.tar"
    server.cuts = [1000, 2000, 3000, 4000, 5000]
    assert "5,000 of" in str(error_of(address).got)
    assert not cached_path(address).exists()
    assert fetched(address) == content(server, "train/000.tar")
    assert server.log[-1][1] == "bytes=5000-"


def test_a_part_of_another_version_is_not_continued(server: Server):
    address = f"{server.address}/train/000.tar"
    server.cuts = [1000, 1000, 1000, 1000, 1000]
    error_of(address)
    server.tag = '"two"'
    (server.root / "train/000.tar").write_bytes(b"new" * 5000)
    assert fetched(address) == b"new" * 5000


def test_a_server_that_is_busy_is_asked_again(server: Server):
    server.statuses = [503, 429]
    assert fetched(f"{server.address}/val/000.tar") == content(server, "val/000.tar")


@pytest.mark.parametrize("name", ["gone.tar", "train"])
def test_an_address_without_a_file_is_named(server: Server, name: str):
    error = error_of(f"{server.address}/{name}")
    assert f"{server.address}/{name}" in error.where
    assert "404" in str(error.got)


def test_an_error_or_an_interrupt_ends_the_other_downloads(server: Server):
    names = [f"{server.address}/{name}.tar" for name in ("gone", "endless")]
    with pytest.raises(DataError, match="gone"):
        fetch_shards(names)
    assert not cached_path(names[1]).exists()


def test_no_answer_is_an_error_after_some_tries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netaug.data.readers.shards.fetch._PAUSE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "5 times" in str(error_of(f"http://127.0.0.1:{port}/a.tar").got)


def test_a_disk_that_is_too_small_is_said_before_it_is_full(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6}))
    error = error_of(f"{server.address}/train/000.tar")
    assert "too small" in error.where
    assert "NETAUG_CACHE" in str(error.fix)


def test_a_cache_that_cannot_be_written_is_said(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NETAUG_CACHE", str(server.root / "train/000.tar"))
    assert "cannot be kept" in error_of(f"{server.address}/train/000.tar").where


def test_buckets_are_read_through_fsspec(two_classes: Path, tmp_path: Path):
    """With fsspec's bucket in memory: it needs no further package."""
    root = shards_of(two_classes, tmp_path / "shards")
    bucket = fsspec.filesystem("memory")
    bucket.pipe_file("/bucket/000.tar", (root / "train/000.tar").read_bytes())
    assert fetched("memory://bucket/000.tar") == (root / "train/000.tar").read_bytes()
    assert "no such file" in str(error_of("memory://bucket/gone.tar").got)


@pytest.mark.parametrize("address", ["s4://bucket/a.tar", "simplecache::memory://bucket/000.tar"])
def test_other_addresses_are_refused(address: str):
    assert address in error_of(address).where


def test_a_bucket_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    assert "netaug[webdataset]" in str(error_of("s3://bucket/a.tar").fix)


def test_an_address_needs_patterns():
    config = DataConfig(name="webdataset", root="https://example.invalid/shards")
    with pytest.raises(DataError, match=r"data\.train_split is needed"):
        build_data(config, seed=0)


@pytest.mark.parametrize("moment", ["version", "part"])
def test_a_start_that_ends_while_another_version_begins_mixes_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The part at hand is of the old version: once the new one's name is written, it must be gone."""

    def ends(self: Path, *_: object, **__: object) -> None:
        if self.name.endswith(".part"):
            raise KeyboardInterrupt
        return plain(self, *_, **__)

    address, path = f"{server.address}/train/000.tar", server.root / "train/000.tar"
    server.cuts = [100] * 5
    with pytest.raises(DataError):
        fetch_shards([address])
    path.write_bytes(path.read_bytes()[::-1])
    server.tag = '"two"'
    plain = Path.open if moment == "part" else Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open" if moment == "part" else "unlink", ends)
        with pytest.raises(KeyboardInterrupt):
            fetch_shards([address])
    assert fetched(address) == path.read_bytes()
