"""Positive controls of Scenes: does each slice show the harm that it was drawn to show, and only that slice?

    python benchmarks/controls.py [--images N]

A diagnostic slice is worth something only if a change that is known to hurt its mechanism is found there, and not
elsewhere. Each shipped trunk on Scenes (results/reference/trunks) is scored as it is and damaged in two ways:

- suppression at an overlap of 0.3 instead of 0.7, which takes neighbours of one class for one object: crowd;
- with nothing to see but a window of 96 pixels around each place, whatever attention and receptive fields could
  reach: context and large.

There is none for `small` yet. To leave out the predictions at stride 8 is none: at 160 pixels the one-to-one head finds
everything there, so all slices fall to nothing.

For each slice the paired difference in AP has a 95 % interval over resampled images. A control is found where the
interval of every slice that it is aimed at lies below −MARGIN; it is specific where those of all others lie within
±MARGIN. Writes results/benchmarks/controls.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnv4bench.data.letterbox import letterbox
from mnv4bench.data.prepare import prepare
from mnv4bench.data.prepared import key, verify
from mnv4bench.evaluate import coco as coco_eval
from mnv4bench.evaluate import match_records
from mnv4bench.evaluate.detections import coco_rows
from mnv4bench.evaluate.settings import TRAINED, Settings, read_rows
from mnv4bench.io.files import write_json
from mnv4bench.machine.environment import environment
from mnv4bench.machine.process import set_up_process
from mnv4bench.models import detector, weights
from mnv4bench.models.yolo import Detector, branches
from mnv4bench.results.matches import MatchRecords
from mnv4bench.results.reference import TRUNKS
from mnv4bench.results.run import read_status
from mnv4bench.spec.model import Read
from mnv4bench.spec.plan import load
from mnv4bench.statistics.bootstrap import bootstrap_ap, bootstrap_weights

MARGIN = 0.02
"""AP by which an aimed slice has to fall, and within which all others have to stay."""
REPLICATES = 2000
WINDOW, STEP = 96, 32
"""Pixels that are seen, and of whose middle detections are taken."""

Output = tuple[Tensor, Tensor]
"""Boxes (A, 4) and scores (A, classes) of one image."""


class Control(NamedTuple):
    """A damage, the reading that shows it, and the slices that it is aimed at."""

    name: str
    read: Read
    aimed_at: tuple[str, ...]
    output: Callable[[Detector, Tensor, Read], Output]
    settings: Settings = TRAINED


def whole(model: Detector, image: Tensor, read: Read) -> Output:
    """Return a network's output for an image (3, H, W) in 0–1."""
    boxes, scores = branches(model, image[None])[read]
    return boxes[0], scores[0]


def in_windows(model: Detector, image: Tensor, read: Read) -> Output:
    """Return what is found in windows alone: of each, the detections whose centre lies in its middle."""
    edge = (WINDOW - STEP) // 2
    padded = torch.nn.functional.pad(image[None], (edge, edge, edge, edge), mode="reflect")[0]
    corners = [(x, y) for y in range(0, image.shape[1], STEP) for x in range(0, image.shape[2], STEP)]
    batch = torch.stack([padded[:, y : y + WINDOW, x : x + WINDOW] for x, y in corners])
    boxes, scores = branches(model, batch)[read]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    inside = ((centre >= edge) & (centre < edge + STEP)).all(-1, keepdim=True)
    shift = torch.tensor([[x - edge, y - edge] * 2 for x, y in corners])[:, None]
    return (boxes + shift).flatten(0, 1), torch.where(inside, scores, 0.0).flatten(0, 1)


CONTROLS = (
    Control("suppression at IoU 0.3", "nms", ("crowd",), whole, Settings(iou=0.3)),
    Control("windows of 96 pixels", "nms_free", ("context", "large"), in_windows),
)


def records_of(
    model: Detector, truth: Any, images: Sequence[Mapping[str, Any]], folder: Path, side: int, ids: Sequence[int],
    control: Control,
) -> MatchRecords:  # fmt: skip
    """Score a network, damaged by a control, on images."""

    def rows() -> Iterator[dict[str, Any]]:
        for record in images:
            boxed = letterbox(folder / record["file_name"], side)
            with torch.inference_mode():
                boxes, scores = control.output(model, torch.from_numpy(boxed.pixels), control.read)
            kept = read_rows(control.read, boxes.numpy(), scores.numpy(), control.settings)
            yield from coco_rows(record["id"], boxed, kept, ids)

    evaluation = coco_eval.evaluate(truth, list(rows()), [record["id"] for record in images])
    return match_records.from_eval(evaluation)


def on_slice(damaged: MatchRecords, sound: MatchRecords, name: str) -> dict[str, float]:
    """Return AP of both on one slice, and the difference with its interval over resampled images."""
    places = np.flatnonzero(sound.slices == name)

    def spread(counts: NDArray[np.integer]) -> NDArray[np.integer]:
        weights = np.zeros((len(counts), len(sound.image_ids)), np.int64)
        weights[:, places] = counts
        return weights

    once = spread(np.ones((1, len(places)), np.int64))
    resampled = spread(bootstrap_weights(len(places), REPLICATES, seed=0))
    before, after = (float(bootstrap_ap(records, once)[0]) for records in (sound, damaged))
    low, high = np.quantile(bootstrap_ap(damaged, resampled) - bootstrap_ap(sound, resampled), [0.025, 0.975])
    return {"images": len(places), "AP": before, "difference": after - before, "low": float(low), "high": float(high)}


def judge(rows: Mapping[str, Mapping[str, float]], aimed_at: Sequence[str]) -> dict[str, bool]:
    """Return whether a control was found in every slice that it is aimed at, and in no other."""
    others = [row for name, row in rows.items() if name not in aimed_at]
    return {
        "found": all(rows[name]["high"] < -MARGIN for name in aimed_at),
        "specific": all(row["low"] > -MARGIN and row["high"] < MARGIN for row in others),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, help="validation images, the first ones (default: all)")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/controls.json"))
    options = parser.parse_args()
    set_up_process(2)
    found = []
    for trunk in load("trunks").trunks:
        folder, spec = TRUNKS / trunk.name, trunk.spec
        status = read_status(folder)
        data = Path("results/benchmarks/data") / key(spec.data)
        dataset = prepare(spec.data, data) if not data.exists() else verify(data)
        if dataset.digest != status.data_digest:
            raise SystemExit(f"{data}: is not what {folder} learned from; delete it and start again")
        model = detector.build(spec.model, len(dataset.classes))
        model.load_part_state(weights.read_half(folder / "weights.safetensors", status.weights_digest))
        model.eval()
        truth = coco_eval.ground_truth(dataset.path(data, dataset.val.annotations))
        images = [truth.imgs[image] for image in sorted(truth.imgs)][: options.images]
        where = dataset.path(data, dataset.val.images)
        sound: dict[Read, MatchRecords] = {}
        for control in CONTROLS:
            of = (model, truth, images, where, spec.data.imgsz, dataset.category_ids)
            if control.read not in sound:
                sound[control.read] = records_of(*of, Control("none", control.read, (), whole))
            damaged = records_of(*of, control)
            rows = {name: on_slice(damaged, sound[control.read], name) for name in dataset.slices}
            result = {"trunk": trunk.block, "control": control.name, "read": control.read}
            found.append({**result, "aimed_at": control.aimed_at, "slices": rows, **judge(rows, control.aimed_at)})
            print(found[-1], flush=True)
    record = {"margin": MARGIN, "replicates": REPLICATES, "window": WINDOW, "controls": found}
    write_json(options.out, record | {"environment": environment().model_dump(mode="json")})


if __name__ == "__main__":
    main()
