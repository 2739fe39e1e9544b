"""Classification data: objects cut from Scenes and from folders in COCO's layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnv4bench.data import crops
from mnv4bench.data.png import encode_png
from mnv4bench.data.slices import SHAPES
from mnv4bench.io.errors import DataError


def test_crops_of_scenes_are_drawn_the_same_each_time_and_grow_at_their_end() -> None:
    few, more = crops.from_scenes("train", 6), crops.from_scenes("train", 9)
    assert few.images.shape == (6, 3, 64, 64)
    assert few.classes == SHAPES
    assert np.array_equal(few.images, more.images[:6])
    assert np.array_equal(few.labels, more.labels[:6])


def test_crops_of_scenes_hold_every_class() -> None:
    few = crops.from_scenes("search", 24, seed=3)
    assert set(few.labels) == set(range(len(SHAPES)))
    assert few.images.dtype == np.uint8
    assert few.images.std(axis=(1, 2, 3)).min() > 5, "a crop is no plain area"


def test_splits_and_seeds_share_no_crop() -> None:
    batches = [crops.from_scenes(split, 5, seed) for split in crops.SPLITS for seed in (0, 1)]
    contents = {image.tobytes() for batch in batches for image in batch.images}
    assert len(contents) == 5 * len(batches)


def coco_folder(folder: Path, images: int = 12) -> Path:
    """Write a folder in COCO's layout: grey images with one bright square of class 7 or 3, by turns."""
    for split in ("train", "val"):
        records, annotations = [], []
        for number in range(1, images + 1):
            pixels = np.full((40, 60, 3), 100, np.uint8)
            x, y = 4 + number, 10 if split == "train" else 11
            pixels[y : y + 10, x : x + 10] = 255 if number % 2 else 0
            path = folder / f"{split}2017" / f"{split}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(pixels))
            records.append({"id": number, "file_name": path.name, "width": 60, "height": 40})
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 7 if number % 2 else 3,
                    "bbox": [x, y, 10, 10],
                    "area": 100,
                    "iscrowd": 0,
                }
            )
        path = folder / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        categories = [{"id": 3, "name": "dark"}, {"id": 7, "name": "bright"}]
        path.write_text(json.dumps({"images": records, "annotations": annotations, "categories": categories}))
    return folder


def test_objects_of_a_folder_are_cut_out_and_resized(tmp_path: Path) -> None:
    splits = crops.from_folder(coco_folder(tmp_path), most=100, side=32)
    assert len(splits["train"].labels) + len(splits["search"].labels) == 12
    assert len(splits["test"].labels) == 12
    for split in splits.values():
        assert split.classes == ("dark", "bright")
        assert split.images.shape[1:] == (3, 32, 32)
        assert [int(image.mean()) for image in split.images] == [255 * label for label in split.labels]


def test_no_more_objects_than_asked_for(tmp_path: Path) -> None:
    assert all(len(s.labels) <= 2 for s in crops.from_folder(coco_folder(tmp_path), most=2).values())


def test_a_split_without_objects_and_a_broken_box_are_refused(tmp_path: Path) -> None:
    path = coco_folder(tmp_path) / "annotations" / "instances_val2017.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["bbox"] = [1, 1, 0, 5]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="has no area"):
        crops.from_folder(tmp_path, most=100)
    document["annotations"] = [{**document["annotations"][1], "bbox": [1, 1, 3, 3]}]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="split test"):
        crops.from_folder(tmp_path, most=100)


def edited(folder: Path, change: Callable[[dict[str, Any]], None], split: str = "train") -> Path:
    """Change a split's annotation file and return the folder."""
    path = folder / "annotations" / f"instances_{split}2017.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return folder


def test_images_of_another_size_than_their_record_are_refused(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path)
    path = folder / "train2017" / "train1.png"
    path.write_bytes(encode_png(np.full((20, 30, 3), 100, np.uint8)))
    with pytest.raises(DataError, match=r"train1\.png: is 30×20 pixels, its record says 60×40"):
        crops.from_folder(folder, most=100)


def test_an_image_of_both_halves_is_refused(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path)
    shutil.copy(folder / "train2017" / "train1.png", folder / "val2017" / "val2.png")
    with pytest.raises(DataError, match=r"validation image val2\.png is the same file as training image train1\.png"):
        crops.from_folder(folder, most=100)


def test_equal_files_are_never_in_two_splits() -> None:
    images = [{"id": n, "file_name": f"{n}.png", "sha256": str(n % 5)} for n in range(100)]
    boxes = [{"id": n, "image_id": n, "bbox": [0, 0, 9, 9], "category_id": 1, "iscrowd": 0} for n in range(100)]
    document = {"images": images, "annotations": boxes}
    train, search = ({image["sha256"] for image, _ in crops._objects(document, name)} for name in ("train", "search"))
    assert train | search == set("01234")
    assert not train & search


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    def alike(document: dict[str, Any]) -> None:
        for annotation in document["annotations"]:
            annotation["category_id"] = 3

    with pytest.raises(DataError, match="all objects in split train are of class dark; a classifier needs two"):
        crops.from_folder(edited(coco_folder(tmp_path), alike), most=100)


def test_a_square_stays_in_the_image_and_is_cut_where_the_image_is_too_small() -> None:
    pixels = np.arange(20 * 10 * 3, dtype=np.uint8).reshape(20, 10, 3)
    assert np.array_equal(crops.square(pixels, [0, 0, 2, 4], 4), pixels[:4, :4])
    assert np.array_equal(crops.square(pixels, [7, 17, 3, 3], 3), pixels[17:, 7:])
    assert crops.square(pixels, [0, 0, 10, 20], 8).shape == (8, 8, 3)
