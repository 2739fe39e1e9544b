"""The schema of every result file, in one place. docs/files.md says which rule writes which."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mnv4bench.spec import Read

State = Literal["done", "diverged", "out_of_memory", "failed"]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(Record):
    """One half of a data set; paths are absolute or relative to the folder of dataset.json."""

    annotations: str
    """COCO JSON. Each image record may carry "slice", the name of the diagnostic slice it belongs to."""
    images: str
    """Folder that the annotations' file names are relative to."""
    count: int


class Dataset(Record):
    """data/<key>/dataset.json: a checked data set, ready to train on."""

    name: str
    digest: str
    """SHA-256 over the annotations and the sums of all image files, in order."""
    classes: tuple[str, ...]
    """By training index; COCO category ids are 1 + index unless the set brings its own."""
    category_ids: tuple[int, ...]
    slices: tuple[str, ...] = ()
    train: Split
    val: Split
    notes: tuple[str, ...] = ()
    """What was dropped or changed on the way in, a sentence each."""

    def path(self, folder: Path, relative: str) -> Path:
        """Resolve a path of this record, which lies in `folder`."""
        return Path(folder) / relative


class Environment(Record):
    """Where a result was made; results from two fingerprints are never averaged."""

    cpu: str
    cpu_flags: str
    """SHA-256 of the sorted list of instruction-set flags, first 12 digits."""
    gpu: str | None
    cores: int
    platform: str
    python: str
    packages: dict[str, str]
    threads: int
    commit: str | None
    """Git commit of the code, with "+" where files differ from it; None outside a checkout."""


class Status(Record):
    """runs/<run>/status.json: how training ended. Written last; while it is missing the run is unfinished."""

    run: str
    state: State
    reason: str | None = None
    epochs: int
    steps: int
    images_per_second: float | None = None
    seconds: float
    """Training time over all of the run's starts."""
    peak_memory_mib: float | None = None
    weights_digest: str | None = None
    """SHA-256 over names, shapes and bytes of the final EMA tensors."""
    environment: Environment


class Scores(Record):
    """COCO metrics on 0–1; None where the data has no object of that kind."""

    AP: float | None
    AP50: float | None
    AP75: float | None
    APs: float | None
    APm: float | None
    APl: float | None


class Reading(Record):
    """One way of reading a model, scored."""

    scores: Scores
    slices: dict[str, Scores] = {}
    classes: dict[str, Scores] = {}
    detections_per_image: float


class Metrics(Record):
    """runs/<run>/metrics.json: accuracy on the validation split."""

    run: str
    state: State
    reason: str | None = None
    readings: dict[Read, Reading] = {}
    images: int = 0
    data_digest: str | None = None
    weights_digest: str | None = None
    nms_iou: float | None = None
    confidence: float | None = None
    """Detections below this score are not kept."""


class CostRow(Record):
    """What is deployed: fused, with the one head that is read."""

    params: int
    flops: int
    """2 × multiply-accumulates of all convolutions and matrix products, one image, at the preset's image side."""
    conv_flops: int
    """The share of convolutions alone: the papers' convention."""
    activations: int
    """Output elements of all convolutions and matrix products."""
    train_params: int
    """Of the training form, with every head and unfused."""


class Cost(Record):
    """cost.json: cost per arm, keyed "<ablation>/<arm>"."""

    imgsz: int
    classes: int
    arms: dict[str, CostRow]


class LatencyRow(Record):
    """One arm in one runtime; milliseconds per image at batch 1."""

    runtime: str
    arm: str
    """Label "<ablation>/<arm>"; arms that deploy the same network share their measurement."""
    stage: Literal["forward", "post", "end_to_end"]
    p50_ms: float
    min_ms: float
    p90_ms: float
    ratio: float | None
    """Median over rounds of this arm's time over the reference arm's in the same round."""
    ratio_low: float | None
    ratio_high: float | None
    """Distribution-free 95 % interval of that median (or widest available)."""


class Latency(Record):
    """latency/latency.json: recomputed from latency/blocks.csv, which keeps every timed block."""

    reference: str
    threads: int
    images: int
    rounds: int
    comparable: bool
    """False when the machine was busy at the start; the numbers are shown, and marked."""
    load_before: float
    rows: tuple[LatencyRow, ...]
    absent: dict[str, str] = {}
    """Arms or runtimes that were not measured, and why."""
    environment: Environment
