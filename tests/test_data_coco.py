"""Folders in COCO 2017's layout: read as they are, or refused with every offender's name."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mnv4bench.data import prepared
from mnv4bench.data.prepare import check_folder, prepare
from mnv4bench.data.prepared import key, verify
from mnv4bench.data.problems import refuse
from mnv4bench.data.sources import source_digest
from mnv4bench.data.survey import survey
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import read_json, sha256
from mnv4bench.spec.run import DataSpec

Json = dict[str, Any]


def picture(path: Path, seed: int, width: int = 40, height: int = 30, **options: Any) -> None:
    pixels = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def document(first_image: int) -> Json:
    """Two images out of order, the second without objects; category ids with a gap; one crowd."""
    return {
        "images": [
            {"id": first_image + 5, "file_name": f"{first_image + 5}.jpg", "width": 40, "height": 30, "license": 4},
            {"id": first_image, "file_name": f"{first_image}.jpg", "width": 40, "height": 30},
        ],
        "annotations": [
            {
                "id": 70,
                "image_id": first_image,
                "category_id": 18,
                "bbox": [1.5, 2, 10.25, 9],
                "area": 60.5,
                "iscrowd": 0,
            },
            {"id": 0, "image_id": first_image, "category_id": 3, "bbox": [20, 10, 20.5, 20], "iscrowd": 1},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    }


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    for split, first, seed in (("train", 100, 0), ("val", 200, 10)):
        for offset in (0, 5):
            picture(tmp_path / "set" / f"{split}2017" / f"{first + offset}.jpg", seed + offset)
        write(tmp_path / "set", split, document(first))
    return tmp_path / "set"


def write(folder: Path, split: str, content: Json) -> None:
    path = folder / "annotations" / f"instances_{split}2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def spec(folder: Path, **fields: Any) -> DataSpec:
    return DataSpec(name="folder", path=str(folder), **fields)


def refusal(folder: Path, tmp_path: Path) -> str:
    with pytest.raises(DataError) as caught:
        prepare(spec(folder), tmp_path / "prepared")
    assert not (tmp_path / "prepared" / "dataset.json").exists()
    return str(caught.value)


def test_a_sound_folder_keeps_its_ids_crowds_areas_and_empty_images(coco: Path, tmp_path: Path) -> None:
    dataset = prepare(spec(coco), tmp_path / "prepared")
    assert (dataset.classes, dataset.category_ids) == (("car", "dog"), (3, 18))
    assert Path(dataset.train.images) == coco / "train2017"
    api = COCO(tmp_path / "prepared" / dataset.train.annotations)
    assert sorted(api.getImgIds()) == [100, 105]
    assert api.getAnnIds(imgIds=105) == []
    crowd, dog = api.loadAnns([1, 2])  # numbered from 1: pycocotools takes an id of 0 for no match
    assert (crowd["category_id"], crowd["iscrowd"], crowd["bbox"], crowd["area"]) == (3, 1, [20, 10, 20, 20], 400)
    assert (dog["category_id"], dog["bbox"], dog["area"]) == (18, [1.5, 2, 10.25, 9], 60.5)
    assert dataset.notes == (
        "Clipped 1 box of train that reached over the border by at most 1 px.",
        "Clipped 1 box of val that reached over the border by at most 1 px.",
    )
    assert verify(tmp_path / "prepared") == dataset


def test_the_digest_does_not_depend_on_where_the_folder_lies_or_how_its_file_is_ordered(
    coco: Path, tmp_path: Path
) -> None:
    first = prepare(spec(coco), tmp_path / "one")
    moved = coco.rename(tmp_path / "elsewhere")
    content = document(100)
    write(moved, "train", {key: content[key][::-1] for key in sorted(content)})
    assert prepare(spec(moved), tmp_path / "two").digest == first.digest
    picture(moved / "train2017" / "100.jpg", 99)
    assert prepare(spec(moved), tmp_path / "three").digest != first.digest


def test_a_limit_takes_the_first_images_by_id_and_keeps_all_classes(coco: Path, tmp_path: Path) -> None:
    dataset = prepare(spec(coco, train=1), tmp_path / "prepared")
    content = read_json(tmp_path / "prepared" / "annotations" / "train.json")
    assert [record["id"] for record in content["images"]] == [100]
    assert (dataset.train.count, dataset.val.count, dataset.classes) == (1, 2, ("car", "dog"))


def test_of_the_images_that_a_limit_leaves_out_no_box_is_told_as_clipped(coco: Path, tmp_path: Path) -> None:
    content = document(100)
    content["annotations"].append({"id": 71, "image_id": 105, "category_id": 3, "bbox": [-0.5, 2, 10, 9]})
    write(coco, "train", content)
    told = [prepare(spec(coco, train=train), tmp_path / "prepared").notes[0] for train in (None, 1)]
    assert [note.split(" of ")[0] for note in told] == ["Clipped 2 boxes", "Clipped 1 box"]


def test_the_folder_is_looked_for_in_the_data_variable_first(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNV4BENCH_DATA", str(tmp_path))
    assert prepare(DataSpec(name="folder", path="set"), tmp_path / "prepared").train.count == 2
    monkeypatch.delenv("MNV4BENCH_DATA")
    monkeypatch.chdir(tmp_path)
    assert prepare(DataSpec(name="folder", path="set"), tmp_path / "again").train.count == 2
    with pytest.raises(DataError, match=r"'nowhere' not found; set \$MNV4BENCH_DATA"):
        prepare(DataSpec(name="folder", path="nowhere"), tmp_path / "prepared")
    monkeypatch.setenv("MNV4BENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"'nowhere' not found \(tried .*nowhere, nowhere\); set"):
        prepare(DataSpec(name="folder", path="nowhere"), tmp_path / "prepared")
    with pytest.raises(DataError, match=rf"^{tmp_path}/nowhere: no such folder$"):
        prepare(DataSpec(name="folder", path=str(tmp_path / "nowhere")), tmp_path / "prepared")
    for read in (check_folder, survey):
        with pytest.raises(DataError, match=r"^nowhere: no such folder$"):
            read(Path("nowhere"))


@pytest.mark.parametrize("place", ["images/train2017", "images/train"])
def test_images_may_lie_one_folder_deeper(coco: Path, tmp_path: Path, place: str) -> None:
    (coco / "images").mkdir()
    (coco / "train2017").rename(coco / place)
    assert Path(prepare(spec(coco), tmp_path / "prepared").train.images) == coco / place


def annotation(**fields: Any) -> Callable[[Json], None]:
    return lambda content: content["annotations"][0].update(fields)


def image(**fields: Any) -> Callable[[Json], None]:
    return lambda content: content["images"][1].update(fields)


def repeat(key: str) -> Callable[[Json], None]:
    return lambda content: content[key].append(copy.deepcopy(content[key][0]))


FAULTS: dict[str, tuple[Callable[[Json], Any], str]] = {
    "outside": (
        annotation(bbox=[35, 2, 10, 9]),
        r"annotation 70: bbox \[35, 2, 10, 9\] lies outside 100.jpg \(40×30\)",
    ),
    "left": (annotation(bbox=[-3, 2, 10, 9]), "lies outside 100.jpg"),
    "beside": (annotation(bbox=[40, 2, 0.5, 9]), "lies outside 100.jpg"),
    "flat": (annotation(bbox=[1, 2, 10, 0]), r"annotation 70: bbox \[1, 2, 10, 0\] has no area"),
    "negative": (annotation(bbox=[20, 2, -10, 5]), "has no area"),
    "nan": (annotation(bbox=[1, 2, float("nan"), 5]), "annotation 70: bbox .* is not finite"),
    "three": (annotation(bbox=[1, 2, 3]), "annotation 70: bbox must be four numbers"),
    "text": (annotation(bbox=[1, 2, "3", 4]), "annotation 70: bbox must be four numbers"),
    "category": (annotation(category_id=4), "annotation 70: unknown category_id 4"),
    "odd category": (annotation(category_id=[18]), r"annotation 70: unknown category_id \[18\]"),
    "image": (annotation(image_id=4), "annotation 70: unknown image_id 4"),
    "crowd": (annotation(iscrowd=2), "annotation 70: iscrowd must be 0 or 1, not 2"),
    "odd image": (annotation(image_id=[100]), r"annotation 70: unknown image_id \[100\]"),
    "vast": (annotation(bbox=[1, 2, 10**400, 5]), "annotation 70: bbox .* is not finite"),
    "no id": (
        lambda content: content["annotations"][0].pop("id"),
        "annotation number 1 of the list: needs an integer id",
    ),
    "annotation twice": (repeat("annotations"), "annotation 70: id appears more than once"),
    "image twice": (repeat("images"), "image 105: id appears more than once"),
    "file twice": (image(file_name="105.jpg"), "image 100: file_name '105.jpg' appears more than once"),
    "no width": (lambda content: content["images"][1].pop("width"), "image 100: needs integer id, width and height"),
    "category twice": (repeat("categories"), "category 18: id appears more than once"),
    "category name": (
        lambda content: content["categories"].append({"id": 4, "name": "dog"}),
        "category 4: name 'dog' appears more than once",
    ),
    "other categories": (
        lambda content: content["categories"].append({"id": 4, "name": "cat"}),
        r"category 'cat' \(id 4\) is not in both splits",
    ),
    "size": (image(width=41), r"100\.jpg: is 40×30 pixels, its record says 41×30"),
    "no name": (image(file_name="100.jpg\0"), r"image 100: file_name '100\.jpg\\x00' is no name of a file"),
    "half a letter": (image(file_name="\ud800.jpg"), r"image 100: file_name '\\ud800\.jpg' is no name of a file"),
    "missing": (image(file_name="gone.jpg"), r"gone\.jpg: missing image file"),
    "empty split": (lambda content: content.update(images=[], annotations=[]), "has no images"),
}


@pytest.mark.parametrize(("break_it", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_record_is_refused_by_name(
    coco: Path, tmp_path: Path, break_it: Callable[[Json], Any], message: str
) -> None:
    content = document(100)
    break_it(content)
    write(coco, "train", content)
    text = refusal(coco, tmp_path)
    assert re.search(message, text), text


@pytest.mark.parametrize("name", ["100.jpg", "100.png", "100.bmp"])
def test_a_truncated_image_is_refused_by_name(coco: Path, tmp_path: Path, name: str) -> None:
    path = coco / "train2017" / name
    picture(path, 0)
    path.write_bytes(path.read_bytes()[:-300])
    content = document(100)
    content["images"][1]["file_name"] = name
    write(coco, "train", content)
    assert re.search(rf"{re.escape(name)}: corrupt or truncated image", refusal(coco, tmp_path))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0" + bytes(40)])
def test_a_corrupt_jpeg_is_refused_by_name(coco: Path, tmp_path: Path, content: bytes) -> None:
    (coco / "val2017" / "205.jpg").write_bytes(content)
    assert "205.jpg: corrupt or truncated image" in refusal(coco, tmp_path)


def test_a_setting_of_another_library_does_not_let_a_truncated_image_pass(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    path = coco / "val2017" / "205.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    assert "205.jpg: corrupt or truncated image" in refusal(coco, tmp_path)


def test_a_turned_photograph_has_the_size_that_loaders_see(coco: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    picture(coco / "train2017" / "100.jpg", 0, width=30, height=40, exif=exif)
    assert prepare(spec(coco), tmp_path / "prepared").train.count == 2


def test_all_offenders_of_both_splits_come_in_one_error(coco: Path, tmp_path: Path) -> None:
    train, val = document(100), document(200)
    train["annotations"][0]["category_id"] = 4
    val["annotations"][0]["bbox"] = [1, 2, 0, 0]
    write(coco, "train", train)
    write(coco, "val", val)
    (coco / "train2017" / "105.jpg").unlink()
    (coco / "val2017" / "205.jpg").write_bytes(b"")
    text = refusal(coco, tmp_path)
    assert "4 problems" in text
    for part in ("unknown category_id 4", "has no area", "105.jpg: missing", "205.jpg: corrupt"):
        assert part in text


def test_a_long_list_is_cut_and_the_rest_counted() -> None:
    with pytest.raises(DataError) as caught:
        refuse([f"fault {number}" for number in range(53)], "data x")
    lines = str(caught.value).splitlines()
    assert (lines[0], lines[1], lines[50], lines[51]) == (
        "data x: 53 problems; fix or remove them and start again",
        "  fault 0",
        "  fault 49",
        "  … and 3 more",
    )


def test_an_image_in_both_splits_is_refused_whatever_its_name(coco: Path, tmp_path: Path) -> None:
    (coco / "val2017" / "205.jpg").write_bytes((coco / "train2017" / "100.jpg").read_bytes())
    assert "validation image 205.jpg is the same file as training image 100.jpg" in refusal(coco, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("", "annotation file is empty"),
        ('{"images": [\n1,,', r"instances_train2017\.json:2: annotation file is not valid JSON"),
        ("[]", "needs the lists images, annotations, categories"),
        ('{"images": []}', "needs the lists images, annotations, categories"),
        ('{"images": ' + "1" * 5000 + "}", "annotation file is not valid JSON: .*5000 digits"),
    ],
)
def test_an_unusable_annotation_file_is_refused_by_name(
    coco: Path, tmp_path: Path, content: str | None, message: str
) -> None:
    path = coco / "annotations" / "instances_train2017.json"
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="utf-8")
    text = refusal(coco, tmp_path)
    assert re.search(message, text)
    assert "instances_train2017.json" in text


def test_a_missing_image_folder_is_refused_by_name(coco: Path, tmp_path: Path) -> None:
    (coco / "val2017").rename(coco / "renamed")
    assert re.search("no images of val; looked for .*val2017", refusal(coco, tmp_path))


def test_the_two_empty_boxes_known_in_train2017_are_dropped_and_named(coco: Path, tmp_path: Path) -> None:
    content = document(100)
    content["images"][0]["id"] = 200365
    record = {"id": 918, "image_id": 200365, "category_id": 18, "bbox": [6.65, 8.33, 1.03, 0.0], "iscrowd": 0}
    content["annotations"].append(record)
    write(coco, "train", content)
    notes = prepare(spec(coco), tmp_path / "prepared").notes
    assert "Dropped 1 box of zero size known in instances_train2017.json: annotation 918 of image 200365." in notes


def test_slices_of_the_validation_images_are_kept(coco: Path, tmp_path: Path) -> None:
    content = document(200)
    for record, name in zip(content["images"], ("night", "day"), strict=True):
        record["slice"] = name
    write(coco, "val", content)
    dataset = prepare(spec(coco), tmp_path / "prepared")
    assert dataset.slices == ("day", "night")
    assert (dataset.val.slices, dataset.val.objects, dataset.train.slices) == ({"day": 1, "night": 1}, 2, {})


@pytest.mark.parametrize("number", [0, 12, [3]])
def test_a_slice_that_is_no_name_is_passed_over(coco: Path, tmp_path: Path, number: object) -> None:
    for split, first in (("train", 100), ("val", 200)):
        content = document(first)
        for record in content["images"]:
            record["slice"] = number  # as of a scanner's picture
        write(coco, split, content)
    dataset = prepare(spec(coco), tmp_path / "prepared")
    assert (dataset.slices, dataset.val.slices, dataset.train.slices) == ((), {}, {})
    content = read_json(tmp_path / "prepared" / "annotations" / "val.json")
    assert not any("slice" in record for record in content["images"])


def test_an_annotation_file_with_a_byte_order_mark_is_read(coco: Path, tmp_path: Path) -> None:
    path = coco / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert prepare(spec(coco), tmp_path / "prepared").train.count == 2


def test_checking_a_folder_writes_nothing(coco: Path) -> None:
    before = sorted(coco.rglob("*"))
    counts = "2 images and 2 objects (1 of them crowds)"
    assert f"{counts} in train, {counts} in val" in check_folder(coco)
    assert sorted(coco.rglob("*")) == before
    (coco / "train2017" / "100.jpg").unlink()
    with pytest.raises(DataError, match=r"100\.jpg: missing image file"):
        check_folder(coco)


def test_names_of_folders_do_not_meet() -> None:
    assert key(DataSpec(name="coco", folder="coco")) == "coco-coco-allxall"
    ours, theirs = (key(DataSpec(name="coco", folder=f"{who}/set", train=8)) for who in ("ours", "theirs"))
    assert ours != theirs
    assert re.fullmatch(r"coco-set-[0-9a-f]{8}-8xall", ours)


@pytest.mark.parametrize("half", ["train", "val"])
@pytest.mark.parametrize(("crowd", "message"), [(True, "only crowds"), (False, "no object")])
def test_a_half_without_objects_is_refused(coco: Path, tmp_path: Path, half: str, crowd: bool, message: str) -> None:
    content = document({"train": 100, "val": 200}[half])
    content["annotations"] = [record for record in content["annotations"] if crowd and record["iscrowd"]]
    write(coco, half, content)
    assert re.search(f"instances_{half}2017.json: {message} in the 2 images of {half}", refusal(coco, tmp_path))


def test_a_size_from_before_the_exif_orientation_is_named_as_such(coco: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(coco / "train2017" / "100.jpg", 0, exif=exif)
    assert re.search(r"100\.jpg: is 30×40 .* says 40×30, .*EXIF", refusal(coco, tmp_path))


def test_a_thin_image_is_refused_by_name(coco: Path, tmp_path: Path) -> None:
    picture(coco / "train2017" / "100.jpg", 0, width=401, height=1)
    content = document(100)
    content["images"][1].update(width=401, height=1)
    content["annotations"] = [{"id": 1, "image_id": 105, "category_id": 18, "bbox": [1, 2, 10, 9]}]
    write(coco, "train", content)
    assert re.search(r"100\.jpg: 401×1 pixels, .* at 160 pixels", refusal(coco, tmp_path))


@pytest.mark.parametrize("name", ["../val2017/205.jpg", "/etc/hostname", "link.jpg"])
def test_an_image_outside_the_data_folder_is_refused(coco: Path, tmp_path: Path, name: str) -> None:
    picture(tmp_path / "outside.jpg", 99)
    (coco / "train2017" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    content = document(100)
    content["images"][1]["file_name"] = name
    write(coco, "train", content)
    assert f"file_name {name!r} leaves the data folder" in refusal(coco, tmp_path)


def test_a_link_inside_the_data_folder_is_followed(coco: Path, tmp_path: Path) -> None:
    path = coco / "train2017" / "100.jpg"
    (coco / "store").mkdir()
    path.rename(coco / "store" / "a.jpg")
    path.symlink_to(Path("..") / "store" / "a.jpg")
    assert prepare(spec(coco), tmp_path / "prepared").train.count == 2


def test_a_pipe_as_an_image_is_refused_at_once(coco: Path, tmp_path: Path) -> None:
    path = coco / "train2017" / "100.jpg"
    path.unlink()
    os.mkfifo(path)
    assert "100.jpg: not a regular file" in refusal(coco, tmp_path)


def test_a_changed_image_is_refused_with_both_sums(coco: Path, tmp_path: Path) -> None:
    prepare(spec(coco), tmp_path / "prepared")
    path = coco / "train2017" / "100.jpg"
    before = sha256(path)
    picture(path, 1)
    with pytest.raises(DataError, match=rf"100\.jpg: changed .*{before}, now {sha256(path)}"):
        verify(tmp_path / "prepared")


def test_a_touched_or_copied_image_is_read_and_passes(coco: Path, tmp_path: Path) -> None:
    prepare(spec(coco), tmp_path / "prepared")
    os.utime(coco / "train2017" / "100.jpg", (1, 1))
    (tmp_path / "prepared" / "files.json").write_text("cut sho")
    assert verify(tmp_path / "prepared").train.count == 2


def flip_a_bit(path: Path) -> None:
    """Change an image, its size and time kept."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_change_that_keeps_size_and_time_is_found_in_a_set_that_is_read_in_a_second(
    coco: Path, tmp_path: Path
) -> None:
    prepare(spec(coco), tmp_path / "prepared")
    flip_a_bit(coco / "val2017" / "205.jpg")
    with pytest.raises(DataError, match=r"205\.jpg: changed"):
        verify(tmp_path / "prepared")


def test_a_change_that_keeps_size_and_time_is_found_in_a_large_set_on_demand(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "READ_WHOLE", 100)
    prepare(spec(coco), tmp_path / "prepared")
    flip_a_bit(coco / "val2017" / "205.jpg")
    verify(tmp_path / "prepared")
    with pytest.raises(DataError, match=r"205\.jpg: changed"):
        verify(tmp_path / "prepared", read_all=True)


@pytest.mark.parametrize(
    "states", ["cut sho", "null", '{"val": 1}', '{"val": {"205.jpg": [1]}}', '{"val": {"205.jpg": 7}}']
)
def test_states_of_another_form_are_not_obeyed(states: str, coco: Path, tmp_path: Path) -> None:
    dataset = prepare(spec(coco), tmp_path / "prepared")
    (tmp_path / "prepared" / "files.json").write_text(states)
    assert verify(tmp_path / "prepared") == dataset


@pytest.mark.parametrize("change", ["labels", "image", "more", "fewer", "nothing"])
def test_the_digest_of_a_source_changes_with_it(coco: Path, change: str) -> None:
    before = source_digest(spec(coco))
    if change == "labels":
        content = document(100)
        content["annotations"][0]["bbox"][0] += 1
        write(coco, "train", content)
    elif change == "image":
        picture(coco / "train2017" / "100.jpg", 77)
    elif change == "more":
        picture(coco / "train2017" / "deep" / "101.jpg", 78)
    elif change == "fewer":
        (coco / "val2017" / "205.jpg").unlink()
    assert (source_digest(spec(coco)) == before) is (change == "nothing")


def test_a_source_that_is_not_there_has_a_digest_too(tmp_path: Path) -> None:
    assert source_digest(spec(tmp_path / "nowhere")) == "absent"
    assert "absent" not in {source_digest(DataSpec(name="scenes")), source_digest(DataSpec(name="bccd"))}


def test_only_cocos_classes_pass_for_coco(coco: Path, tmp_path: Path) -> None:
    named = DataSpec(name="coco", folder=str(coco))
    assert prepare(named, tmp_path / "prepared").name == "coco"
    for split, first in (("train", 100), ("val", 200)):
        content = document(first)
        content["categories"][1]["name"] = "lamp"
        write(coco, split, content)
    with pytest.raises(
        DataError, match=r"'lamp' is not one of COCO 2017's; .* write `data: \{name: folder, path: …\}`"
    ):
        prepare(named, tmp_path / "prepared")
    assert prepare(spec(coco), tmp_path / "prepared").name == coco.name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "scenes", "path": "x"}, "path: means nothing for scenes; leave it out"),
        ({"name": "bccd", "seed": 1}, "seed: means nothing for bccd; leave it out"),
        ({"name": "bccd", "folder": "x"}, "folder: means nothing for bccd; leave it out"),
        ({"name": "coco", "folder": "x", "seed": 3}, "seed: means nothing for coco; leave it out"),
        ({"name": "folder", "path": "x", "folder": "y"}, "folder: means nothing for folder; write `path` in its place"),
        ({"name": "folder"}, "path: missing; folder needs the folder of its images"),
        ({"name": "coco"}, "folder: missing; coco needs the folder of its images"),
    ],
)
def test_a_field_that_means_nothing_for_a_source_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataSpec(**fields)
