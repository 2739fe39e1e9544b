"""Layouts and oddities that labelling tools and hand-made sets have: read right, or refused by name."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv4bench.data.importers.importing import import_dataset
from mnv4bench.data.prepare import check_folder
from mnv4bench.io.errors import DataError, Mnv4benchError
from mnv4bench.io.files import read_json

SIDE = (40, 20)
"""Width and height of every picture."""
BOX = [8.0, 4.0, 16.0, 8.0]
ROW = "{} 0.4 0.4 0.4 0.4"
"""The same box as YOLO writes it."""
NAMES = [f"im{number}" for number in range(1, 7)]


def picture(path: Path, seed: str | None = None, turn: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.Generator(np.random.PCG64(list((seed or str(path.name)).encode())))
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(random.integers(0, 256, (SIDE[1], SIDE[0], 3), dtype=np.uint8)).save(path, exif=exif)


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def xml(name: str = "red", size: tuple[int, int] | None = SIDE, box: tuple[int, ...] = (9, 5, 24, 12)) -> str:
    ends = "".join(f"<{end}>{value}</{end}>" for end, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    told = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation>\n{told}\n<object>\n<name>{name}</name><bndbox>{ends}</bndbox></object>\n</annotation>"


def coco(names: list[str], **fields: Any) -> str:
    images = [{"id": k, "file_name": name, "width": SIDE[0], "height": SIDE[1]} for k, name in enumerate(names, 1)]
    boxes = [{"id": k, "image_id": k, "category_id": 1, "bbox": BOX, "iscrowd": 0} for k in range(1, len(names) + 1)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "red"}], **fields}
    return json.dumps(content)


def yolo(
    src: Path, images: str = "images/{}", labels: str = "labels/{}", yaml: str | None = None, suffix: str = ".jpg"
) -> None:
    """Write four training and two validation images with one box each."""
    for position, name in enumerate(NAMES):
        split = "train" if position < 4 else "val"
        picture(src / images.format(split) / f"{name}{suffix}")
        write(src / labels.format(split) / f"{name}.txt", ROW.format(position % 2))
    write(src / "data.yaml", yaml or "train: images/train\nval: images/val\nnc: 2\nnames: [red, blue]\n")


def voc(src: Path, images: str = "JPEGImages", annotations: str = "Annotations", names: list[str] = NAMES) -> None:
    for name in names:
        picture(src / images / f"{name}.jpg", name)
        write(src / annotations / f"{name}.xml", xml())


def imported(src: Path, **options: Any) -> tuple[str, dict[str, list[Any]]]:
    """Import and check; return what was told, and by file name the boxes of both splits."""
    target = src.parent / "dst"
    message = import_dataset(src, target, **options)
    check_folder(target)
    boxes: dict[str, list[Any]] = {}
    for split in ("train", "val"):
        content = read_json(target / "annotations" / f"instances_{split}2017.json")
        classes = {record["id"]: record["name"] for record in content["categories"]}
        by_id = {record["id"]: boxes.setdefault(record["file_name"], [split]) for record in content["images"]}
        for row in content["annotations"]:
            by_id[row["image_id"]].append((classes[row["category_id"]], row["bbox"]))
    return message, boxes


def refusal(src: Path, **options: Any) -> str:
    with pytest.raises(Mnv4benchError) as caught:
        imported(src, **options)
    return str(caught.value)


def splits(boxes: dict[str, list[Any]]) -> dict[str, str]:
    return {name: rows[0] for name, rows in boxes.items()}


HALVES = {f"{name}.jpg": "train" if position < 4 else "val" for position, name in enumerate(NAMES)}


# --- where labels lie ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/{}", "labels/{}"),
        ("images/{}", "images/{}"),  # beside the images
        ("images/{}", "images/{}/labels"),
        ("{}/images", "{}/labels"),
        ("{}", "{}"),
    ],
)
def test_labels_are_found_beside_or_near_their_images(tmp_path: Path, images: str, labels: str) -> None:
    yaml = f"train: {images.format('train')}\nval: {images.format('val')}\nnames: [red, blue]\n"
    yolo(tmp_path / "src", images, labels, yaml)
    _, boxes = imported(tmp_path / "src")
    assert splits(boxes) == HALVES
    assert [boxes[f"{name}.jpg"][1] for name in NAMES] == [("red", BOX), ("blue", BOX)] * 3


def test_labels_of_which_none_is_used_are_refused_with_both_lists(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    for path in (tmp_path / "src" / "images").rglob("*.jpg"):
        path.rename(path.with_stem(f"{path.stem}_resized"))
    text = refusal(tmp_path / "src")
    assert re.search("6 label files and none belongs to any of 6 images", text)
    assert "labels/train/im1.txt" in text
    assert "images/train/im1_resized.jpg" in text


def test_a_label_without_image_and_an_image_without_label_are_told(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    (tmp_path / "src" / "images" / "train" / "im1.jpg").unlink()
    (tmp_path / "src" / "labels" / "train" / "im2.txt").unlink()
    message, boxes = imported(tmp_path / "src")
    assert "text files that belong to no image: 1 (labels/train/im1.txt)" in message
    assert "taken as background: 1 (images/train/im2.jpg)" in message
    assert boxes["im2.jpg"] == ["train"]


# --- splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["val", "valid", "validation"])
def test_every_name_of_the_validation_split_is_known(tmp_path: Path, key: str) -> None:
    yolo(tmp_path / "src", yaml=f"train: images/train\n{key}: images/val\nnames: [red, blue]\n")
    assert splits(imported(tmp_path / "src")[1]) == HALVES


def test_a_test_split_is_left_out_by_name(tmp_path: Path) -> None:
    yolo(tmp_path / "src", yaml="train: images/train\nval: images/val\ntest: images/test\nnames: [red, blue]\n")
    picture(tmp_path / "src" / "images" / "test" / "t.jpg")
    message, boxes = imported(tmp_path / "src")
    assert "Left out, images of test: 1 (images/test/t.jpg)" in message
    assert splits(boxes) == HALVES


def unsplit_yolo(src: Path) -> None:
    for position, name in enumerate(NAMES):
        folder = src / ("data" if position < 4 else "val")
        picture(folder / f"{name}.jpg")
        write(folder / f"{name}.txt", ROW.format(0))
    write(src / "classes.txt", "red\n")


def unsplit_voc(src: Path) -> None:
    voc(src, "data", "data", NAMES[:4])
    voc(src, "val", "val", NAMES[4:])


def unsplit_coco(src: Path) -> None:
    for name in NAMES:
        picture(src / "images" / f"{name}.jpg")
    write(src / "annotations.json", coco([f"{name}.jpg" for name in NAMES[:4]]))
    write(src / "annotations_val.json", coco([f"{name}.jpg" for name in NAMES[4:]]))


def unsplit_whole_coco(src: Path) -> None:
    unsplit_coco(src)
    write(src / "annotations.json", coco([f"{name}.jpg" for name in NAMES]))


@pytest.mark.parametrize("make", [unsplit_yolo, unsplit_voc, unsplit_coco, unsplit_whole_coco])
def test_images_of_no_split_beside_a_validation_split_are_trained_on(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "src")
    message, boxes = imported(tmp_path / "src")
    assert splits(boxes) == HALVES
    assert "Divided" not in message
    assert "Taken as train, images of no split beside a validation split: " in message


def test_equal_pictures_stay_on_one_side_of_a_split_made_here(tmp_path: Path) -> None:
    names = [f"im{number}" for number in range(30)]
    voc(tmp_path / "src", names=names)
    for name in names:
        content = (tmp_path / "src" / "JPEGImages" / f"{name}.jpg").read_bytes()
        write(tmp_path / "src" / "JPEGImages" / f"copy_of_{name}.jpg", content)
        write(tmp_path / "src" / "Annotations" / f"copy_of_{name}.xml", xml())
    message, boxes = imported(tmp_path / "src")
    assert "Divided by a hash" in message
    assert all(boxes[f"{name}.jpg"][0] == boxes[f"copy_of_{name}.jpg"][0] for name in names)


def test_equal_pictures_of_a_half_are_told_with_whether_their_labels_agree(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    images, labels = (tmp_path / "src" / kind / "train" for kind in ("images", "labels"))
    for name, copy, row in (("im1", "again", ROW.format(1)), ("im2", "too", ROW.format(1))):
        write(images / f"{copy}.jpg", (images / f"{name}.jpg").read_bytes())
        write(labels / f"{copy}.txt", row)
    message, _ = imported(tmp_path / "src")
    alike = "Equal images in train, labelled alike: 1 (im2.jpg = too.jpg); each counts"
    differing = "Equal images in train, labelled differently: 1 (again.jpg = im1.jpg); they contradict each other"
    for lines in (message, check_folder(tmp_path / "dst")):
        assert lines.count(differing) == lines.count(alike) == 1
        assert "Equal images in val" not in lines


def test_an_image_of_both_halves_with_other_labels_is_told(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    write(tmp_path / "src/images/train/im1.jpg", (tmp_path / "src/images/val/im5.jpg").read_bytes())
    assert "Of them" not in imported(tmp_path / "src")[0]
    write(tmp_path / "src/labels/train/im1.txt", ROW.format(1))
    shutil.rmtree(tmp_path / "dst")
    assert (
        "Of them, labelled differently in val: 1 (images/train/im1.jpg = images/val/im5.jpg)"
        in imported(tmp_path / "src")[0]
    )


def test_an_image_that_the_source_has_in_both_halves_is_only_scored(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    content = (tmp_path / "src" / "images" / "val" / "im5.jpg").read_bytes()
    write(tmp_path / "src" / "images" / "train" / "im1.jpg", content)
    message, boxes = imported(tmp_path / "src")
    assert "Left out of train, images that are also in val: 1 (images/train/im1.jpg)" in message
    assert splits(boxes) == {name: half for name, half in HALVES.items() if name != "im1.jpg"}


def test_halves_of_the_same_images_are_refused(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    for name, other in zip(NAMES[:4], NAMES[4:] * 2, strict=True):
        content = (tmp_path / "src" / "images" / "val" / f"{other}.jpg").read_bytes()
        write(tmp_path / "src" / "images" / "train" / f"{name}.jpg", content)
    assert "every image of train is also in val; remove val" in refusal(tmp_path / "src")


@pytest.mark.parametrize(
    "line", ["images\\train\\{}", "data/images/train/{}", "C:\\me\\set\\images\\train\\{}", "./{}"]
)
def test_lists_written_on_another_machine_are_read(tmp_path: Path, line: str) -> None:
    src = tmp_path / "src"
    yolo(src, yaml="path: .\ntrain: images/train/train.txt\nval: images/val\nnames: {0: red, 1: blue}\n")
    write(src / "images" / "train" / "train.txt", "\r\n".join(line.format(f"{name}.jpg") for name in NAMES[:4]))
    _, boxes = imported(src)
    assert splits(boxes) == HALVES
    assert all(len(rows) == 2 for rows in boxes.values())


@pytest.mark.parametrize("source", ["../src", "../other/../src", "linked/../src", "../src/data.yaml"])
@pytest.mark.parametrize("listed", [False, True])
def test_a_source_may_be_named_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, listed: bool
) -> None:
    yolo(
        tmp_path / "src",
        yaml=f"train: images/{'train.txt' if listed else 'train'}\nval: images/val\nnames: [red, blue]",
    )
    write(tmp_path / "src" / "images" / "train.txt", "\n".join(f"images/train/{name}.jpg" for name in NAMES[:4]))
    for folder in ("work", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "work" / "linked").symlink_to(tmp_path / "other")  # behind it, ".." is not the folder before it
    monkeypatch.chdir(tmp_path / "work")
    message = import_dataset(Path(source), tmp_path / "dst")
    assert "Wrote 4 images to train2017 and 2 images to val2017" in message
    assert "images in no split" not in message


# --- files that are not images ---------------------------------------------------------------------------------------


def test_hidden_files_and_folders_are_passed_over_and_told_once(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    images = tmp_path / "src" / "images" / "train"
    picture(images / ".ipynb_checkpoints" / "im1-checkpoint.jpg")
    write(images / "._im1.jpg", b"\0\5\26\7")
    write(images / "__MACOSX" / "im1.jpg", b"\0\5\26\7")
    message, boxes = imported(tmp_path / "src")
    assert splits(boxes) == HALVES
    assert [line for line in message.splitlines() if "hidden files" in line] == [
        "Passed over, hidden files and folders: 3 "
        "(images/train/._im1.jpg, images/train/.ipynb_checkpoints, images/train/__MACOSX)"
    ]


def test_rarer_suffixes_are_read_and_unknown_ones_told(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    folder = tmp_path / "src" / "images" / "train"
    for number, suffix in enumerate((".jfif", ".mpo", ".JPG2"), 1):
        (folder / f"im{number}.jpg").rename(folder / f"im{number}{suffix}")
    message, boxes = imported(tmp_path / "src")
    assert {"im1.jfif", "im2.mpo"} < set(boxes)
    assert "files of an unknown kind: 1 (images/train/im3.JPG2)" in message


def test_a_pipe_among_the_images_is_refused_at_once(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    os.mkfifo(tmp_path / "src" / "images" / "train" / "pipe.jpg")
    assert "pipe.jpg: not a regular file" in refusal(tmp_path / "src")


# --- classes and rows ------------------------------------------------------------------------------------------------


def test_names_are_the_words_that_stand_in_the_file(tmp_path: Path) -> None:
    yolo(tmp_path / "src", yaml="train: images/train\nval: images/val\nnames: [yes, no]\n")
    assert imported(tmp_path / "src")[1]["im1.jpg"] == ["train", ("yes", BOX)]


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("nc: 3\nnames: [red, blue]", "nc is 3, but names has 2 entries"),
        ("names: [red, ' ']", "a class name may not be blank"),
        ("names: [red, blue]\nkpt_shape: 4", "kpt_shape: needs two whole numbers"),
        ("names: &a [*a]", "not valid YAML"),
    ],
)
def test_a_yaml_file_that_contradicts_itself_is_refused(tmp_path: Path, yaml: str, message: str) -> None:
    yolo(tmp_path / "src", yaml=f"train: images/train\nval: images/val\n{yaml}\n")
    assert message in refusal(tmp_path / "src")


@pytest.mark.parametrize(("points", "numbers"), [(8, 2), (4, 3)])
def test_of_a_row_with_key_points_the_box_is_kept(tmp_path: Path, points: int, numbers: int) -> None:
    shape = f"kpt_shape: [{points}, {numbers}]"
    yolo(tmp_path / "src", yaml=f"train: images/train\nval: images/val\nnames: [red, blue]\n{shape}\n")
    for path in (tmp_path / "src" / "labels").rglob("*.txt"):
        write(path, path.read_text() + " 0.9" * points * numbers)
    assert imported(tmp_path / "src")[1]["im2.jpg"] == ["train", ("blue", BOX)]
    write(tmp_path / "src" / "labels" / "train" / "im1.txt", ROW.format(0))
    assert f"im1.txt:1: needs class, box and key points, {5 + points * numbers} fields" in _again(tmp_path)


def _again(tmp_path: Path) -> str:
    with pytest.raises(DataError) as caught:
        import_dataset(tmp_path / "src", tmp_path / "again")
    return str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        "0 0.5 0.5 0.00001 0.2",  # 0.0004 of a pixel
        "0 0.5 0.5 0.2 0.00001",
        "0 1.0005 0.5 0.0005 0.2",  # beyond the border by less than is taken for rounding
        "0 0.5 -0.0005 0.2 0.0005",
        "0 0.5 0.5 0.50001 0.5 0.50001 0.6 0.5 0.6",
    ],
)
def test_a_box_of_which_clipping_and_rounding_leave_nothing_is_dropped_by_name(tmp_path: Path, row: str) -> None:
    yolo(tmp_path / "src")
    write(tmp_path / "src" / "labels" / "train" / "im1.txt", f"{ROW.format(0)}\n{row}")
    message, boxes = imported(tmp_path / "src")
    assert boxes["im1.jpg"][1:] == [("red", BOX)]
    assert "Dropped, boxes of zero area: 1 (labels/train/im1.txt:2)" in message


def test_label_files_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    write(tmp_path / "src" / "labels" / "train" / "im1.txt", b"\xef\xbb\xbf" + ROW.format(1).encode())
    write(tmp_path / "src" / "labels" / "train" / "im2.txt", ROW.format(1).encode("utf-16"))
    _, boxes = imported(tmp_path / "src")
    assert boxes["im1.jpg"][1:] == boxes["im2.jpg"][1:] == [("blue", BOX)]


def repeat_yolo(src: Path) -> None:
    yolo(src)
    write(src / "labels" / "train" / "im1.txt", f"{ROW.format(0)}\n{ROW.format(0)}")


def repeat_voc(src: Path) -> None:
    voc(src)
    text = xml()
    item = text[text.index("<object>") : text.index("</annotation>")]
    write(src / "Annotations" / "im1.xml", text.replace("</annotation>", f"{item}</annotation>"))


def repeat_coco(src: Path) -> None:
    coco_set(src)
    path = src / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"].append({**content["annotations"][0], "id": 99})
    write(path, json.dumps(content))


def coco_set(src: Path) -> None:
    for split, names in (("train", NAMES[:4]), ("val", NAMES[4:])):
        for name in names:
            picture(src / f"{split}2017" / f"{name}.jpg")
        write(src / "annotations" / f"instances_{split}2017.json", coco([f"{name}.jpg" for name in names]))


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (repeat_yolo, "images/train/im1.jpg"),
        (repeat_voc, "JPEGImages/im1.jpg"),
        (repeat_coco, "train2017/im1.jpg"),
    ],
)
def test_an_object_that_stands_twice_is_taken_once_in_every_layout(
    tmp_path: Path, make: Callable[[Path], None], place: str
) -> None:
    make(tmp_path / "src")
    message, boxes = imported(tmp_path / "src")
    assert boxes["im1.jpg"][1:] == [("red", BOX)]
    assert f"repeated objects, each taken once: 1 ({place})" in message


def empty_yolo(src: Path) -> None:
    yolo(src)
    write(src / "labels" / "train" / "im1.txt", f"{ROW.format(0)}\n0 0.4 0.4 0.4 0\n")


def empty_voc(src: Path) -> None:
    voc(src)
    text = xml()
    item = text[text.index("<object>") : text.index("</annotation>")].replace("24", "9").replace("12", "5")
    write(src / "Annotations" / "im1.xml", text.replace("</annotation>", f"{item}</annotation>"))


def empty_coco(src: Path) -> None:
    coco_set(src)
    path = src / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"].append({**content["annotations"][0], "id": 99, "bbox": [8, 4, 16, 0]})
    write(path, json.dumps(content))


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (empty_yolo, "labels/train/im1.txt:2"),
        (empty_voc, "Annotations/im1.xml:5"),
        (empty_coco, "annotations/instances_train2017.json: annotation 99"),
    ],
)
def test_a_box_of_zero_area_is_dropped_by_name_in_every_layout(
    tmp_path: Path, make: Callable[[Path], None], place: str
) -> None:
    make(tmp_path / "src")
    message, boxes = imported(tmp_path / "src")
    assert boxes["im1.jpg"][1:] == [("red", BOX)]
    assert f"Dropped, boxes of zero area: 1 ({place})" in message


@pytest.mark.parametrize("box", [(24, 5, 9, 12), (9, 12, 24, 5), (9, 5, 8, 5)])
def test_ends_in_the_wrong_order_are_refused(tmp_path: Path, box: tuple[int, ...]) -> None:
    voc(tmp_path / "src")
    write(tmp_path / "src" / "Annotations" / "im1.xml", xml(box=box))
    assert re.search(r"im1\.xml:3: red: box .* has no area", refusal(tmp_path / "src"))


# --- Pascal VOC ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "annotations"),
    [("JPEGImages", "Annotations"), ("images", "annotations"), (".", "."), ("JPEGImages/a/b", "Annotations/a/b")],
)
def test_xml_files_are_found_wherever_they_lie(tmp_path: Path, images: str, annotations: str) -> None:
    voc(tmp_path / "src", images, annotations)
    message, boxes = imported(tmp_path / "src")
    assert sorted(boxes) == [f"{name}.jpg" for name in NAMES]
    assert all(rows[1:] == [("red", BOX)] for rows in boxes.values())
    assert "Left out" not in message


def test_files_of_one_name_in_several_folders_stay_apart(tmp_path: Path) -> None:
    for camera, label in (("cam1", "red"), ("cam2", "blue")):
        for name in NAMES[:3]:
            picture(tmp_path / "src" / "JPEGImages" / camera / f"{name}.jpg", camera + name)
            write(tmp_path / "src" / "Annotations" / camera / f"{name}.xml", xml(label))
    imported(tmp_path / "src")
    labels = {}
    for split in ("train", "val"):
        content = read_json(tmp_path / "dst" / "annotations" / f"instances_{split}2017.json")
        classes = {record["id"]: record["name"] for record in content["categories"]}
        for image, row in zip(content["images"], content["annotations"], strict=True):
            pixels = (tmp_path / "dst" / f"{split}2017" / image["file_name"]).read_bytes()
            labels[pixels] = classes[row["category_id"]]
    for camera, label in (("cam1", "red"), ("cam2", "blue")):
        for name in NAMES[:3]:
            assert labels[(tmp_path / "src" / "JPEGImages" / camera / f"{name}.jpg").read_bytes()] == label


@pytest.mark.parametrize("form", ["{}", "{} 1", "cam1/{}", "cam1/{}.jpg"])
def test_lists_may_hold_blanks_folders_and_flags(tmp_path: Path, form: str) -> None:
    names = [f"my photo {number}" for number in range(6)]
    voc(tmp_path / "src", "JPEGImages/cam1", "Annotations/cam1", names)
    for split, part in (("train", names[:4]), ("val", names[4:])):
        lines = "\n".join(form.format(name) for name in part)
        write(tmp_path / "src" / "ImageSets" / "Main" / f"{split}.txt", lines)
    _, boxes = imported(tmp_path / "src")
    assert splits(boxes) == {f"{name}.jpg": "train" if name in names[:4] else "val" for name in names}


def test_a_lost_image_is_named_as_written_with_what_is_wrong(tmp_path: Path) -> None:
    voc(tmp_path / "src")
    named = "<annotation>\n<filename>{}</filename>"
    write(tmp_path / "src/Annotations/gone.xml", xml().replace("<annotation>", named.format("gone.png")))
    write(tmp_path / "src/Annotations/two.xml", xml().replace("<annotation>", named.format("two.png")))
    for folder in ("one", "other"):
        picture(tmp_path / "src" / folder / "two.png", folder)
    message = refusal(tmp_path / "src")
    assert "gone.xml: gone.png: missing image file\n" in f"{message}\n"
    assert "two.xml: two.png: several images of that name (one/two.png, other/two.png); give each a" in message


def test_a_chosen_layout_that_is_not_there_is_told(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    assert refusal(tmp_path / "src", layout="voc").startswith(f"{tmp_path / 'src'}: no .xml found; name the folder")
    write(tmp_path / "src/other.xml", "<svg></svg>")
    assert "src: no .xml is an annotation of VOC; name" in refusal(tmp_path / "src", layout="voc")


@pytest.mark.parametrize(("name", "what"), [("UPPER.JPG", "an image"), ("set.json", "a file")])
def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path, name: str, what: str) -> None:
    write(tmp_path / "src" / name, b"\xff\xd8")
    told = refusal(tmp_path / "src" / name)
    assert told == f"{tmp_path / 'src' / name}: is {what}; name the folder of the data set, or a YOLO set's .yaml file"


def test_equal_images_alone_cannot_be_divided(tmp_path: Path) -> None:
    voc(tmp_path / "src")
    for name in NAMES:
        write(tmp_path / "src/JPEGImages" / f"{name}.jpg", (tmp_path / "src/JPEGImages/im1.jpg").read_bytes())
    assert "src: 1 different image; at least 2 are needed" in refusal(tmp_path / "src")


def test_two_sets_with_lists_are_not_mixed(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        voc(tmp_path / "src" / year)
        for split in ("train", "val"):
            write(tmp_path / "src" / year / "ImageSets" / "Main" / f"{split}.txt", "im1\n")
    assert "several sets with lists of their own (VOC2007/" in refusal(tmp_path / "src")


def test_images_without_xml_are_told_and_are_background_on_demand(tmp_path: Path) -> None:
    voc(tmp_path / "src")
    picture(tmp_path / "src" / "JPEGImages" / "neg.jpg")
    message, boxes = imported(tmp_path / "src")
    assert "Left out, images without an XML file: 1 (JPEGImages/neg.jpg); --background takes them as images" in message
    assert "neg.jpg" not in boxes
    message = import_dataset(tmp_path / "src", tmp_path / "again", background=True)
    assert "taken as background: 1 (JPEGImages/neg.jpg)" in message
    assert "Wrote" in message
    assert list((tmp_path / "again").glob("*2017/neg.jpg"))


@pytest.mark.parametrize("name", ["", " ", "\n"])
def test_an_object_without_a_name_is_refused_by_line(tmp_path: Path, name: str) -> None:
    voc(tmp_path / "src")
    write(tmp_path / "src" / "Annotations" / "im1.xml", xml(name))
    assert re.search(r"im1\.xml:3: object", refusal(tmp_path / "src"))


@pytest.mark.parametrize("encoding", ["gb2312", "shift_jis", "utf-16", "iso-8859-5", "windows-1251"])
def test_xml_in_another_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    name = {"gb2312": "红", "shift_jis": "赤"}.get(encoding, "красный")
    voc(tmp_path / "src")
    content = f'<?xml version="1.0" encoding="{encoding}"?>\n{xml(name)}'
    write(tmp_path / "src" / "Annotations" / "im1.xml", content.encode(encoding))
    assert imported(tmp_path / "src")[1]["im1.jpg"][1] == (name, BOX)


@pytest.mark.parametrize("encoding", ["gb2312", "no-such"])
def test_xml_of_other_bytes_than_it_declares_is_one_error(tmp_path: Path, encoding: str) -> None:
    voc(tmp_path / "src")
    content = f'<?xml version="1.0" encoding="{encoding}"?>\n'.encode() + xml().encode().replace(b"red", b"\xff\xff")
    write(tmp_path / "src" / "Annotations" / "im1.xml", content)
    assert re.search(r"1 problem.*\n.*im1\.xml:1: not readable XML", refusal(tmp_path / "src"))


@pytest.mark.parametrize("size", [(0, 0), None])
def test_a_missing_size_is_the_image_s_own_and_told(tmp_path: Path, size: tuple[int, int] | None) -> None:
    voc(tmp_path / "src")
    write(tmp_path / "src" / "Annotations" / "im1.xml", xml(size=size))
    message, boxes = imported(tmp_path / "src")
    assert boxes["im1.jpg"][1] == ("red", BOX)
    assert "without a <size>, for which the image's own is taken: 1 (Annotations/im1.xml)" in message


def test_a_box_outside_is_refused_also_where_the_size_is_missing(tmp_path: Path) -> None:
    voc(tmp_path / "src")
    write(tmp_path / "src" / "Annotations" / "im1.xml", xml(size=None, box=(9, 5, 60, 12)))
    assert re.search(r"im1\.xml:3: red: box .* outside its image \(40×20\)", refusal(tmp_path / "src"))


TURNED = {5: [4, 8, 8, 16], 6: [8, 8, 8, 16], 7: [8, 16, 8, 16], 8: [4, 16, 8, 16]}
"""BOX in the upright picture of 20×40 pixels, by EXIF orientation."""


@pytest.mark.parametrize("turn", TURNED)
@pytest.mark.parametrize("kind", ["voc", "coco"])
def test_boxes_from_before_the_exif_orientation_are_turned(tmp_path: Path, kind: str, turn: int) -> None:
    src = tmp_path / "src"
    if kind == "voc":
        voc(src)
        picture(src / "JPEGImages" / "im1.jpg", turn=turn)
    else:
        coco_set(src)
        picture(src / "train2017" / "im1.jpg", turn=turn)
    message, boxes = imported(src)
    assert boxes["im1.jpg"][1][1] == TURNED[turn]
    assert f"EXIF orientation: 1 ({'JPEGImages' if kind == 'voc' else 'train2017'}/im1.jpg)" in message


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp", ".avif"])
def test_the_exif_orientation_is_known_of_every_format_that_has_one(tmp_path: Path, suffix: str) -> None:
    coco_set(tmp_path / "src")
    folder = tmp_path / "src" / "train2017"
    (folder / "im1.jpg").unlink()
    try:
        picture(folder / f"im1{suffix}", turn=6)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow writes no {suffix}: {error}")
    path = tmp_path / "src" / "annotations" / "instances_train2017.json"
    write(path, path.read_text().replace("im1.jpg", f"im1{suffix}"))
    message, boxes = imported(tmp_path / "src")
    assert boxes[f"im1{suffix}"][1][1] == TURNED[6]
    assert f"EXIF orientation: 1 (train2017/im1{suffix})" in message


# --- exports of labelling tools --------------------------------------------------------------------------------------


def darknet(src: Path) -> None:  # CVAT's YOLO 1.1
    for name in NAMES:
        picture(src / "obj_train_data" / f"{name}.jpg")
        write(src / "obj_train_data" / f"{name}.txt", ROW.format(0))
    write(src / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    write(src / "obj.names", "red\nblue\n")
    write(src / "train.txt", "\n".join(f"data/obj_train_data/{name}.jpg" for name in NAMES))


def cvat_ultralytics(src: Path) -> None:
    yolo(src, "images/train", "labels/train", "names:\n  0: red\n  1: blue\npath: .\ntrain: train.txt\n")
    write(src / "train.txt", "\n".join(f"data/images/train/{name}.jpg" for name in NAMES))


def label_studio_yolo(src: Path) -> None:
    yolo(src, "images", "labels", "-")
    (src / "data.yaml").unlink()
    write(src / "classes.txt", "red\nblue\n")
    write(src / "notes.json", '{"categories": [{"id": 0, "name": "red"}], "info": {}}')


def label_img_yolo(src: Path) -> None:
    yolo(src, ".", ".", "-")
    (src / "data.yaml").unlink()
    write(src / "classes.txt", "red\nblue\n")


def roboflow_yolo(src: Path) -> None:
    yolo(src, "{}/images", "{}/labels", "train: ../train/images\nval: ../val/images\nnc: 2\nnames: ['red', 'blue']\n")
    write(src / "README.dataset.txt", "made by hand")


def roboflow_voc(src: Path) -> None:
    voc(src, "train", "train", NAMES[:4])
    voc(src, "valid", "valid", NAMES[4:])


def roboflow_coco(src: Path) -> None:
    for split, names in (("train", NAMES[:4]), ("valid", NAMES[4:])):
        for name in names:
            picture(src / split / f"{name}.jpg")
        above = [{"id": 0, "name": "colours"}, {"id": 1, "name": "red", "supercategory": "colours"}]
        write(src / split / "_annotations.coco.json", coco([f"{name}.jpg" for name in names], categories=above))


def cvat_coco(src: Path) -> None:
    for name in NAMES:
        picture(src / "images" / "default" / f"{name}.jpg")
    write(src / "annotations" / "instances_default.json", coco([f"{name}.jpg" for name in NAMES]))


def label_studio_coco(src: Path) -> None:
    for name in NAMES:
        picture(src / "images" / f"{name}.jpg")
    write(src / "result.json", coco([f"images\\{name}.jpg" for name in NAMES]))


def via(src: Path) -> None:
    coco_set(src)
    for path in (src / "annotations").iterdir():
        content = json.loads(path.read_text())
        for row in content["annotations"]:
            row["image_id"] = str(row["image_id"])
        write(path, json.dumps(content))


def polygons_only(src: Path) -> None:
    coco_set(src)
    for path in (src / "annotations").iterdir():
        content = json.loads(path.read_text())
        for row in content["annotations"]:
            del row["bbox"]
            row["segmentation"] = [[8, 4, 24, 4, 24, 12, 8, 12]]
        write(path, json.dumps(content))


SPLIT_HERE = (darknet, cvat_ultralytics, label_studio_yolo, label_img_yolo, cvat_coco, label_studio_coco)
SPLIT_THERE = (roboflow_yolo, roboflow_voc, roboflow_coco, via, polygons_only)


@pytest.mark.parametrize("make", [*SPLIT_HERE, *SPLIT_THERE])
def test_an_export_is_imported_as_it_is(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "src")
    message, boxes = imported(tmp_path / "src")
    assert sorted(boxes) == [f"{name}.jpg" for name in NAMES]
    assert all(len(rows) == 2 and rows[1][1] == BOX for rows in boxes.values())
    assert {rows[1][0] for rows in boxes.values()} <= {"red", "blue"}
    assert ("Divided by a hash" in message) is (make in SPLIT_HERE)
    if make in SPLIT_THERE:
        assert splits(boxes) == HALVES


def test_a_class_above_the_others_is_left_out_and_told(tmp_path: Path) -> None:
    roboflow_coco(tmp_path / "src")
    message, _ = imported(tmp_path / "src")
    assert "without objects: 1 (colours)" in message
    categories = read_json(tmp_path / "dst" / "annotations" / "instances_val2017.json")["categories"]
    assert [record["name"] for record in categories] == ["red"]


def test_faults_of_a_json_file_are_told_by_annotation(tmp_path: Path) -> None:
    coco_set(tmp_path / "src")
    path = tmp_path / "src" / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    rows = content["annotations"]
    rows[0]["bbox"], rows[1]["category_id"], rows[2]["image_id"] = [8, 4, 99, 8], 7, 77
    content["images"][3]["file_name"] = "gone.jpg"
    write(path, json.dumps(content))
    text = refusal(tmp_path / "src")
    for message in (
        "annotation 1: bbox .* lies outside",
        "annotation 2: unknown category_id 7",
        "annotation 3: unknown image_id",
        "image 4: gone.jpg: missing image file",
    ):
        assert re.search(message, text), text
    assert "4 problems" in text


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    coco_set(tmp_path / "src")
    write(tmp_path / "src" / "old" / "instances_train2017.json", coco(["im1.jpg"]))
    assert "hold one split; keep one" in refusal(tmp_path / "src")


def test_an_image_that_two_json_files_of_one_split_name_is_refused_with_both(tmp_path: Path) -> None:
    for name in NAMES[:3]:
        picture(tmp_path / "src" / "images" / f"{name}.png")
    for folder, label, names in (("x", "red", NAMES[:3]), ("y", "blue", NAMES[1:3])):
        content = coco([f"images/{name}.png" for name in names], categories=[{"id": 1, "name": label}])
        write(tmp_path / "src" / folder / "ann.json", content)
    text = refusal(tmp_path / "src")
    assert "2 problems" in text
    for number, name in enumerate(NAMES[1:3], 1):
        assert re.search(
            rf"y/ann\.json: image {number}: images/{name}\.png is named by .*x/ann\.json too; join the two", text
        )


def test_json_files_beside_images_of_their_own_are_one_set(tmp_path: Path) -> None:
    for folder in "xy":
        for name in NAMES[:3]:
            picture(tmp_path / "src" / folder / "images" / f"{name}.png", folder + name)
        write(tmp_path / "src" / folder / "ann.json", coco([f"images/{name}.png" for name in NAMES[:3]]))
    assert "6 objects of 1 classes" in imported(tmp_path / "src")[0]
    assert len(list((tmp_path / "dst").glob("*2017/*.png"))) == 6


@pytest.mark.parametrize("place", ["{}", "images/{}", "{}2017"])
def test_pictures_of_one_name_in_both_splits_are_each_found_in_their_own(tmp_path: Path, place: str) -> None:
    for split, names in (("train", NAMES), ("val", NAMES[:2])):
        for name in names:
            picture(tmp_path / "src" / place.format(split) / f"{name}.png", split + name)
        write(tmp_path / "src" / "annotations" / f"instances_{split}.json", coco([f"{name}.png" for name in names]))
    message = import_dataset(tmp_path / "src", tmp_path / "dst")
    again = import_dataset(tmp_path / "dst", tmp_path / "again")  # its own output has such names
    assert message.startswith("Wrote 6 images to train2017 and 2 images to val2017")
    assert again.splitlines()[0].replace("again", "dst") == message.splitlines()[0]
    for folder in ("dst", "again"):
        check_folder(tmp_path / folder)
        for split in ("train", "val"):
            for path in (tmp_path / folder / f"{split}2017").iterdir():
                assert path.read_bytes() == (tmp_path / "src" / place.format(split) / path.name).read_bytes()


# --- content that nobody meant well ----------------------------------------------------------------------------------


def spoil(src: Path, change: Callable[[Any], Any]) -> None:
    path = src / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    write(path, json.dumps(content))


SPOILT: dict[str, tuple[Callable[[Any], Any], str]] = {
    "list as id": (lambda content: content["images"][0].update(id=[1]), "images: number 1 of the list needs"),
    "no id": (lambda content: content["images"][0].pop("id"), "images: number 1 of the list needs an integer id"),
    "id twice": (lambda content: content["images"][0].update(id=2), "images: id 2 appears more than once"),
    "file twice": (lambda content: content["images"][0].update(file_name="im2.jpg"), "im2.jpg appears more than once"),
    "list as image": (lambda content: content["annotations"][0].update(image_id=[1]), "1: unknown image_id"),
    "list as category": (lambda content: content["annotations"][0].update(category_id=[1]), "unknown category_id"),
    "text as box": (lambda content: content["annotations"][0].update(bbox="1234"), "bbox must be four numbers"),
    "no category": (lambda content: content["categories"].clear(), "unknown category_id 1"),
    "two of a name": (
        lambda content: content["categories"].append({"id": 2, "name": "red"}),
        "two categories are named",
    ),
    "number as record": (lambda content: content["annotations"].append(7), "number 5 of the list: unknown image_id"),
}


@pytest.mark.parametrize(("change", "message"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_json_file_is_one_error(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    coco_set(tmp_path / "src")
    spoil(tmp_path / "src", change)
    assert message in refusal(tmp_path / "src")


def test_numbers_written_as_text_or_with_a_point_are_read(tmp_path: Path) -> None:
    coco_set(tmp_path / "src")

    def change(content: Any) -> None:
        for record in content["images"]:
            record.update(id=float(record["id"]), width=str(record["width"]), height=None)
        content["categories"][0]["id"] = "1"

    spoil(tmp_path / "src", change)
    assert splits(imported(tmp_path / "src")[1]) == HALVES


LETTERS = "abcdefghijklmnopqrstu"
ALIASES = [f"{new}: &{new} [*{old}, *{old}]" for old, new in pairwise(LETTERS)]
BOMBS = {
    "aliases": ("data.yaml", "\n".join(["a: &a [x, x]", *ALIASES, "names: [red]"])),
    "entities": (
        "a.xml",
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "ha">'
        + "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 12))
        + "]><annotation>&a11;</annotation>",
    ),
    "depth": ("a.json", '{"images": [], "categories": [], "annotations": ' + "[" * 100_000),
}


@pytest.mark.parametrize(("name", "content"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_one_error_at_once(tmp_path: Path, name: str, content: str) -> None:
    picture(tmp_path / "src" / "a.jpg")
    write(tmp_path / "src" / name, content)
    assert f"{name}:" in refusal(tmp_path / "src")


@pytest.mark.parametrize("name", ["data.yaml", "classes.txt", "a.json", "a.xml"])
def test_a_pipe_in_place_of_annotations_does_not_hang(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "src" / "a.jpg")
    os.mkfifo(tmp_path / "src" / name)
    assert name in refusal(tmp_path / "src") or name == "a.json"


def test_two_sets_of_classes_are_not_mixed(tmp_path: Path) -> None:
    yolo(tmp_path / "src" / "one")
    yolo(tmp_path / "src" / "two")
    assert "several files say what the classes are (one/data.yaml, two/data.yaml)" in refusal(tmp_path / "src")
    message = import_dataset(tmp_path / "src" / "one" / "data.yaml", tmp_path / "dst")
    assert message.startswith("Wrote 4 images to train2017 and 2 images to val2017")


def test_a_test_split_that_is_not_there_does_not_matter(tmp_path: Path) -> None:
    yolo(tmp_path / "src", yaml="train: images/train\nval: images/val\ntest: ../test\nnames: [red, blue]\n")
    assert splits(imported(tmp_path / "src")[1]) == HALVES


def test_a_listed_image_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    yolo(tmp_path / "src", yaml="train: train.txt\nval: images/val\nnames: [red, blue]\n")
    write(tmp_path / "src" / "train.txt", "images/train/im1.jpg\nimages/train/gone.jpg\nimages/train/gone.raw\n")
    text = refusal(tmp_path / "src")
    assert "gone.jpg: missing image file" in text
    assert "gone.raw: missing image file" in text


def test_background_is_asked_of_voc_only(tmp_path: Path) -> None:
    yolo(tmp_path / "src")
    assert "--background is for Pascal VOC" in refusal(tmp_path / "src", background=True)
