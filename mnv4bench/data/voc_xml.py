"""Reading Pascal VOC's XML annotations (Everingham and Winn, The PASCAL VOC Challenge 2012 Development Kit)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

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
    """Return an annotation, and what is wrong with it ("file:line: …"); faulty objects are left out of it."""
    try:
        top, items = _parse(path)
    except (OSError, expat.ExpatError) as error:
        return None, [f"{path}:{getattr(error, 'lineno', 1)}: not readable XML ({error})"]
    try:
        width, height = int(top.texts["size/width"]), int(top.texts["size/height"])
    except (KeyError, ValueError):
        return None, [f"{path}:1: needs <size> with whole <width> and <height>"]
    problems, objects = [], []
    for item in items:
        try:
            found = _object(item)
        except (KeyError, ValueError) as error:
            problems.append(f"{path}:{item.line}: object needs <name> and four numbers in <bndbox> ({error})")
            continue
        fault = fault_of(found, width, height)
        if fault:
            problems.append(f"{path}:{found.line}: {fault}")
        else:
            objects.append(found)
    name = top.texts.get("filename", "")
    return VocImage(name, width, height, objects), problems


def fault_of(item: VocObject, width: int, height: int) -> str | None:
    """Return what is wrong with an object's box, if anything.

    Both ends lie inside a VOC box, so equal ends would be one pixel; no annotator means that, and it counts as no area.
    A pixel beyond the image is passed, since many tools count from 0 or write the far edge; it is clipped later.
    """
    left, top, right, bottom = item.corners
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


def _parse(path: Path) -> tuple[_Fields, list[_Fields]]:
    top, items, stack = _Fields(), list[_Fields](), list[str]()
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def begin(tag: str, _: dict[str, Any]) -> None:
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
    parser.Parse(path.read_bytes(), True)
    return top, items


def _short(value: float) -> float:
    return int(value) if value == int(value) else value
