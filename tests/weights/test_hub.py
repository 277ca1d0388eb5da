"""`hf:user/name` is one file of safetensors from the Hub; nothing in it is executed.

The Hub is a local fake: in most tests of the function that fetches, in the last ones a server on this machine.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

import netaug
from netaug.cli import main
from netaug.core.errors import CheckpointError, UntrustedNetworkError
from netaug.weights.hub import fetch
from netaug.weights.metadata import ModelCard, save_weights

hub = pytest.importorskip("huggingface_hub")
CARD = ModelCard(
    name="micronet",
    options={},
    num_classes=10,
    in_chans=1,
    class_names=tuple("0123456789"),
    image_size=8,
    mean=(0.3,),
    std=(0.4,),
    crop_ratio=1.0,
    top1=None,
    val_split="test",
    netaug_version="0.1.0",
)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    """What the Hub was asked for; it has one file."""
    calls = []
    network = netaug.create_model("micronet", num_classes=10, in_chans=1)
    save_weights(tmp_path / "blob", network, CARD)

    def hf_hub_download(repo_id: str, filename: str, *, revision: str | None = None) -> str:
        calls.append((repo_id, filename, revision))
        return str(tmp_path / "blob")

    monkeypatch.setattr(hub, "hf_hub_download", hf_hub_download)
    return calls


def test_a_network_is_loaded_by_name(asked: list[tuple[str, str, str | None]], tmp_path: Path) -> None:
    network = netaug.load("hf:me/digits")
    assert asked == [("me/digits", "model.safetensors", None)]
    local = netaug.load(tmp_path / "blob").state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, local[name])


def test_a_revision_is_passed_on(asked: list[tuple[str, str, str | None]]) -> None:
    netaug.load("hf:me/digits@v1.0")
    assert asked == [("me/digits", "model.safetensors", "v1.0")]


def test_commands_take_the_name_too(
    asked: list[tuple[str, str, str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "hf:me/digits", "--data.name", "digits"]) == 0, capsys.readouterr().err
    assert "top-1" in capsys.readouterr().out
    assert set(asked) == {("me/digits", "model.safetensors", None)}


def test_a_training_starts_from_it(asked: list[tuple[str, str, str | None]], tmp_path: Path) -> None:
    weights = {"weights": "hf:me/digits", "options": {}}
    netaug.train("demo/digits", out=tmp_path / "run", epochs=1, data={"limit": 64}, model=weights)
    assert asked


@pytest.mark.parametrize(
    "name", ["hf:", "hf:digits", "hf:me/../../etc", "hf:a/b/c", "hf:me/digits@", "hf:me/a b"]
)
def test_a_wrong_name_never_reaches_the_hub(name: str, asked: list[tuple[str, str, str | None]]) -> None:
    with pytest.raises(CheckpointError, match="hf:USER/NAME"):
        netaug.load(name)
    assert not asked


def test_code_of_a_file_is_not_run(asked: list[tuple[str, str, str | None]], tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Malicious:
        def __reduce__(self) -> object:
            return (Path.touch, (ran,))

    (tmp_path / "blob").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(CheckpointError):
        netaug.load("hf:me/digits")
    assert not ran.exists()


def test_a_factory_of_somebody_is_not_imported(
    asked: list[tuple[str, str, str | None]], tmp_path: Path
) -> None:
    from dataclasses import replace

    network = netaug.create_model("micronet", num_classes=10, in_chans=1)
    save_weights(tmp_path / "blob", network, replace(CARD, name="antigravity_of_a_stranger:build"))
    with pytest.raises(UntrustedNetworkError):
        netaug.load("hf:me/digits")
    assert "antigravity_of_a_stranger" not in sys.modules


def test_what_the_hub_refuses_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(hub, "hf_hub_download", refuses)
    with pytest.raises(CheckpointError, match="no route to host"):
        fetch("hf:me/digits")


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"netaug\[hf\]"):
        fetch("hf:me/digits")


_REFUSALS = {"gated": (403, "GatedRepo"), "empty": (404, "EntryNotFound")}


class _Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does for a file; the name of the repository says how."""

    protocol_version = "HTTP/1.1"
    content = b""

    def do_GET(self) -> None:
        _, user, name, *rest = self.path.split("/")
        assert (user, rest[0], rest[2:]) == ("me", "resolve", ["model.safetensors"])
        code, refusal = _REFUSALS.get(name, (401, "RepoNotFound"))
        if name == "digits":
            code, refusal = (200, "") if rest[1] == "main" else (404, "RevisionNotFound")
        content = self.content if code == 200 else b""
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        if refusal:
            self.send_header("X-Error-Code", refusal)
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Hub on this machine with one network; yields the file that it has."""
    save_weights(tmp_path / "blob", netaug.create_model("micronet", num_classes=10, in_chans=1), CARD)
    monkeypatch.setattr(_Hub, "content", (tmp_path / "blob").read_bytes())
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as here:
        Thread(target=here.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{here.server_port}"
        download = partial(hub.hf_hub_download, endpoint=url, cache_dir=tmp_path / "cache")
        monkeypatch.setattr(hub, "hf_hub_download", download)
        yield tmp_path / "blob"
        here.shutdown()


def _disconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hf_hub_download", partial(hub.hf_hub_download, local_files_only=True))


def test_a_file_comes_over_the_wire_and_is_kept(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, local = netaug.load("hf:me/digits").state_dict(), netaug.load(server).state_dict()
    assert all(torch.equal(tensor, local[name]) for name, tensor in network.items())
    _disconnect(monkeypatch)
    assert fetch("hf:me/digits").read_bytes() == server.read_bytes()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hf:me/absent", "there is no repository of this name, or it is private"),
        ("hf:me/gated", "its owner gives access on request"),
        ("hf:me/empty", "the repository has no file model.safetensors"),
        ("hf:me/digits@v9", "the repository has no such branch, tag or commit"),
    ],
)
def test_a_refusal_of_the_hub_is_said_in_words(name: str, reason: str, server: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        fetch(name)
    assert caught.value.got == reason


def test_without_a_connection_the_message_says_so(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _disconnect(monkeypatch)
    with pytest.raises(CheckpointError) as caught:
        fetch("hf:me/digits")
    assert caught.value.got == "no connection, and the file has not been fetched before"
