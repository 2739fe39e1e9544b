"""Pascal VOC and YOLO folders become COCO folders that can be prepared, or are refused line by line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv4bench.data.classes import describe
from mnv4bench.data.importers.importing import divide, import_dataset
from mnv4bench.data.prepare import check_folder, prepare
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import read_json
from mnv4bench.spec.run import DataSpec


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def voc_object(name: str, *corners: Any, difficult: int = 0) -> str:
    ends = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    return f"<object><name>{name}</name><difficult>{difficult}</difficult>{part}<bndbox>{ends}</bndbox></object>"


def voc(base: Path, stem: str, *objects: str, seed: int = 0, width: int = 40) -> None:
    lines = [f"<size><width>{width}</width><height>20</height></size>", *objects]
    text(base / "Annotations" / f"{stem}.xml", "\n".join(["<annotation>", *lines, "</annotation>"]))
    picture(base / "JPEGImages" / f"{stem}.jpg", seed)


def voc_set(base: Path, lists: dict[str, str]) -> None:
    for seed, stem in enumerate(("a", "b", "c", "d")):
        voc(base, stem, voc_object("dog", 1, 2, 10, 20), voc_object("cat", 3, 3, 9, 9, difficult=1), seed=seed)
    for name, stems in lists.items():
        text(base / "ImageSets" / "Main" / f"{name}.txt", stems)


def yolo_set(base: Path, yaml: str) -> None:
    for seed in range(10):
        split = "val" if seed > 7 else "train"
        picture(base / "images" / split / f"{seed}.png", seed)
        text(base / "labels" / split / f"{seed}.txt", "1 0.5 0.5 0.5 0.4\n0 0.1 0.1 0.3 0.1 0.3 0.6 0.1 0.6\n\n")
    (base / "labels" / "val" / "9.txt").unlink()
    text(base / "data.yaml", yaml)


def prepared(folder: Path, tmp_path: Path) -> tuple[Any, Any, Any]:
    dataset = prepare(DataSpec(name="folder", path=str(folder)), tmp_path / "prepared")
    return dataset, *(read_json(tmp_path / "prepared" / "annotations" / f"{s}.json") for s in ("train", "val"))


def names(content: Any) -> list[str]:
    return [record["file_name"] for record in content["images"]]


@pytest.mark.parametrize("inside", [".", "VOC2007"])
def test_voc_with_lists_becomes_a_set_that_can_be_prepared(tmp_path: Path, inside: str) -> None:
    voc_set(tmp_path / "src" / inside, {"train": "a\nb\n", "val": "d\n"})
    message = import_dataset(tmp_path / "src", tmp_path / "dst")
    assert message.startswith(
        f"Wrote 2 images to train2017 and 1 images to val2017 in {tmp_path / 'dst'}: 6 objects (3 of them crowds) of 2 "
    )
    assert "Left out, images in neither train.txt nor val.txt: 1" in message
    dataset, train, val = prepared(tmp_path / "dst", tmp_path)
    assert (names(train), names(val), dataset.classes) == (["a.jpg", "b.jpg"], ["d.jpg"], ("cat", "dog"))
    assert "Trained on the set's list train, validated on its list val." in dataset.notes
    assert "Made crowds of 3 objects marked difficult: not trained on, passed over in scoring." in dataset.notes
    # Corners count from 1 and are inside: columns 1 … 10 and rows 2 … 20.
    found = [(record["category_id"], record["bbox"], record["iscrowd"]) for record in val["annotations"]]
    assert found == [(2, [0, 1, 10, 19], 0), (1, [2, 2, 7, 7], 1)]


def test_voc_prefers_the_annotated_test_list(tmp_path: Path) -> None:
    voc_set(tmp_path / "src", {"train": "a", "val": "b", "trainval": "a\nb", "test": "c\nd"})
    import_dataset(tmp_path / "src", tmp_path / "dst")
    _, train, val = prepared(tmp_path / "dst", tmp_path)
    assert (names(train), names(val)) == (["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"])


def test_voc_passes_over_a_test_list_without_annotations(tmp_path: Path) -> None:
    voc_set(tmp_path / "src", {"train": "a\nc", "val": "b", "trainval": "a\nb\nc", "test": "secret"})
    import_dataset(tmp_path / "src", tmp_path / "dst")
    _, train, val = prepared(tmp_path / "dst", tmp_path)
    assert (names(train), names(val)) == (["a.jpg", "c.jpg"], ["b.jpg"])


def test_voc_without_lists_is_divided_by_name_and_says_so(tmp_path: Path) -> None:
    voc_set(tmp_path / "src", {})
    assert "Divided by a hash of the images' content" in import_dataset(tmp_path / "src", tmp_path / "dst")
    _, train, val = prepared(tmp_path / "dst", tmp_path)
    assert len(names(val)) >= 1
    assert sorted(names(train) + names(val)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def test_voc_lists_every_fault_by_file_and_line_and_writes_nothing(tmp_path: Path) -> None:
    base = tmp_path / "src"
    voc(base, "a", voc_object("dog", 5, 5, 4, 9), voc_object("dog", 1, 1, 60, 9), voc_object("dog", "x", 1, 6, 9))
    voc(base, "b", voc_object("dog", 1, 1, "nan", 9), "<object><name>dog</name></object>", seed=1)
    voc(base, "c", seed=2, width=41)
    voc(base, "d", seed=3)
    (base / "JPEGImages" / "d.jpg").write_bytes((base / "JPEGImages" / "d.jpg").read_bytes()[:-200])
    text(base / "Annotations" / "e.xml", "<annotation>\n<size>")
    text(base / "Annotations" / "f.xml", "<annotation></annotation>")
    voc(base, "g", seed=4)
    (base / "JPEGImages" / "g.jpg").unlink()
    text(base / "ImageSets" / "Main" / "train.txt", "a\nb\nc\nd\n")
    text(base / "ImageSets" / "Main" / "val.txt", "e\nf\ng\nh\n")
    with pytest.raises(DataError) as caught:
        import_dataset(base, tmp_path / "dst")
    message = str(caught.value)
    for expected in (
        r"a\.xml:3: dog: box .* has no area",
        r"a\.xml:4: dog: box .* lies outside its image \(40×20\)",
        r"a\.xml:5: object needs <name> and four numbers",
        r"b\.xml:3: dog: box .* is not finite",
        r"b\.xml:4: object needs <name> and four numbers",
        r"c\.xml:1: says 41×20, c\.jpg is 40×20",
        r"d\.jpg: corrupt or truncated image",
        r"e\.xml:2: not readable XML",
        r"f\.xml: f\.jpg: missing image file",
        r"g\.jpg: missing image file",
        r"h\.xml: missing annotation file",
    ):
        assert re.search(expected, message), (expected, message)
    assert "11 problems" in message
    assert not (tmp_path / "dst").exists()


YAMLS = {
    "list of names": "train: images/train\nval: images/val\nnames: [cat, dog]\n",
    "mapping of names": "path: .\ntrain: images/train\nval: images/val\nnames:\n  1: dog\n  0: cat\n",
    "moved set": "path: somewhere/else\ntrain: [images/train]\nval: images/val/\nnames: [cat, dog]\n",
    "export": "train: ../images/train\nval: ../images/val\nnc: 2\nnames: [cat, dog]\n",
    "text file": "train: images/train\nval: val.txt\nnames: [cat, dog]\n",
}


@pytest.mark.parametrize("yaml", YAMLS.values(), ids=YAMLS)
def test_yolo_in_each_form_becomes_a_set_that_can_be_prepared(tmp_path: Path, yaml: str) -> None:
    yolo_set(tmp_path / "src", yaml)
    text(tmp_path / "src" / "val.txt", "./images/val/8.png\nimages/val/9.png\n")
    import_dataset(tmp_path / "src", tmp_path / "dst")
    dataset, train, val = prepared(tmp_path / "dst", tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert (len(train["images"]), names(val)) == (8, ["8.png", "9.png"])
    # Image 9 has no label file and so no object.
    assert [(record["image_id"], record["category_id"]) for record in val["annotations"]] == [(1, 2), (1, 1)]
    assert val["annotations"][0]["bbox"] == [10, 6, 20, 8]
    assert val["annotations"][1]["bbox"] == pytest.approx([4, 2, 8, 10])


@pytest.mark.parametrize(("val", "reason"), [("", ""), ("val: images/train\n", "names the images of train as val")])
def test_yolo_without_a_val_of_its_own_is_divided_and_says_so(tmp_path: Path, val: str, reason: str) -> None:
    yolo_set(tmp_path / "src", f"train: images/train\n{val}names: [cat, dog]\n")
    message = import_dataset(tmp_path / "src", tmp_path / "dst")
    assert "Divided by a hash" in message
    assert reason in message
    assert "Left out, images in no split: 2" in message
    dataset, train, content = prepared(tmp_path / "dst", tmp_path)
    assert dataset.val.count >= 1
    assert sorted(names(train) + names(content)) == [f"{number}.png" for number in range(8)]


def test_yolo_images_of_one_name_in_two_folders_stay_two(tmp_path: Path) -> None:
    yolo_set(tmp_path / "src", "train: [images/train, more/images]\nval: images/val\nnames: [cat, dog]\n")
    picture(tmp_path / "src" / "more" / "images" / "3.png", 33)
    import_dataset(tmp_path / "src", tmp_path / "dst")
    _, train, _ = prepared(tmp_path / "dst", tmp_path)
    assert {"images__train__3.png", "more__images__3.png", "4.png"} < set(names(train))


def test_yolo_lists_every_fault_by_file_and_line_and_writes_nothing(tmp_path: Path) -> None:
    base = tmp_path / "src"
    yolo_set(base, "train: images/train\nval: images/val\nnames: [cat, dog]\n")
    rows = ["0 0.5 0.5 0.2", "2 0.5 0.5 0.2 0.2", "0.5 0.5 0.5 0.2 0.2", "0 0.5 x 0.2 0.2", "0 0.5 nan 0.2 0.2"]
    rows += ["0 0.5 0.5 -0.1 0.2", "0 0.95 0.5 0.2 0.2", "0 5 5 20 20", "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4"]
    rows += ["1 .5 .5 .2 .2"]
    text(base / "labels" / "train" / "0.txt", "\n".join(rows))
    (base / "images" / "train" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError) as caught:
        import_dataset(base, tmp_path / "dst")
    message = str(caught.value)
    for expected in (
        r"0\.txt:1: needs class, centre x and y, width, height, or class and a polygon; has 4 fields",
        r"0\.txt:2: class 2 is not in names \(0 to 1\)",
        r"0\.txt:3: class 0\.5 is not in names",
        r"0\.txt:4: row '0 0\.5 x 0\.2 0\.2' is not all numbers",
        r"0\.txt:5: row .* is not finite",
        r"0\.txt:6: box .* has a negative side",
        r"0\.txt:7: box .* leaves the image",
        r"0\.txt:8: box .* leaves the image",
        r"0\.txt:9: needs class, .*; has 8 fields",
        r"1\.png: corrupt or truncated image",
    ):
        assert re.search(expected, message), (expected, message)
    assert "10 problems" in message
    assert not (tmp_path / "dst").exists()


def test_yolo_drops_a_repeated_row_and_says_so(tmp_path: Path) -> None:
    yolo_set(tmp_path / "src", "train: images/train\nval: images/val\nnames: [cat, dog]\n")
    text(tmp_path / "src" / "labels" / "train" / "0.txt", "1 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n")
    assert "repeated objects, each taken once: 1 (images/train/0.png)" in import_dataset(
        tmp_path / "src", tmp_path / "dst"
    )


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: images/train\n", "needs `names`"),
        ("train: images/train\nnames: {0: cat, 2: dog}\n", r"indices must run from 0 without gaps, not \[0, 2\]"),
        ("train: images/train\nnames: {a: cat}\n", "indices must be whole numbers"),
        ("train: images/train\nnames: [cat, cat]\n", "each class name may appear only once"),
        ("train: images/none\nnames: [cat, dog]\n", "images/none: neither a folder of images nor a .txt list"),
        ("names: [cat, dog]\n", "`train` names no image"),
    ],
)
def test_a_yolo_file_that_says_too_little_is_refused(tmp_path: Path, yaml: str, message: str) -> None:
    yolo_set(tmp_path / "src", yaml)
    with pytest.raises(DataError, match=message):
        import_dataset(tmp_path / "src", tmp_path / "dst")


def test_the_kind_of_folder_is_recognised(tmp_path: Path) -> None:
    voc_set(tmp_path / "voc", {})
    yolo_set(tmp_path / "yolo", YAMLS["list of names"])
    assert import_dataset(tmp_path / "voc", tmp_path / "one").startswith("Wrote")
    assert import_dataset(tmp_path / "yolo", tmp_path / "two").startswith("Wrote 8 images to train2017 and 2")
    text(tmp_path / "neither" / "boxes.csv", "a,b")
    with pytest.raises(DataError, match=r"holds 1 \.csv, which is no layout that is known; .*data\.yaml"):
        import_dataset(tmp_path / "neither", tmp_path / "three")
    yolo_set(tmp_path / "voc", YAMLS["list of names"])
    with pytest.raises(DataError, match="voc and yolo are both possible; choose one with --layout"):
        import_dataset(tmp_path / "voc", tmp_path / "three")
    assert "10 objects" not in import_dataset(tmp_path / "voc", tmp_path / "three", layout="yolo")


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    voc_set(tmp_path / "src", {})
    text(tmp_path / "dst" / "mine.txt", "mine")
    with pytest.raises(DataError, match="is not empty"):
        import_dataset(tmp_path / "src", tmp_path / "dst")
    assert [path.name for path in (tmp_path / "dst").iterdir()] == ["mine.txt"]


def test_images_are_copied_or_linked_on_demand(tmp_path: Path) -> None:
    voc_set(tmp_path / "src", {})
    for name, link, links in (("copied", False, 1), ("linked", True, 2)):
        import_dataset(tmp_path / "src", tmp_path / name, link=link)
        (image,) = (tmp_path / name).glob("*2017/a.jpg")
        assert image.read_bytes() == (tmp_path / "src" / "JPEGImages" / "a.jpg").read_bytes()
        assert image.stat().st_nlink == links


def test_images_are_copied_where_they_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another file system")

    voc_set(tmp_path / "src", {})
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    import_dataset(tmp_path / "src", tmp_path / "dst", link=True)
    (copy,) = (tmp_path / "dst").glob("*2017/a.jpg")
    assert copy.stat().st_nlink == 1


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    voc_set(tmp_path / "src", {})
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(DataError, match="No space left on device"):
        import_dataset(tmp_path / "src", tmp_path / "dst")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_what_a_killed_import_left_does_not_hinder_a_process_of_the_same_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    voc_set(tmp_path / "src", {})
    with monkeypatch.context() as killed:
        killed.setattr("shutil.copyfile", die)
        killed.setattr("shutil.rmtree", lambda *_, **__: None)  # a kill removes nothing
        with pytest.raises(KeyboardInterrupt):
            import_dataset(tmp_path / "src", tmp_path / "dst")
    assert len(list(tmp_path.iterdir())) == 2
    assert import_dataset(tmp_path / "src", tmp_path / "dst").startswith("Wrote")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_folder_has_the_permissions_that_the_user_grants(tmp_path: Path, umask: int) -> None:
    voc_set(tmp_path / "src", {})
    before = os.umask(umask)
    try:
        import_dataset(tmp_path / "src", tmp_path / "dst")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "dst", tmp_path / "dst" / "val2017")} == {
        0o777 & ~umask
    }


def test_a_growing_set_moves_no_image_across() -> None:
    sums = [f"image{number}" for number in range(1000)]
    sides, half = divide(sums), divide(sums[:500])
    assert all(sides[digest] == side for digest, side in half.items())
    assert 160 < sum(side == "val" for side in sides.values()) < 240


@pytest.mark.parametrize("count", [2, 3, 4])
def test_neither_side_of_a_tiny_set_is_empty(count: int) -> None:
    for start in range(20):
        assert set(divide([f"x{start + number}" for number in range(count)]).values()) == {"train", "val"}


def test_what_was_divided_is_told_in_images(tmp_path: Path) -> None:
    voc_set(tmp_path / "src", {})
    message = import_dataset(tmp_path / "src", tmp_path / "dst")
    train, val = (len(list((tmp_path / "dst" / f"{half}2017").iterdir())) for half in ("train", "val"))
    assert (
        f"content, {train} to train and {val} to val (about 80 to 20 in large sets), since the set has no " in message
    )


def test_a_list_without_its_counterpart_is_told(tmp_path: Path) -> None:
    voc_set(tmp_path / "src", {"test": "a\nb\nc\nd", "dog_test": "a\n"})
    message = import_dataset(tmp_path / "src", tmp_path / "dst")
    assert "Not used, the split's test.txt: neither trainval and test nor train and val are both there" in message


def test_a_folder_beside_its_labels_and_one_of_several_sets_are_told(tmp_path: Path) -> None:
    voc_set(tmp_path / "sets" / "pets", {})
    with pytest.raises(DataError, match=r"JPEGImages: holds 4 \.jpg and no labels; did you mean .*sets/pets\?$"):
        import_dataset(tmp_path / "sets" / "pets" / "JPEGImages", tmp_path / "dst")
    yolo_set(tmp_path / "sets" / "more", YAMLS["list of names"])
    with pytest.raises(DataError, match=r"sets: holds several data sets; name one of them: more, pets$"):
        import_dataset(tmp_path / "sets", tmp_path / "dst")


def test_classes_are_told_with_their_objects_and_a_misspelt_one_is_doubted(tmp_path: Path) -> None:
    voc_set(tmp_path / "src", {"train": "a\nb\nc", "val": "d"})
    voc(tmp_path / "src", "b", voc_object("dgo", 1, 2, 10, 20), voc_object("sofa", 3, 3, 9, 9), seed=1)
    for message in (import_dataset(tmp_path / "src", tmp_path / "dst"), check_folder(tmp_path / "dst")):
        lines = message.splitlines()
        each = "dog 3 (2, 1), dgo 1 (1, 0), sofa 1 (1, 0), cat 0 (0, 0)"
        assert f"Objects by class, those in train and in val: {each}." in lines
        assert "dgo: 1 object, none in val, so it cannot be scored; is it dog, misspelt?" in lines
        assert "sofa: 1 object, none in val, so it cannot be scored." in lines
        assert "cat: no object, so it can be neither learned nor scored." in lines
    assert "5 objects in train" not in message
    assert "6 objects (2 of them crowds) in train" in message
    assert "At import: Trained on the set's list train, validated on its list val." in lines


def test_long_lists_of_classes_are_shortened() -> None:
    train = {f"class number {place}": 100 - place for place in range(80)}
    first, few, *remarks = describe(train, {"class number 0": 1})
    assert few.startswith("Classes of fewer than 5 objects in val: 1 (class number 0 1); their AP is left to chance")
    assert first.startswith("Objects by class, those in train and in val: class number 0 101 (100, 1), ")
    assert "class number 14 86 (86, 0), … 50 more …, class number 65 35 (35, 0), " in first
    assert first.endswith("class number 79 21 (21, 0).")
    assert len(remarks) == 31
    assert remarks[-1] == "… and 49 more classes without objects in one half."


@pytest.mark.parametrize(
    ("name", "other", "meant"),
    [
        ("catr", "car", True),
        ("cra", "car", True),
        ("c", "a", False),
        ("class 1", "class 2", False),
        ("van", "truck", False),
    ],
)
def test_only_names_two_letters_apart_are_doubted(name: str, other: str, meant: bool) -> None:
    lines = describe({name: 1, other: 9}, {name: 1, other: 1})
    assert (f"{name}: 2 objects; is it {other}, misspelt?" in lines) is meant
    assert not any("misspelt" in line for line in describe({name: 3, other: 9}, {name: 1, other: 1}))
