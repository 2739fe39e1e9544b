"""Reading Pascal VOC's XML annotations (Everingham and Winn, The PASCAL VOC Challenge 2012 Development Kit)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from mnv4bench.data.content import file_content
from mnv4bench.io.errors import DataError

Pixels = tuple[float, float, float, float]


@dataclass(frozen=True)
class VocObject:
    name: str
    corners: Pixels
    """xmin, ymin, xmax, ymax as written: counted from 1, both ends inside the box."""
    difficult: bool
    line: int

    @property
    def box(self) -> list[float]:
        """COCO's [x, y, width, height], counted from 0."""
        left, top, right, bottom = self.corners
        return [_short(value) for value in (left - 1, top - 1, right - left + 1, bottom - top + 1)]

    @property
    def is_empty(self) -> bool:
        """Whether two ends are the same, as a click without a drag leaves them, and none in the wrong order."""
        left, top, right, bottom = self.corners
        return (left == right and top <= bottom) or (top == bottom and left <= right)


@dataclass(frozen=True)
class VocImage:
    file_name: str
    width: int
    height: int
    objects: list[VocObject]


@dataclass
class _Fields:
    """Texts of the elements that matter, with the line that each begins in."""

    texts: dict[str, str] = field(default_factory=dict)
    line: int = 1


def read_voc(path: Path) -> tuple[VocImage | None, list[str]]:
    """Return an annotation, and what is wrong with it ("file:line: …"); faulty objects are left out of it.

    None without a problem is an XML file of another kind. A missing <size> counts as 0×0.
    """
    try:
        top, items, root = _parse(path)
    except DataError as error:
        return None, [str(error)]
    except (LookupError, UnicodeError, expat.ExpatError) as error:
        return None, [f"{path}:{getattr(error, 'lineno', 1)}: not readable XML ({error})"]
    if root != "annotation":
        return None, []
    try:
        width, height = (int(float(top.texts.get(f"size/{side}", "0") or 0)) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None, [f"{path}:1: <size> needs whole <width> and <height>"]
    problems, objects = [], []
    for item in items:
        try:
            objects.append(_object(item))
        except (KeyError, ValueError) as error:
            problems.append(f"{path}:{item.line}: object needs <name> and four numbers in <bndbox> ({error})")
    return VocImage(top.texts.get("filename", "").strip(), width, height, objects), problems


def sound_objects(path: Path, objects: list[VocObject], width: int, height: int) -> tuple[list[VocObject], list[str]]:
    """Return the objects inside an image of that size, and the faults of the others, a line each."""
    faults = [(item, fault_of(item, width, height)) for item in objects]
    return [item for item, fault in faults if not fault], [
        f"{path}:{item.line}: {fault}" for item, fault in faults if fault
    ]


def fault_of(item: VocObject, width: int, height: int) -> str | None:
    """Return what is wrong with an object's box, if anything.

    Both ends lie inside a VOC box, so equal ends would be one pixel; no annotator means that, and it counts as no area.
    A pixel beyond the image is passed, since many tools count from 0 or write the far edge; it is clipped later.
    """
    left, top, right, bottom = item.corners
    if not item.name:
        return "object with a blank <name>"
    if not all(abs(value) < 1e9 for value in item.corners):
        return f"{item.name}: box {item.corners} is not finite"
    if right <= left or bottom <= top:
        return f"{item.name}: box {item.corners} has no area"
    if left < 0 or top < 0 or right > width + 1 or bottom > height + 1:
        return f"{item.name}: box {item.corners} lies outside its image ({width}×{height})"
    return None


def _object(item: _Fields) -> VocObject:
    left, top, right, bottom = (float(item.texts[f"bndbox/{key}"]) for key in ("xmin", "ymin", "xmax", "ymax"))
    difficult = item.texts.get("difficult", "0").strip() == "1"
    return VocObject(item.texts["name"].strip(), (left, top, right, bottom), difficult, item.line)


def _parse(path: Path) -> tuple[_Fields, list[_Fields], str]:
    top, items, stack, roots = _Fields(), list[_Fields](), list[str](), list[str]()
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def begin(tag: str, _: dict[str, Any]) -> None:
        if not stack:
            roots.append(tag)
        stack.append(tag)
        if stack[1:] == ["object"]:
            items.append(_Fields(line=parser.CurrentLineNumber))

    def end(_: str) -> None:
        stack.pop()

    def text(value: str) -> None:
        inside = stack[1:2] == ["object"]
        owner, place = (items[-1], "/".join(stack[2:])) if inside else (top, "/".join(stack[1:]))
        owner.texts[place] = owner.texts.get(place, "") + value

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text
    parser.Parse(_as_utf8(file_content(path, "annotation")), True)
    return top, items, roots[0]


def _as_utf8(content: bytes) -> bytes:
    """Return XML without a declared encoding that expat does not know (GB2312, Shift_JIS, …), as UTF-8.

    Raises:
        LookupError, UnicodeError: no such encoding, or other bytes than it has.
    """
    declared = re.match(rb"""\s*<\?xml[^>]*?encoding=["']([A-Za-z0-9._-]+)["'][^>]*\?>""", content)
    if declared is None or declared[1].lower() in (b"utf-8", b"utf-16", b"iso-8859-1", b"us-ascii"):
        return content
    return content[declared.end() :].decode(declared[1].decode("ascii")).encode()


def _short(value: float) -> float:
    return int(value) if value == int(value) else value
