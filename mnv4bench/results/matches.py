"""What matched what: COCO's per-image decisions, kept so that any resample of the images is arithmetic.

All four area ranges are kept. Detections hold them as ten bits each, which pack and compress to less than the scores
alone take, and APs, APm and APl can be resampled later without evaluating again.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv4bench.io.errors import DataError
from mnv4bench.io.files import replacing
from mnv4bench.results import manifest

AREAS = ("all", "small", "medium", "large")
"""Object areas: any, below 32², 32² to 96², above 96² pixels of the annotated image."""
IOU_THRESHOLDS = 10
"""0.50, 0.55, ..., 0.95."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""Recall levels at which COCO reads the interpolated precision."""


@dataclass(frozen=True, eq=False)
class MatchRecords:
    """COCOeval's decisions for one reading of one model on one split.

    Detections stand class after class, within a class by falling score, equal scores by image: COCOeval's own order.
    """

    image_ids: NDArray[np.int64]
    """(images,) ascending."""
    slices: NDArray[np.str_]
    """(images,) name of each image's diagnostic slice; empty where it has none."""
    category_ids: NDArray[np.int64]
    """(classes,) ascending."""
    image: NDArray[np.int32]
    """(detections,) index into image_ids."""
    category: NDArray[np.int32]
    """(detections,) index into category_ids, ascending."""
    score: NDArray[np.float64]
    """(detections,)"""
    tp: NDArray[np.bool_]
    """(areas, detections, thresholds) matched to an object that counts."""
    ignored: NDArray[np.bool_]
    """(areas, detections, thresholds) neither right nor wrong: on a crowd, or outside the area range."""
    objects: NDArray[np.int32]
    """(areas, images, classes) objects that count."""


AGAIN = "delete {folder}/metrics.json and start again to score the run anew"
"""Remedy of match records that cannot be used."""

_PACKED = ("tp", "ignored")
_SCORE, _STEPS = "score", "score_steps"
_UNIT = 10**6
"""Scores are kept to so many parts of 1 (evaluate.py), so steps between them are whole numbers."""


def save(path: Path, readings: Mapping[str, MatchRecords], small: bool = False) -> None:
    """Write readings into one compressed npz, as arrays "<reading>.<field>"; equal content gives equal bytes.

    Args:
        small: take half the room, and longer: by LZMA, and with scores as the steps between them.
    """
    compression = zipfile.ZIP_LZMA if small else zipfile.ZIP_DEFLATED
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", compression) as archive:
        for reading, records in sorted(readings.items()):
            for name, value in _arrays(records, small).items():
                # An explicit entry, because its date is fixed (1980) whatever the clock says.
                entry = zipfile.ZipInfo(f"{reading}.{name}.npy")
                entry.compress_type = compression
                with archive.open(entry, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, value, allow_pickle=False)


def _arrays(records: MatchRecords, small: bool) -> dict[str, NDArray[Any]]:
    """Return name → array as it is written."""
    arrays = {field.name: np.ascontiguousarray(getattr(records, field.name)) for field in fields(MatchRecords)}
    for name in _PACKED:
        arrays[name] = np.packbits(arrays[name], axis=-1, bitorder="little")
    parts = np.rint(arrays[_SCORE] * _UNIT).astype(np.int32)
    if small and np.array_equal(parts / _UNIT, arrays[_SCORE]):
        del arrays[_SCORE]
        arrays[_STEPS] = np.diff(parts, prepend=np.int32(0))
    return arrays


UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""What NumPy and zipfile raise for damaged archives: any byte may be the method, the password's flag or a length."""


def load(path: Path, wanted: Iterable[str] | None = None) -> dict[str, MatchRecords]:
    """Read a file that `save` wrote.

    Args:
        wanted: readings; None is all of them.

    Raises:
        DataError: the file is missing, damaged, or of another schema.
        FileError: it is not the one that the run's manifest names.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = sorted({name.rpartition(".")[0] for name in archive.files} if wanted is None else wanted)
            readings = {name: _records(archive, name) for name in names}
    except UNREADABLE as error:
        raise DataError(f"{path}: no match records ({error}); {AGAIN.format(folder=path.parent)}") from error
    manifest.check(path)
    return readings


def _records(archive: Mapping[str, NDArray[Any]], reading: str) -> MatchRecords:
    arrays = {
        field.name: archive[f"{reading}.{field.name}"]
        for field in fields(MatchRecords)
        if field.name != _SCORE or f"{reading}.{_STEPS}" not in archive
    }
    for name in _PACKED:
        arrays[name] = np.unpackbits(arrays[name], axis=-1, count=IOU_THRESHOLDS, bitorder="little").astype(np.bool_)
    if _SCORE not in arrays:
        arrays[_SCORE] = np.cumsum(archive[f"{reading}.{_STEPS}"], dtype=np.int64) / _UNIT
    return MatchRecords(**arrays)
