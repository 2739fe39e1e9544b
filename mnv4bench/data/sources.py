"""Where the images of a spec come from, and a digest of its content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from mnv4bench.data import bccd, coco, scenes, voc
from mnv4bench.data.parts import Source
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import sha256
from mnv4bench.spec.run import DataSpec

ABSENT = "absent"


def source(spec: DataSpec, folder: Path) -> Source:
    """Return both splits; what is drawn lands below `folder`.

    Raises:
        DataError: the source is not there, or cannot be read.
    """
    if spec.name == "scenes":
        return scenes.source(spec, folder)
    if spec.name == "bccd":
        return bccd.source()
    return voc.source(spec) if spec.name == "voc" else coco.source(spec)


def source_digest(spec: DataSpec) -> str:
    """Return a SHA-256 that changes when what `prepare` would read changes.

    It takes seconds for a hundred thousand images: annotation files count by their bytes, images by name, size and time
    of modification. What is drawn or pinned to a commit cannot change; ABSENT where a folder is not there, which
    `prepare` reports.
    """
    if spec.name == "scenes":
        return "drawn"
    if spec.name == "bccd":
        return bccd.COMMIT
    result = hashlib.sha256()
    try:
        if spec.name == "voc":
            for place in voc.folders(spec):
                for line in _listing(place):
                    result.update(line.encode(errors="surrogateescape"))
            return result.hexdigest()
        folder = coco.locate(spec.location)
        for split in coco.splits(spec):
            result.update(f"{split} {sha256(coco.annotation_file(folder, split))}\n".encode())
            for line in _listing(coco.image_folder(folder, split)):
                result.update(line.encode(errors="surrogateescape"))
    except (OSError, DataError):
        return ABSENT
    return result.hexdigest()


def _listing(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(place) / name
            status = path.stat() if path.exists() else path.lstat()
            yield f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n"
