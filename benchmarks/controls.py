"""Positive controls of Scenes: does each slice show the harm that it was drawn to show, and only that slice?

    python benchmarks/controls.py [--images N]

A diagnostic slice is worth something only if a change that is known to hurt its mechanism is found there, and not
elsewhere. Each shipped trunk on Scenes (results/reference/trunks) is scored as it is and damaged in three ways:

- suppression at an overlap of 0.3 instead of 0.7, which takes neighbours of one class for one object: crowd, and large,
  whose frames overlap;
- with nothing to see but a window of 96 pixels around each place, whatever attention and receptive fields could
  reach: context and large;
- with the edges of all boxes rounded to multiples of 2 pixels, as if they had been located on a coarser grid: small.

Beside the controls stands what each stride of the head finds: the change when its scores are set to zero. A stride that
finds nothing in any slice would leave the parts that feed it without a question to answer.

For each slice the paired difference in AP has a 95 % interval over resampled images. A control is found where the
interval of every slice that it is aimed at lies below −MARGIN; it is specific where those of all others lie within
±MARGIN. A stride is used where the interval of some slice lies below −MARGIN. Writes results/benchmarks/controls.json.
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
from mnv4bench.models.yolo import Detector
from mnv4bench.results.dataset import RECORD, Dataset
from mnv4bench.results.matches import MatchRecords
from mnv4bench.results.reference import TRUNKS
from mnv4bench.results.run import read_status
from mnv4bench.spec.model import Read
from mnv4bench.spec.plan import load
from mnv4bench.spec.run import DataSpec
from mnv4bench.statistics.bootstrap import bootstrap_ap, bootstrap_weights

MARGIN = 0.02
"""AP by which an aimed slice has to fall, and within which all others have to stay."""
REPLICATES = 2000
WINDOW, STEP = 96, 32
"""Pixels that are seen, and of whose middle detections are taken."""
GRID = 2
"""Pixels to which boxes are rounded."""

Output = tuple[Tensor, Tensor]
"""Boxes (A, 4) and scores (A, classes) of one image."""


class Damage(NamedTuple):
    """A change of what a network gives, and the reading that shows it."""

    name: str
    read: Read
    output: Callable[[Detector, Tensor, Read], Output]
    aimed_at: tuple[str, ...] = ()
    """The slices that a control has to hurt."""
    settings: Settings = TRAINED


def whole(model: Detector, image: Tensor, read: Read) -> Output:
    """Return a network's output for an image (3, H, W) in 0–1."""
    boxes, scores = model.decode(image[None])[read]
    return boxes[0], scores[0]


def in_windows(model: Detector, image: Tensor, read: Read) -> Output:
    """Return what is found in windows alone: of each, the detections whose centre lies in its middle."""
    edge = (WINDOW - STEP) // 2
    padded = torch.nn.functional.pad(image[None], (edge, edge, edge, edge), mode="reflect")[0]
    corners = [(x, y) for y in range(0, image.shape[1], STEP) for x in range(0, image.shape[2], STEP)]
    batch = torch.stack([padded[:, y : y + WINDOW, x : x + WINDOW] for x, y in corners])
    boxes, scores = model.decode(batch)[read]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    inside = ((centre >= edge) & (centre < edge + STEP)).all(-1, keepdim=True)
    shift = torch.tensor([[x - edge, y - edge] * 2 for x, y in corners])[:, None]
    return (boxes + shift).flatten(0, 1), torch.where(inside, scores, 0.0).flatten(0, 1)


def on_a_grid(model: Detector, image: Tensor, read: Read) -> Output:
    """Return a network's output with the edges of all boxes rounded."""
    boxes, scores = whole(model, image, read)
    return (boxes / GRID).round() * GRID, scores


def without(stride: int) -> Callable[[Detector, Tensor, Read], Output]:
    """Return what gives a network's output without the scores at a stride."""

    def output(model: Detector, image: Tensor, read: Read) -> Output:
        boxes, scores = whole(model, image, read)
        strides = [int(step) for step in model.head.stride]
        cells = torch.tensor([(image.shape[1] // step) * (image.shape[2] // step) for step in strides])
        place = torch.repeat_interleave(torch.tensor(strides), cells)
        return boxes, torch.where((place == stride)[:, None], 0.0, scores)

    return output


CONTROLS = (
    Damage("suppression at IoU 0.3", "nms", whole, ("crowd", "large"), Settings(iou=0.3)),
    Damage(f"windows of {WINDOW} pixels", "nms_free", in_windows, ("context", "large")),
    Damage(f"boxes on a grid of {GRID} pixels", "nms_free", on_a_grid, ("small",)),
)
STRIDES = tuple(Damage(str(stride), "nms_free", without(stride)) for stride in (8, 16, 32))


def records_of(
    model: Detector, truth: Any, images: Sequence[Mapping[str, Any]], folder: Path, side: int, ids: Sequence[int],
    damage: Damage,
) -> MatchRecords:  # fmt: skip
    """Score a network, damaged or not, on images."""

    def rows() -> Iterator[dict[str, Any]]:
        for record in images:
            boxed = letterbox(folder / record["file_name"], side)
            with torch.inference_mode():
                boxes, scores = damage.output(model, torch.from_numpy(boxed.pixels), damage.read)
            kept = read_rows(damage.read, boxes.numpy(), scores.numpy(), damage.settings)
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


def data_set(spec: DataSpec, folder: Path) -> Dataset:
    """Return the data set in `folder`, which is drawn unless it was to its end."""
    return verify(folder) if (folder / RECORD).exists() else prepare(spec, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, help="validation images, the first ones (default: all)")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/controls.json"))
    options = parser.parse_args()
    set_up_process(2)
    controls, strides = [], []
    for trunk in load("trunks").trunks:
        folder, spec = TRUNKS / trunk.name, trunk.spec
        status = read_status(folder)
        data = Path("results/benchmarks/data") / key(spec.data)
        dataset = data_set(spec.data, data)
        if dataset.digest != status.data_digest:
            raise SystemExit(f"{data}: is not what {folder} learned from; delete it and start again")
        model = detector.build(spec.model, len(dataset.classes))
        model.load_part_state(weights.read(folder / "weights.safetensors", status.weights_digest, weights.RESTORE))
        model.eval()
        truth = coco_eval.ground_truth(dataset.path(data, dataset.val.annotations))
        images = [truth.imgs[image] for image in sorted(truth.imgs)][: options.images]
        where = dataset.path(data, dataset.val.images)
        sound: dict[Read, MatchRecords] = {}
        for damage in (*CONTROLS, *STRIDES):
            of = (model, truth, images, where, spec.data.imgsz, dataset.category_ids)
            if damage.read not in sound:
                sound[damage.read] = records_of(*of, Damage("none", damage.read, whole))
            damaged = records_of(*of, damage)
            rows = {name: on_slice(damaged, sound[damage.read], name) for name in dataset.slices}
            result = {"trunk": trunk.block, "read": damage.read, "slices": rows}
            if damage in CONTROLS:
                judged = judge(rows, damage.aimed_at)
                controls.append({**result, "control": damage.name, "aimed_at": damage.aimed_at, **judged})
            else:
                used = any(row["high"] < -MARGIN for row in rows.values())
                strides.append({**result, "stride": int(damage.name), "used": used})
            print(result, flush=True)
    record = {
        "margin": MARGIN,
        "replicates": REPLICATES,
        "window": WINDOW,
        "grid": GRID,
        "controls": controls,
        "strides": strides,
        "environment": environment().model_dump(mode="json"),
    }
    write_json(options.out, record)


if __name__ == "__main__":
    main()
