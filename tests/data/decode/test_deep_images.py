"""Images of more than 8 bits: scaled by their range, said once, the same everywhere."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netaug.cli import main
from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.decode.deep_images import eight_bits, is_deep, warn_of_deep
from netaug.data.decode.image import decode_content
from netaug.data.store import FileImages
from netaug.datacheck.look import file_forms
from tests.data.detection.making import config_for, small_voc

RAMP = np.linspace(0, 1, 9)[None].repeat(3, 0)
EVEN = np.rint(255 * RAMP)


def encoded(values: np.ndarray, kind: str, **options: object) -> bytearray:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return bytearray(file.getvalue())


def pgm(highest: int, plain: bool = False) -> bytearray:
    values = np.rint(RAMP * highest).astype(">u2")
    header = f"P{2 if plain else 5}\n{values.shape[1]} {values.shape[0]}\n{highest}\n".encode()
    return bytearray(header + (" ".join(map(str, values.ravel())).encode() if plain else values.tobytes()))


def scaled(highest: float, kind: type) -> np.ndarray:
    return (RAMP * highest).astype(kind)


SIXTEEN = {"tiffinfo": {281: 1000}}
WHOLE = {
    "16 bits, PNG": encoded(scaled(65535, np.uint16), "PNG"),
    "16 bits, TIFF": encoded(scaled(65535, np.uint16), "TIFF"),
    "16 bits, TIFF, LZW": encoded(scaled(65535, np.uint16), "TIFF", compression="tiff_lzw"),
    "12 bits in 16, TIFF": encoded(scaled(4095, np.uint16), "TIFF"),
    "8 bits in 16, TIFF": encoded(scaled(255, np.uint16), "TIFF"),
    "declared, TIFF": encoded(scaled(1000, np.uint16), "TIFF", **SIXTEEN),
    "32 bits, TIFF": encoded(scaled(1_000_000, np.int32), "TIFF"),
    "12 bits in 32, TIFF": encoded(scaled(4095, np.int32), "TIFF"),
    "negative, TIFF": encoded(scaled(3000, np.int32) - 1000, "TIFF"),
    "float to 1, TIFF": encoded(scaled(1, np.float32), "TIFF"),
    "float to 70,000, TIFF": encoded(scaled(70_000, np.float32), "TIFF"),
    "float to 0.001, TIFF": encoded(scaled(0.001, np.float32), "TIFF"),
    "12 bits, PGM": pgm(4095),
    "10 bits, PGM": pgm(1023),
    "16 bits, PGM": pgm(65535),
    "12 bits, plain PGM": pgm(4095, plain=True),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("in_chans", [1, 3])
def test_a_ramp_over_the_whole_range_stays_one(name: str, in_chans: int) -> None:
    image_CHW = decode_content(WHOLE[name], "x", in_chans).numpy()
    assert image_CHW.shape == (in_chans, 3, 9)
    assert np.abs(image_CHW.astype(int) - EVEN).max() <= 1
    assert is_deep(WHOLE[name])
    assert "sixteen_bit" in file_forms(WHOLE[name], "x", 3)


def test_sixteen_bits_keep_the_bits_they_had() -> None:
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(1, -1)
    for kind in ("PNG", "TIFF"):
        assert (decode_content(encoded(values, kind), "x", 1)[0].numpy() == values >> 8).all()


def test_siblings_keep_their_colors(tmp_path: Path) -> None:
    rgb = np.stack([RAMP, 1 - RAMP, 0 * RAMP], -1) * 255
    image = Image.fromarray(rgb.astype(np.uint8))
    for mode in ("RGB", "RGBA", "P", "CMYK", "L", "LA", "1"):
        kind = "TIFF" if mode == "CMYK" else "PNG"
        content = bytearray(saved(image.convert(mode), kind))
        assert not is_deep(content)
        expected = np.asarray(image.convert(mode).convert("RGB"))
        assert (decode_content(content, "x", 3).permute(1, 2, 0).numpy() == expected).all()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_of_several_pages_the_first_is_read() -> None:
    pages = [Image.fromarray(scaled(white, np.uint16)) for white in (4095, 65535)]
    content = bytearray(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert np.abs(decode_content(content, "x", 1)[0].numpy() - EVEN).max() <= 1


@pytest.mark.parametrize(
    ("values", "white", "expected"),
    [
        ([0, 100, 200], None, [0, 100, 200]),  # 8 bits in more
        ([0, 2048, 4000], None, [0, 128, 249]),
        ([0, 500, 2000], 1000, [0, 31, 125]),  # declared wrongly: the smallest range that holds it
        ([-5, 0, 5], 255, [0, 128, 255]),
        ([7, 7, 7], 7, [255, 255, 255]),
        ([0, 0, 0], None, [0, 0, 0]),
        ([0.0, 0.5, np.nan], None, [0, 128, 0]),
        ([-np.inf, 0.25, 1.0], None, [0, 64, 255]),
        ([0.0, 128.0, 255.0], None, [0, 128, 255]),
    ],
)
def test_the_range_of_values(values: list[float], white: float | None, expected: list[int]) -> None:
    assert eight_bits(np.array([values]), white)[0].tolist() == expected


def test_without_a_finite_value_there_is_no_image() -> None:
    with pytest.raises(DataError, match="does not decode") as caught:
        decode_content(encoded(np.full((2, 2), np.nan, np.float32), "TIFF"), "x", 3)
    assert "no finite value" in str(caught.value.got)


@pytest.fixture
def deep_folder(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(3):
                values = scaled(4095, np.uint16) // (1 + label + number)
                Image.fromarray(values).save(tmp_path / split / name / f"{number}.tif")
            Image.fromarray(scaled(255, np.uint8)).save(tmp_path / split / name / "flat.png")
    return tmp_path


def test_training_evaluation_and_packs_agree_and_say_it_once(
    deep_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def pixels(name: str, root: Path, cache: str) -> list[list[int]]:
        config = DataConfig(
            name, root=str(root), batch_size=8, image_size=9, augment="none", cache=cache, flip=False
        )
        data = build_data(config, seed=0)
        return [batch.images_NCHW.flatten().tolist() for batch in (*data.train.epoch(0), *data.val)]

    expected = pixels("folder", deep_folder, "none")
    assert max(expected[0]) == 255
    assert caplog.text.count("12 of 16 images have more than 8 bits") == 1
    assert pixels("folder", deep_folder, "ram") == expected
    out = deep_folder / "packed"
    words = ["data", "pack", "folder", "--data.root", str(deep_folder), "--out", str(out)]
    caplog.clear()
    assert main([*words, "--encoding", "pixels"]) == 0
    assert caplog.text.count("12 of 16 images have more than 8 bits") == 1
    assert pixels("packed", out, "none") == expected


def test_the_data_check_counts_them(deep_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "folder", "--data.root", str(deep_folder), "--no-speed"]) in (0, 1)
    assert "12 have more than 8 bits per channel" in capsys.readouterr().out


def test_what_looks_black_in_a_format_with_a_white_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        Image.fromarray(scaled(4000, np.uint16)).save(tmp_path / f"{number}.png")
    Image.fromarray(scaled(65535, np.uint16)).save(tmp_path / "3.png")
    warn_of_deep([FileImages(str(tmp_path), [f"{number}.png" for number in range(4)], 3)])
    assert "4 of 4 images have more than 8 bits" in caplog.text
    assert "3 of them look black" in caplog.text


def test_detection_says_it_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = small_voc(tmp_path)
    for path in (root / "JPEGImages").glob("a*.png"):
        with Image.open(path) as image:
            width, height = image.size
        Image.fromarray(np.full((height, width), 40_000, np.uint16)).save(path)
    build_data(config_for(root, val_split="val"), seed=0)
    assert "8 of 13 images have more than 8 bits" in caplog.text


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"<!DOCTYPE html><html>not found</html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIF"),
        (b"MM\0*\0\0\0\x08\0\0\0\0\0\0", "a TIFF file of a kind"),
    ],
)
def test_what_a_file_is_instead_is_said(start: bytes, kind: str) -> None:
    with pytest.raises(DataError) as caught:
        decode_content(bytearray(start), "x.jpg", 3)
    assert kind in str(caught.value.got)
