"""BCCD: the manifest decides what the photographs are, wherever they come from."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv4bench.data import bccd
from mnv4bench.data.prepare import prepare
from mnv4bench.io.errors import DataError
from mnv4bench.io.files import read_json
from mnv4bench.spec.run import DataSpec

REAL = Path(os.environ.get("MNV4BENCH_DATA", "")) / "BCCD_Dataset"
real = pytest.mark.skipif(
    "MNV4BENCH_DATA" not in os.environ or not REAL.is_dir(), reason="needs $MNV4BENCH_DATA/BCCD_Dataset"
)
OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>\n"
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The set's layout with four drawn photographs, one object of which has no area."""
    base = tmp_path / "tree" / "BCCD"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    for number in range(4):
        pixels = np.random.Generator(np.random.PCG64(number)).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(base / "JPEGImages" / f"b{number}.jpg")
        objects = OBJECT.format("WBC", 1, 1, 32, 24) + OBJECT.format("RBC", 5, 6, 9, 12)
        if number == 2:
            objects += OBJECT.format("RBC", 7, 8, 7, 8)
        size = "<size><width>32</width><height>24</height></size>\n"
        (base / "Annotations" / f"b{number}.xml").write_text(f"<annotation>\n{size}{objects}</annotation>")
    (base / "ImageSets" / "Main" / "trainval.txt").write_text("b2\nb0\nb1\n")
    (base / "ImageSets" / "Main" / "test.txt").write_text("b3\n")
    return tmp_path / "tree"


@pytest.fixture
def sums(tree: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    result = {path.relative_to(tree).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    monkeypatch.setattr(bccd, "manifest", lambda: result)
    return result


def archive(tree: Path, path: Path) -> str:
    with zipfile.ZipFile(path, "w") as target:
        for file in sorted(tree.rglob("*")):
            target.write(file, f"BCCD_Dataset-commit/{file.relative_to(tree)}")
        target.writestr("BCCD_Dataset-commit/README.md", "not in the manifest")
    return path.as_uri()


def test_the_manifest_lists_every_photograph_with_its_annotation_and_both_lists() -> None:
    sums = bccd.manifest()
    photographs = {path.rpartition("/")[2].removesuffix(".jpg") for path in sums if path.endswith(".jpg")}
    annotations = {path.rpartition("/")[2].removesuffix(".xml") for path in sums if path.endswith(".xml")}
    assert len(photographs) == 364
    assert photographs == annotations
    assert len(sums) == 2 * 364 + 2
    assert all(len(digest) == 64 for digest in sums.values())


def test_boxes_count_from_zero_and_a_box_without_area_is_named(
    tree: Path, sums: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.rename(tmp_path / "BCCD_Dataset")
    monkeypatch.setenv("MNV4BENCH_DATA", str(tmp_path))
    dataset = prepare(DataSpec(name="bccd"), tmp_path / "prepared")
    assert (dataset.train.count, dataset.val.count, dataset.classes) == (3, 1, ("RBC", "WBC", "Platelets"))
    assert dataset.notes == ("Dropped an object: b2.xml:5: RBC: box (7.0, 8.0, 7.0, 8.0) has no area.",)
    content = read_json(tmp_path / "prepared" / dataset.val.annotations)
    assert [record["bbox"] for record in content["annotations"]] == [[0, 0, 32, 24], [4, 5, 5, 7]]
    assert [record["category_id"] for record in content["annotations"]] == [2, 1]


def test_a_changed_and_a_missing_file_are_both_named(tree: Path, sums: dict[str, str]) -> None:
    (tree / "BCCD" / "JPEGImages" / "b0.jpg").write_bytes(b"other")
    (tree / "BCCD" / "Annotations" / "b1.xml").unlink()
    with pytest.raises(DataError) as caught:
        bccd.compare(tree, sums)
    assert "2 problems" in str(caught.value)
    assert "BCCD/Annotations/b1.xml: missing" in str(caught.value)
    assert "BCCD/JPEGImages/b0.jpg: differs from the manifest" in str(caught.value)


def test_an_archive_is_unpacked_into_the_cache_once(
    tree: Path, sums: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNV4BENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "archive.zip"
    url = archive(tree, path)
    monkeypatch.setattr(bccd, "ARCHIVE", url)
    folder = tmp_path / "cache" / "mnv4bench" / f"BCCD_Dataset-{bccd.COMMIT[:12]}"
    assert bccd.find(sums) == folder
    path.unlink()
    assert bccd.find(sums) == folder
    bccd.compare(folder, sums)
    assert not (folder / "README.md").exists()


def test_an_archive_of_other_content_is_refused_by_name(tree: Path, sums: dict[str, str], tmp_path: Path) -> None:
    url = archive(tree, tmp_path / "archive.zip")
    with pytest.raises(DataError, match=r"BCCD/Annotations/b0\.xml: other content"):
        bccd.fetch(tmp_path / "cache", {**sums, "BCCD/Annotations/b0.xml": "0" * 64}, url)
    with pytest.raises(DataError, match=r"BCCD/none\.xml: not in the archive"):
        bccd.fetch(tmp_path / "cache", {**sums, "BCCD/none.xml": "0" * 64}, url)
    (tmp_path / "archive.zip").write_bytes(b"cut short")
    with pytest.raises(DataError, match="not a whole zip archive"):
        bccd.fetch(tmp_path / "cache", sums, url)


def test_offline_names_both_remedies(sums: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        bccd.fetch(tmp_path / "cache", sums, (tmp_path / "nothing.zip").as_uri())
    assert "connect once and start again" in str(caught.value)
    assert "set $MNV4BENCH_DATA" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@real
def test_the_real_set_is_whole_and_its_two_empty_boxes_are_named(tmp_path: Path) -> None:
    dataset = prepare(DataSpec(name="bccd"), tmp_path)
    assert (dataset.train.count, dataset.val.count) == (292, 72)
    assert [note.split(": ")[1] for note in dataset.notes] == ["BloodImage_00338.xml:158", "BloodImage_00343.xml:50"]
    objects = [len(read_json(tmp_path / "annotations" / f"{split}.json")["annotations"]) for split in ("train", "val")]
    assert sum(objects) == 4888 - 2
