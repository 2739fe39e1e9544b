"""`mnv4bench search`: a budget and images in, a backbone file out."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.data.crops import SPLITS, from_folder, from_scenes
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import check_folder
from mnv4bench.results.search import SearchResult
from mnv4bench.search.run import search
from mnv4bench.spec.search import SearchSpec


def search_backbone(spec: SearchSpec, images: Path | None, objects: int, out: Path) -> SearchResult:
    """Search a backbone on the objects of a folder, or of Scenes; write backbone.json and search.json into `out`.

    Args:
        images: a folder in COCO 2017's layout.
        objects: the most that each split holds.

    Raises:
        Mnv4benchError: the folder is not usable, or `out` holds another search.
    """
    if objects < 1:
        raise SpecError(f"--objects {objects}: each split needs one at least")
    check_folder("--out", out)
    crops = from_folder(images, objects, spec.side) if images else {s: from_scenes(s, objects) for s in SPLITS}
    return search(spec, crops, out)
