"""Where a YOLO folder says what its classes and splits are: data.yaml, Darknet's obj.data, or a list of names alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4bench.data.importers.folder import SPLIT_NAMES, ByName, Folder, lines_of, list_folder, split_in
from mnv4bench.data.importers.yolo_rows import RowFormat
from mnv4bench.io.errors import DataError
from mnv4bench.spec.yamlfile import YamlFile

NAME_LISTS = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "predefined_classes.txt")


@dataclass(frozen=True)
class Layout:
    origin: Path
    """The file that holds the names."""
    form: RowFormat
    splits: dict[str, list[Path]]
    """Images by split; those of no split, where the source knows none, by "all"."""
    lists: tuple[Path, ...] = ()
    """Text files that are no labels."""


def configuration(folder: Folder, chosen: Path | None = None) -> Path | None:
    """Return the file that holds the names: `chosen`, data.yaml or a YAML file with names, obj.data, or a list."""
    if chosen is not None:
        return chosen
    yamls = sorted(folder.of(".yaml", ".yml"), key=lambda path: (len(path.parts), path.name != "data.yaml"))
    standard = [path for path in yamls if path.name == "data.yaml"]
    listed = [path for path in folder.files if path.name in NAME_LISTS]
    for candidates in (standard, [path for path in yamls if _has_names(path)], folder.of(".data")):
        if candidates:
            _refuse_several(folder, [path for path in candidates if len(path.parts) == len(candidates[0].parts)])
            return candidates[0]
    if len({tuple(lines_of(path)) for path in listed}) > 1:
        _refuse_several(folder, listed)
    return min(listed, key=lambda path: len(path.parts), default=None)


def _refuse_several(folder: Folder, paths: list[Path]) -> None:
    if len(paths) > 1:
        names = ", ".join(folder.named(path) for path in paths)
        raise DataError(f"{folder.root}: several files say what the classes are ({names}); import one set, or keep one")


def _has_names(path: Path) -> bool:
    try:
        return path.is_file() and "names" in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def layout(folder: Folder, config: Path) -> Layout:
    """Return what the file says.

    Raises:
        DataError: no names, or names and their number do not agree.
        SpecError: a file that is not valid YAML.
    """
    if config.suffix.lower() in (".yaml", ".yml"):
        return _from_yaml(folder, config)
    if config.suffix == ".data":
        return _from_darknet(folder, config)
    splits: dict[str, list[Path]] = {}
    for path in folder.images:
        splits.setdefault(split_in(path.relative_to(folder.root).parent.parts) or "all", []).append(path)
    return Layout(config, RowFormat(_class_names(config, lines_of(config))), splits, (config,))


def _from_yaml(folder: Folder, config: Path) -> Layout:
    content = YamlFile(config, as_text=True).content
    content = content if isinstance(content, dict) else {}
    names = _names(config, content)
    if "nc" in content and str(content["nc"]).strip() != str(len(names)):
        raise DataError(f"{config}: nc is {content['nc']}, but names has {len(names)} entries; correct one of them")
    here = config.parent.absolute()
    root = here / (_given(content, "path") or ".")
    root = root if root.is_dir() else here  # a `path` that is not here means a set that was moved
    splits, lists = {}, list[Path]()
    for split, words in SPLIT_NAMES.items():
        for word in words:
            value = _given(content, word)
            if value and split not in splits and (split != "test" or _exists(root, value)):
                splits[split] = _images(folder, root, value, lists)
    if not splits.get("train"):
        raise DataError(f"{config}: `train` names no image (looked below {root})")
    return Layout(config, RowFormat(names, _keypoints(config, content)), splits, tuple(lists))


def _given(content: dict[str, Any], key: str) -> Any:
    """Return a value that is not left open."""
    value = content.get(key)
    return None if value in ("", "~", "null", "Null", "NULL") else value


def _exists(root: Path, value: Any) -> bool:
    """Return whether a split is there; exports often name a test split that they do not hold."""
    return all(_place(root, str(entry)).exists() for entry in (value if isinstance(value, list) else [value]))


def _names(config: Path, content: dict[str, Any]) -> list[str]:
    """Return class names from a list or from a mapping, in the order of the indices."""
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DataError(f"{config}: needs `names`, a list of class names or a mapping from index to name")
    try:
        by_index = {int(index): str(name) for index, name in names.items()}
    except ValueError as error:
        raise DataError(f"{config}: names: indices must be whole numbers ({error})") from error
    if sorted(by_index) != list(range(len(by_index))):
        raise DataError(f"{config}: names: indices must run from 0 without gaps, not {sorted(by_index)}")
    return _class_names(config, [by_index[index] for index in range(len(by_index))])


def _class_names(config: Path, names: list[str]) -> list[str]:
    if not names or not all(name.strip() for name in names):
        raise DataError(f"{config}: names: a class name may not be blank")
    if len(set(names)) != len(names):
        raise DataError(f"{config}: names: each class name may appear only once")
    return names


def _keypoints(config: Path, content: dict[str, Any]) -> tuple[int, int] | None:
    shape = _given(content, "kpt_shape")
    if shape is None:
        return None
    if not isinstance(shape, list) or len(shape) != 2 or not all(str(side).isdigit() for side in shape):
        raise DataError(f"{config}: kpt_shape: needs two whole numbers, points and numbers a point, not {shape}")
    return int(shape[0]), int(shape[1])


def _images(folder: Folder, root: Path, value: Any, lists: list[Path]) -> list[Path]:
    """Return the images that a split names: a folder, a text file with a path a line, or a list of these."""
    result: list[Path] = []
    for entry in value if isinstance(value, list) else [value]:
        place = _place(root, str(entry).replace("\\", "/"))
        if place.is_dir():
            inside = folder if place.is_relative_to(folder.root) else list_folder(place)
            result += [path for path in inside.images if path.is_relative_to(place)]
        elif place.is_file() and place.suffix == ".txt":
            lists.append(place)
            result += _listed(folder, place, root)
        else:
            raise DataError(f"{place}: neither a folder of images nor a .txt list of them")
    return list(dict.fromkeys(result))


def _place(root: Path, entry: str) -> Path:
    place = root / entry
    # Exports often write ../train/images for a folder beside data.yaml.
    while not place.exists() and entry.startswith("../"):
        entry = entry.removeprefix("../")
        place = root / entry
    return Path(os.path.normpath(place))


def _listed(folder: Folder, path: Path, root: Path) -> list[Path]:
    """Return the images that a list names, by paths as they were on the machine that wrote it."""
    by_name = ByName(folder.images, folder.root)
    result = []
    for line in lines_of(path):
        line = line.replace("\\", "/")
        # As ultralytics reads them: a leading ./ is relative to the text file.
        exact = Path(os.path.normpath((path.parent if line.startswith("./") else root) / line))
        result.append(exact if exact.is_file() else by_name.written(line) or exact)
    return result


def _from_darknet(folder: Folder, config: Path) -> Layout:
    pairs = (line.partition("=") for line in lines_of(config))
    fields = {key.strip().lower(): value.strip() for key, _, value in pairs}
    texts = ByName(folder.of(".names", ".txt", ".labels"), folder.root)
    names_file = texts.written(fields.get("names", "")) or texts.written("obj.names")
    if names_file is None:
        raise DataError(f"{config}: `names` is {fields.get('names')!r}, which is not there")
    names = _class_names(names_file, lines_of(names_file))
    if "classes" in fields and fields["classes"] != str(len(names)):
        raise DataError(f"{config}: classes is {fields['classes']}, but {names_file.name} holds {len(names)} names")
    splits, lists = {}, [names_file]
    for split, words in SPLIT_NAMES.items():
        place = next((texts.written(fields[word]) for word in words if fields.get(word)), None)
        if place is not None:
            lists.append(place)
            splits[split] = _listed(folder, place, place.parent)
    return Layout(config, RowFormat(names), splits or {"all": folder.images}, tuple(lists))
