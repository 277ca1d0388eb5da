from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from netaug.core.errors import DataError
from netaug.data import load_image
from netaug.data.decode.image import decode_content, decode_file, read_size


@dataclass(frozen=True)
class Format:
    in_chans: int = 3
    image_size: int = 8
    crop_ratio: float = 1.0


def ramp(height: int = 12, width: int = 16) -> np.ndarray:
    """Smooth colors, so that lossy formats stay near."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y * 10, x * 10, (y + x) * 5], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_files_come_back_exactly(tmp_path: Path, suffix: str):
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(ramp()).save(path)
    assert np.array_equal(decode_file(str(path), 3).permute(1, 2, 0).numpy(), ramp())
    assert read_size(str(path)) == (12, 16)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png", ".bmp", ".gif"])
@pytest.mark.parametrize("in_chans", [1, 3])
def test_every_format_is_converted_to_the_channels_asked_for(tmp_path: Path, suffix: str, in_chans: int):
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(ramp()).save(path)
    image_CHW = decode_file(str(path), in_chans)
    assert image_CHW.shape == (in_chans, 12, 16)
    assert image_CHW.dtype == torch.uint8
    expected = np.asarray(Image.fromarray(ramp()).convert("L" if in_chans == 1 else "RGB"), np.float64)
    assert abs(image_CHW.double().mean().item() - expected.mean()) < 4


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_every_png_mode_becomes_color(tmp_path: Path, mode: str):
    path = tmp_path / "picture.png"
    Image.fromarray(ramp()).convert(mode).save(path)
    assert decode_file(str(path), 3).shape == (3, 12, 16)


def test_sixteen_bit_png_keeps_its_brightness(tmp_path: Path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(path)
    assert torch.equal(decode_file(str(path), 1), torch.full((1, 4, 4), 40_000 >> 8, dtype=torch.uint8))


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_photos_are_turned_upright(tmp_path: Path, suffix: str):
    path = tmp_path / f"turned{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    Image.fromarray(ramp()).save(path, exif=exif)
    assert decode_file(str(path), 3).shape == (3, 16, 12)


def test_the_content_counts_not_the_suffix(tmp_path: Path):
    path = tmp_path / "really_a_bitmap.jpg"
    Image.fromarray(ramp()).save(path, format="BMP")
    assert np.array_equal(decode_file(str(path), 3).permute(1, 2, 0).numpy(), ramp())


@pytest.mark.parametrize("in_chans", [1, 3])
def test_both_decoders_give_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_chans: int):
    for path in (tmp_path / "picture.jpg", tmp_path / "picture.png"):
        Image.fromarray(ramp()).save(path)
        fast = decode_file(str(path), in_chans)
        with monkeypatch.context() as patch:
            patch.setattr("netaug.data.decode.image.torchvision_decoder", lambda: None)
            assert np.abs(decode_file(str(path), in_chans).numpy() - fast.numpy().astype(int)).max() <= 1
            if in_chans == 3:
                assert torch.equal(decode_file(str(path), in_chans), fast)


def test_load_image_gives_one_image_in_the_networks_format(tmp_path: Path):
    path = tmp_path / "picture.png"
    Image.fromarray(ramp(40, 60)).save(path)
    assert load_image(path, Format()).shape == (1, 3, 8, 8)
    assert load_image(path, Format(in_chans=1, image_size=14, crop_ratio=0.875)).shape == (1, 1, 14, 14)


def write_whole_jpeg(path: Path) -> bytes:
    Image.fromarray(ramp(32, 32)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0 cut", b"\x89PNG\r\n\x1a\n cut"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str, content: bytes):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"broken{suffix}' does not decode") as caught:
        decode_file(str(path), 3)
    assert "skip" in str(caught.value.fix)
    assert "0x" not in str(caught.value)


def test_a_truncated_jpeg_is_an_error(tmp_path: Path):
    path = tmp_path / "cut.jpg"
    content = write_whole_jpeg(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="truncated"):
        decode_file(str(path), 3)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"no image file '.*gone\.jpg'"):
        load_image(tmp_path / "gone.jpg", Format())


def test_a_folder_is_no_image(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be read"):
        load_image(tmp_path, Format())


def test_other_channel_counts_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="4 channels"):
        load_image(tmp_path / "any.jpg", Format(in_chans=4))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_no_damage_to_a_file_ends_the_process(tmp_path: Path, suffix: str):
    """Each changed file decodes or is an error; torchvision's decoder of PNG crashes on such."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(
        file, {"png": "PNG", "jpg": "JPEG"}[suffix]
    )
    failed = 0
    for number in range(200):
        draws, content = np.random.default_rng(number), bytearray(file.getvalue())
        for place in draws.integers(30, len(content), 2):
            content[place] ^= draws.integers(1, 256)
        try:
            assert decode_content(content, "damaged", 3).dtype == torch.uint8
        except DataError:
            failed += 1
    assert failed > 0
