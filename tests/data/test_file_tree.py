"""Links that lead back, pipes, sockets and devices in a dataset: nothing hangs, nothing is read twice."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netaug.api.image_files import image_files
from netaug.cli import main
from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.core.file_tree import FileTree
from netaug.core.regular_files import read_regular
from netaug.data import build_data
from netaug.data.decode.image import decode_file, read_size
from netaug.data.readers.folder import scan_folder
from netaug.data.readers.packed.layout import INDEX, PAYLOADS
from netaug.data.store import FileImages
from tests.data.reading import error_of


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """What waits for a pipe is ended."""

    def give_up(*_: object) -> None:
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def names(images: object) -> list[str]:
    assert isinstance(images, FileImages)
    return [os.path.relpath(images.path(index), images.folder) for index in range(len(images))]


def walked(tree: FileTree, *folders: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder, files in tree.walk(folders):
        found[folder] = sorted(found.get(folder, []) + files)
    return found


@pytest.mark.parametrize("target", [".", "..", "../..", "../../.."])
@pytest.mark.parametrize("links", [1, 2])
def test_a_link_that_leads_back_is_not_followed(
    two_classes: Path, target: str, links: int, caplog: pytest.LogCaptureFixture
) -> None:
    expected = names(scan_folder(two_classes, with_val=True).train.images)
    (two_classes / "train/cat/deep").mkdir()
    for number in range(links):
        (two_classes / f"train/cat/deep/back{number}").symlink_to(target)
    assert names(scan_folder(two_classes, with_val=True).train.images) == expected
    assert f"{links} links to folders that are read already" in caplog.text


def test_links_between_classes_leave_each_image_to_the_folder_it_is_in(two_classes: Path) -> None:
    expected = scan_folder(two_classes, with_val=True).train
    (two_classes / "train/cat/a").symlink_to("../dog")  # comes before the folder it leads to
    (two_classes / "train/dog/z").symlink_to("../cat")
    found = scan_folder(two_classes, with_val=True).train
    assert names(found.images) == names(expected.images)
    assert found.labels_N.tolist() == expected.labels_N.tolist()


def test_links_to_other_places_are_followed_once_and_sorted_in(two_classes: Path, tmp_path: Path) -> None:
    shutil.copytree(two_classes / "val/cat", tmp_path / "elsewhere/inner")
    (tmp_path / "elsewhere/inner/up").symlink_to("..")
    for name in ("000", "0000"):
        (two_classes / "train/cat" / name).symlink_to(tmp_path / "elsewhere")
    found = names(scan_folder(two_classes, with_val=True).train.images)
    assert len(found) == 13
    assert found[:6] == [
        "cat/000.jpg",
        "cat/000/inner/000.jpg",
        "cat/000/inner/001.jpg",
        "cat/000/inner/002.jpg",
        "cat/001.jpg",
        "cat/002.jpg",
    ]


@pytest.mark.parametrize("target", ["cat", ".", ".."])
def test_a_class_folder_that_is_a_link_into_the_split_is_refused(two_classes: Path, target: str) -> None:
    (two_classes / "train/kitten").symlink_to(target)
    with pytest.raises(DataError, match="kitten' is a link to a folder that is read already"):
        scan_folder(two_classes, with_val=True)


def test_class_folders_may_be_links_to_other_places(two_classes: Path, tmp_path: Path) -> None:
    expected = names(scan_folder(two_classes, with_val=True).train.images)
    for name in ("cat", "dog"):
        shutil.move(two_classes / "train" / name, tmp_path / f"all-{name}")
        (two_classes / "train" / name).symlink_to(tmp_path / f"all-{name}")
    assert names(scan_folder(two_classes, with_val=True).train.images) == expected


def make_special(folder: Path) -> None:
    """A pipe, a socket, a link to a device and a link to itself, all called like images."""
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        os.chdir(folder)  # names of sockets are short
        bound.bind("socket.jpg")
        os.chdir(before)
    (folder / "zero.jpg").symlink_to("/dev/zero")


def test_pipes_sockets_and_devices_are_left_out_of_class_folders(
    two_classes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_special(two_classes / "train/dog")
    data = build_data(DataConfig("folder", root=str(two_classes), batch_size=2, image_size=8), seed=0)
    assert data.info.train_size == 10
    assert "holds 3 named pipes, sockets or devices" in caplog.text
    assert main(["data", "check", "folder", "--data.root", str(two_classes), "--no-speed"]) == 0


@pytest.mark.parametrize(
    ("name", "kind"), [("pipe.jpg", "a named pipe"), ("socket.jpg", "a socket"), ("zero.jpg", "a device")]
)
def test_they_are_refused_where_a_list_names_them(two_classes: Path, name: str, kind: str) -> None:
    make_special(two_classes)
    for read in (decode_file, lambda path, _: read_size(path)):
        with pytest.raises(DataError, match="cannot be read") as caught:
            read(str(two_classes / name), 3)
        assert caught.value.got == f"it is {kind}, not a file"
    with pytest.raises(OSError, match=f"it is {kind}"):
        read_regular(two_classes / name)
    for split, rows in (
        ("train", [("train/cat/001.jpg", "cat"), (name, "dog")]),
        ("val", [("val/cat/001.jpg", "cat")]),
    ):
        lines = "".join(f"{path},{label}\n" for path, label in rows)
        (two_classes / f"{split}.csv").write_text(f"path,label\n{lines}")
    error = error_of(DataConfig("table", root=str(two_classes), batch_size=1, image_size=8))
    assert error.got == f"it is {kind}, not a file"


def test_predict_leaves_them_out_of_a_folder(two_classes: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = two_classes / "val/cat"
    expected = image_files([str(folder)])
    make_special(folder)
    (folder / "again").symlink_to(".")
    assert image_files([str(folder)]) == expected
    assert "holds 3 named pipes" in caplog.text


@pytest.mark.parametrize("name", [INDEX, PAYLOADS])
def test_a_pipe_in_a_packed_dataset_is_refused(two_classes: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "packed"
    assert main(["data", "pack", "folder", "--data.root", str(two_classes), "--out", str(out)]) == 0
    (out / name).unlink()
    os.mkfifo(out / name)
    error = error_of(DataConfig("packed", root=str(out), batch_size=2, image_size=8))
    assert "it is a named pipe" in str(error.got)


def test_a_link_to_itself_is_no_folder(two_classes: Path) -> None:
    (two_classes / "train/self").symlink_to("self")
    assert scan_folder(two_classes, with_val=True).class_names == ("cat", "dog")
    (two_classes / "train/cat/self.jpg").symlink_to("self.jpg")
    assert main(["data", "check", "folder", "--data.root", str(two_classes), "--no-speed"]) == 1


def test_a_tree_is_walked_from_its_top_and_hidden_folders_on_demand(tmp_path: Path) -> None:
    for name in ("a/b", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").touch()
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "again").symlink_to("a")
    assert walked(FileTree(tmp_path, hidden=False), ".") == {".": ["a/b/x"]}
    tree = FileTree(tmp_path)
    assert walked(tree, ".") == {".": [".hidden/x", "a/b/x"]}
    assert tree.read_before == ["a/up", "again"]


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    (tmp_path / "lost.jpg").symlink_to("gone.jpg")
    for name in ("never.jpg", "lost.jpg"):
        for read in (decode_file, lambda path, _: read_size(path)):
            with pytest.raises(DataError, match=r"there is no image file '.*'") as caught:
                read(str(tmp_path / name), 3)
    assert caught.value.got == "a link that leads nowhere, to 'gone.jpg'"
