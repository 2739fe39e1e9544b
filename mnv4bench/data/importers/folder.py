"""The files of a source folder, as some other tool or person left them."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from mnv4bench.io.errors import DataError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMAGES = _words(".avif .bmp .dib .gif .heic .heif .jfif .jp2 .jpe .jpeg .jpg .mpo .pgm .png .pnm .ppm .tif .tiff .webp")
"""Suffixes of files that are taken for images; one that cannot be read is refused by name."""
OTHERS = _words(".cache .csv .data .html .ipynb .json .jsonl .labels .md .names .pdf .py .txt .xml .yaml .yml")
"""Suffixes of files that are expected among images and need no report."""
ROLES = _words("annotation annotations annots image images img imgs jpegimages label labels obj_train_data xml xmls")
"""Folder names that tell the kind of file and not which image it belongs to."""
LARGEST_TEXT = 1 << 26


@dataclass(frozen=True)
class Folder:
    """A source, listed once."""

    root: Path
    files: list[Path]
    hidden: list[str]
    """Files and folders that were passed over: names with a leading dot, and what macOS adds to archives."""

    def of(self, *suffixes: str) -> list[Path]:
        """Return the files with one of the suffixes."""
        return [path for path in self.files if path.suffix.lower() in suffixes]

    @property
    def images(self) -> list[Path]:
        return self.of(*IMAGES)

    def named(self, path: Path) -> str:
        """Return a path as messages show it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def list_folder(root: Path) -> Folder:
    """Return all files below `root`; a link to a folder is followed once."""
    root = plain(root)
    files: list[Path] = []
    hidden: list[str] = []
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable") from error

    for place, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        hidden += [os.path.relpath(Path(place) / name, root) for name in (*folders, *names) if is_hidden(name)]
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        files += [Path(place) / name for name in names if not is_hidden(name)]
    return Folder(root, sorted(files), sorted(hidden))


def plain(path: Path) -> Path:
    """Return an absolute path without "..", so that paths below it can be told by their parts."""
    short = Path(os.path.normpath(path.absolute()))
    same = short.exists() and short.samefile(path)  # ".." behind a link leaves the folder that the link points to
    return short if same else path.resolve()


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is passed over by its name."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def text_of(path: Path) -> str:
    """Return a text file's content: UTF-8, or UTF-16 with its mark.

    Raises:
        DataError: unreadable, or in another encoding.
    """
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_TEXT:
            raise DataError(f"{path}: not a text file of less than {LARGEST_TEXT >> 20} MiB")
        content = path.read_bytes()
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        return content.decode(encoding)
    except UnicodeError as error:
        raise DataError(f"{path}:1: not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def lines_of(path: Path) -> list[str]:
    """Return a text file's lines without blanks around them; empty ones are left out."""
    return [line.strip() for line in text_of(path).splitlines() if line.strip()]


def own_parts(path: Path, root: Path) -> tuple[str, ...]:
    """Return the folders between `root` and a file, without those that only tell the kind of file."""
    return tuple(part for part in path.relative_to(root).parent.parts if part.lower() not in ROLES)


class ByName:
    """Files looked up by a path that may have been written on another machine."""

    def __init__(self, paths: Iterable[Path], root: Path) -> None:
        self._root = root
        self._by_stem: dict[str, list[Path]] = {}
        for path in paths:
            self._by_stem.setdefault(path.stem, []).append(path)

    def beside(self, path: Path) -> Path | None:
        """Return the file that belongs to `path`: of the same stem, in the same folder but for the kind's name."""
        candidates = self._by_stem.get(path.stem, [])
        parts = own_parts(path, self._root)
        close = [candidate for candidate in candidates if own_parts(candidate, self._root) == parts]
        return _only(close) or _only(candidates)

    def written(self, text: str, near: Path | None = None) -> Path | None:
        """Return the file that a written path means: the one that shares the most of its end.

        Args:
            near: a file beside which the path was written; of files that share as much, its neighbours win.
        """
        return _only(self._alike(text, near))

    def written_in(self, split: str | None, text: str, near: Path) -> Path | None:
        """Return what `written` does; of files that are still alike, the one in a folder of that split wins, or where
        it is None the one in a folder of no split."""
        best = self._alike(text, near)
        own = [path for path in best if split_in(path.relative_to(self._root).parent.parts) == split]
        return _only(best) or _only(own)

    def lost(self, text: str, near: Path | None = None) -> str:
        """Return why neither `written` nor `beside` finds an image: none of that name, or several.

        Args:
            text: the name as written; "" where nothing is.
            near: the file whose own stem names the image, too.
        """
        several = self._alike(text, near) or self._by_stem.get(near.stem if near else "", [])
        name = text or f"{near.stem if near else ''}.jpg"
        if len(several) < 2:
            return f"{name}: missing image file"
        found = ", ".join(path.relative_to(self._root).as_posix() for path in several)
        return f"{name}: several images of that name ({found}); give each a name of its own, or keep one"

    def _alike(self, text: str, near: Path | None) -> list[Path]:
        wanted = PurePath(text.replace("\\", "/"))
        candidates = [path for path in self._by_stem.get(wanted.stem, []) if path.name == wanted.name]
        shared = {path: _shared_end(path.parts, wanted.parts) for path in candidates}
        most = max(shared.values(), default=0)
        best = [path for path in candidates if shared[path] == most]
        if len(best) > 1 and near is not None:
            close = {path: _shared_start(path.parts, near.parts) for path in best}
            best = [path for path in best if close[path] == max(close.values())]
        return best


def _only(paths: Sequence[Path]) -> Path | None:
    return paths[0] if len(paths) == 1 else None


def _shared_end(left: Sequence[str], right: Sequence[str]) -> int:
    return _shared_start(left[::-1], right[::-1])


def _shared_start(left: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for ours, theirs in zip(left, right, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


SPLIT_NAMES = {
    "train": ("train", "training", "trainval"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def split_in(parts: Sequence[str]) -> str | None:
    """Return the split that the last telling part of a path names: train2017, valid, my_test, …"""
    for part in reversed(parts):
        words = re.split(r"[^a-z]+", part.lower())
        for split, names in SPLIT_NAMES.items():
            if any(word in names for word in words):
                return split
    return None
