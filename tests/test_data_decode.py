"""One decoder for checking, training, scoring, timing and figures."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from ultralytics.data.base import BaseDataset

from mnv4bench.data import scenes
from mnv4bench.data.decode import decode, orientation, read_image
from mnv4bench.data.letterbox import letterbox
from mnv4bench.data.png import encode_png
from mnv4bench.io.errors import DataError
from mnv4bench.models.yolo import CocoDataset

BCCD = Path(os.environ.get("MNV4BENCH_DATA", "")) / "BCCD_Dataset" / "BCCD" / "JPEGImages"
LOSSLESS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}


def noise(height: int = 20, width: int = 33) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(7)).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, kind: str, turn: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", LOSSLESS)
def test_every_orientation_is_applied(kind: str, turn: int) -> None:
    content = encoded(noise(), kind, turn, **LOSSLESS[kind])
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(decode(content, Path("x")), upright)
    assert orientation(content) == turn


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_jpeg_is_what_opencv_makes_of_it(tmp_path: Path, turn: int) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(noise(), "JPEG", turn))
    assert np.array_equal(read_image(path), cv2.imread(str(path))[..., ::-1])


def test_training_scoring_and_figures_see_the_same_upright_picture(tmp_path: Path) -> None:
    pixels = np.zeros((64, 32, 3), np.uint8)
    pixels[:32] = 255  # the upper half, once upright
    path = tmp_path / "a.png"
    path.write_bytes(encoded(np.ascontiguousarray(np.rot90(pixels)), "PNG", 6))
    assert np.array_equal(read_image(path), pixels)
    assert letterbox(path, 64).pixels[:, :, 16:48].tolist() == (pixels.transpose(2, 0, 1) / 255).tolist()
    trained, original, _ = training_set([path]).load_image(0)
    assert original == (64, 32)
    assert np.array_equal(trained, pixels[..., ::-1])


def training_set(files: list[Path], imgsz: int = 64) -> CocoDataset:
    sizes = np.array([read_image(file).shape[:2] for file in files])
    empty = [np.empty((0, 4))] * len(files), [np.empty(0)] * len(files)
    return CocoDataset(files, sizes, *empty, {0: "a"}, imgsz, None)


def plain_files(tmp_path: Path) -> list[Path]:
    for index in range(5):
        (tmp_path / f"{index}.png").write_bytes(encode_png(scenes.scene(0, "train", index, 96)[0]))
    return [*sorted(tmp_path.glob("*.png")), *sorted(BCCD.glob("*.jpg"))[:40]]


@pytest.mark.parametrize("imgsz", [64, 96, 224])
def test_plain_photographs_and_scenes_keep_the_pixels_that_networks_were_trained_on(tmp_path: Path, imgsz: int) -> None:
    files = plain_files(tmp_path)
    ours = training_set(files, imgsz)
    for position, file in enumerate(files):
        assert np.array_equal(read_image(file), cv2.imread(str(file))[..., ::-1])
        theirs, *sizes = BaseDataset.load_image(ours, position)
        pixels, *own_sizes = ours.load_image(position)
        assert np.array_equal(pixels, theirs)
        assert own_sizes == sizes


def test_an_array_beside_an_image_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise()).save(path)
    np.save(tmp_path / "a.npy", np.zeros((20, 33, 3), np.uint8))
    assert training_set([path], 33).load_image(0)[0].any()


def grey16(kind: str) -> bytes:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_to_eight(kind: str) -> None:
    pixels = decode(grey16(kind), Path("x"))
    assert pixels.shape == (16, 16, 3)
    assert pixels[..., 0].ravel().tolist() == list(range(256))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_three_channels_of_sixteen_bits_are_scaled_to_eight(suffix: str) -> None:
    pixels = noise()
    done, content = cv2.imencode(suffix, pixels[..., ::-1].astype(np.uint16) * 257)
    assert done
    assert np.array_equal(decode(content.tobytes(), Path("x")), pixels)


def retagged(content: bytes, tag: int, old: int, new: int) -> bytes:
    """Return a TIFF with another value of a tag that holds one short number."""
    before, after = (struct.pack("<HHIHxx", tag, 3, 1, value) for value in (old, new))
    assert content.count(before) == 1
    return content.replace(before, after)


def test_sixteen_bits_that_count_from_white_are_turned_over() -> None:
    photometric = 262
    pixels = decode(retagged(grey16("TIFF"), photometric, 1, 0), Path("x"))
    assert pixels[..., 0].ravel().tolist() == list(range(255, -1, -1))


def test_sixteen_bits_in_separate_planes_are_refused_with_the_reason() -> None:
    planes = 284
    _, content = cv2.imencode(".tif", noise().astype(np.uint16) * 257)
    with pytest.raises(DataError, match=r"^a\.tif: 16-bit channels in separate planes; "):
        decode(retagged(content.tobytes(), planes, 1, 2), Path("a.tif"))


def test_a_damaged_avif_is_refused_with_the_reason() -> None:
    try:
        content = encoded(noise(), "AVIF")
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow writes no AVIF: {error}")
    with pytest.raises(DataError, match=r"^a\.avif: corrupt or truncated image"):
        decode(content.replace(b"iloc", b"free"), Path("a.avif"))


MODES = [(kind, mode) for kind in ("PNG", "TIFF") for mode in ("L", "1", "P", "LA", "RGBA")]


@pytest.mark.parametrize(("kind", "mode"), [*MODES, ("TIFF", "CMYK")])
def test_every_common_mode_becomes_rgb(kind: str, mode: str) -> None:
    stream = io.BytesIO()
    image = Image.fromarray(noise()).convert(mode)
    image.save(stream, kind)
    pixels = decode(stream.getvalue(), Path("x"))
    assert (pixels.shape, pixels.dtype) == ((20, 33, 3), np.uint8)
    assert np.array_equal(pixels, np.asarray(image.convert("RGB")))


def test_floating_point_samples_are_refused_with_the_reason() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.ones((4, 4), np.float32)).save(stream, "TIFF")
    with pytest.raises(DataError, match=r"^a\.tif: floating-point samples; convert"):
        decode(stream.getvalue(), Path("a.tif"))


def test_too_many_pixels_are_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 500_000)
    with pytest.raises(DataError, match=r"a\.png: more than 1 megapixels; scale the image down"):
        decode(encoded(np.zeros((1200, 1000, 3), np.uint8), "PNG"), Path("a.png"))


@pytest.mark.parametrize("size", [(1, 401), (401, 1)])
def test_an_image_that_letterboxing_rounds_to_nothing_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "thin.png")
    with pytest.raises(DataError, match=r"thin\.png: .* nothing is left at 160 pixels"):
        letterbox(tmp_path / "thin.png", 160)


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(DataError, match=f"{name}: not a regular file"):
            read_image(tmp_path / name)
