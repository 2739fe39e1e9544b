"""The one place where image files become pixels: checking, training, scoring, timing and figures all decode here."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from mnv4bench.data.content import file_content
from mnv4bench.io.errors import DataError

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB, upright."""

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError)
"""What Pillow raises for a bad image, the last for AVIF. Of an unknown one it says UnidentifiedImageError, or
ImportError where ultralytics is imported too, whose Image.open looks for a HEIF reader before it gives up."""
BY_OPENCV = frozenset({"JPEG", "MPO", "PNG", "BMP", "WEBP"})
"""Formats that OpenCV decodes, which is faster and what ultralytics does; Pillow reads the others, since OpenCV passes
over a TIFF's orientation and cannot read some of its kinds."""
DEEP = {"F": "floating-point", "I": "32-bit integer"}
"""Pillow's modes whose range of values is not known, so that no scaling to 8 bits would be right; but of PGM, which has
at most 16 bits, mode I holds those."""


def read_image(path: Path) -> Pixels:
    """Return an image file's pixels.

    Raises:
        DataError: not a regular file, not an image, or one that cannot be shown in 8 bits per channel.
    """
    return decode(file_content(path), path)


def decode(content: bytes, path: Path, whole: bool = False) -> Pixels:
    """Return the pixels of an encoded image, turned as its EXIF orientation asks, in 8 bits per channel.

    Alpha is dropped, 16 bits keep their high byte, and of several frames the first counts.

    Args:
        path: named in errors.
        whole: decode with Pillow too, which notices missing data that OpenCV fills with grey.

    Raises:
        DataError: names the file and the reason.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:  # other libraries in the process may have told Pillow to pass over missing data
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode in DEEP and (image.mode, image.format) != ("I", "PPM"):
                raise DataError(f"{path}: {DEEP[image.mode]} samples; convert the image to 8 bits per channel")
            if image.format == "TIFF" and _planes_of_16_bits(image):
                raise DataError(f"{path}: 16-bit channels in separate planes; convert the image to 8 bits per channel")
            if image.format not in BY_OPENCV:
                return _by_pillow(image)
            orientation = _orientation(image, content)
            if whole:
                image.load()
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise DataError(f"{path}: more than {limit} megapixels; scale the image down") from error
    except (UnidentifiedImageError, ImportError) as error:
        raise DataError(f"{path}: corrupt or truncated image, or of a format that cannot be read") from error
    except UNREADABLE as error:
        raise DataError(f"{path}: corrupt or truncated image ({error})") from error
    return _turned(_by_opencv(content, path), orientation)


def orientation(content: bytes) -> int:
    """Return the EXIF orientation of an encoded image that can be decoded, 1 to 8."""
    with Image.open(io.BytesIO(content)) as image:
        return _orientation(image, content)


def _by_opencv(content: bytes, path: Path) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise DataError(f"{path}: corrupt or truncated image")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _planes_of_16_bits(image: Image.Image) -> bool:
    """Whether Pillow, and OpenCV too, would take the bytes of a TIFF's samples for pixels."""
    return _tiff_tag(image, "PlanarConfiguration") == 2 and 16 in (_tiff_tag(image, "BitsPerSample") or ())


def _tiff_tag(image: Image.Image, name: str) -> Any:
    """Return a tag of a TIFF (TIFF 6.0); None where it has none of this name."""
    return image.tag_v2.get(ExifTags.Base[name])  # type: ignore[attr-defined]


def _by_pillow(image: Image.Image) -> Pixels:
    image.load()
    if image.mode.startswith("I"):
        values = (np.asarray(image) >> 8).astype(np.uint8)
        from_white = image.format == "TIFF" and _tiff_tag(image, "PhotometricInterpretation") == 0
        high = Image.fromarray(255 - values if from_white else values)
        high.info = image.info
        image = high
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _orientation(image: Image.Image, content: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    if image.format == "PNG":
        if (
            b"eXIf" not in content
        ):  # without this look, Pillow would decode the whole image for a chunk behind the pixels
            return 1
        image.load()
    try:
        if image.format in BY_OPENCV:
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
        else:
            exif = image.getexif()  # a TIFF has it among its own tags, and `exif_transpose` goes by it
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except (*UNREADABLE, TypeError, KeyError):
        return 1


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Return the upright picture (CIPA DC-008, tag 0x0112)."""
    if orientation not in range(2, 9):
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
