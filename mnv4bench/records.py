"""The schema of every result file, in one place. docs/files.md says which rule writes which."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mnv4bench.model_spec import Read

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
    """Images."""
    objects: int
    slices: dict[str, int] = {}
    """Images of each diagnostic slice."""


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


ErrorType = Literal["classification", "localisation", "both", "duplicate", "background", "missed"]


class Errors(Record):
    """What keeps AP50 down, by type (TIDE: Bolya et al., ECCV 2020, section 2)."""

    AP50: float | None
    """By the same matching as the gains; equal to COCO's AP50."""
    gains: dict[ErrorType, float | None]
    """AP50 gained, on 0–1, when the errors of this type alone are repaired."""
    counts: dict[ErrorType, int]
    duplicates_per_object: float | None
    """Duplicate detections above `confidence` for each object: what suppression would have removed."""
    confidence: float
    """Of `duplicates_per_object` alone; gains and counts are over all detections kept."""


class Reading(Record):
    """One way of reading a model, scored."""

    scores: Scores
    slices: dict[str, Scores] = {}
    classes: dict[str, Scores] = {}
    detections_per_image: float
    errors: Errors | None = None


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


class PartCost(Record):
    """A part's share of what is deployed; FLOPs are 2 × multiply-accumulates."""

    params: int
    flops: int


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
    parts: dict[str, PartCost] = {}
    """Every part with weights (model_spec.PartName), or a peer's backbone, neck and head. Empty in older files."""


class Cost(Record):
    """cost.json: cost per arm, keyed "<ablation>/<arm>"."""

    imgsz: int
    classes: int
    arms: dict[str, CostRow]


Stage = Literal["forward", "post", "end_to_end", "in_graph"]
LatencyVerdict = Literal["faster", "slower", "same", "identical", "unstable", "suppressed"]


class LatencyRow(Record):
    """One arm in one runtime at one thread count; milliseconds per image at batch 1."""

    runtime: str
    threads: int
    arm: str
    """Label "<ablation>/<arm>"; arms that deploy the same network share their measurement."""
    stage: Stage
    blocks: int
    """Timed blocks behind the times below."""
    p50_ms: float
    """Of the blocks' means per image."""
    min_ms: float
    p90_ms: float | None
    """Not exceeded by nine of ten blocks, at 99 % confidence; None where there are too few blocks to say."""
    spread: float
    """Interquartile range over median of the rounds' times, over the sessions that ratios are over, each brought to
    one level."""
    baseline: str | None
    """Label of the arm that the ratio is over: the ablation's baseline; None for the baseline itself."""
    ratio: float | None = None
    """Median over rounds of this arm's time over the baseline's in the same round of the same session."""
    ratio_low: float | None = None
    ratio_high: float | None = None
    """Distribution-free 95 % interval of that median (or the widest available)."""
    ratio_sessions: tuple[float, ...] = ()
    """The median of each session, contaminated ones left out."""
    resolution: float | None = None
    """Smallest relative change that can get a verdict here: what two copies of one network differ by, at least 2 %."""
    verdict: LatencyVerdict | None = None
    reason: str | None = None
    """Why the verdict is unstable, suppressed or identical."""


class LatencySession(Record):
    """One process in which every arm was timed, and how quiet the machine was."""

    number: int
    threads: int
    seconds: float
    busy_before: float
    """Cores at work for others just before."""
    busy_during: float | None = None
    """Cores at work for others meanwhile; None where the kernel does not count core time."""
    involuntary_switches: int | None = None
    """How often the process was put aside while it measured."""
    canary_drift: float | None = None
    """Relative move of a fixed piece of work between the thirds of the session."""
    copies: dict[str, float] = {}
    """"<runtime> <stage>" → time of the reference's second copy over the first, minus 1; medians over rounds."""
    contaminated: tuple[str, ...] = ()
    """Why the session's times are kept and take no part in verdicts; a reason that begins "in <runtime> <stage> alone"
    concerns only these."""


class QuantisedAP(Record):
    """What quantisation does to the weights that were timed; arms that deploy the same network share them."""

    runtime: str
    arm: str
    read: Read
    AP: float | None
    AP_float: float | None
    """Of the same weights in float32, as evaluated."""


class Latency(Record):
    """latency/latency.json: recomputed from latency/blocks.csv, which keeps every timed block."""

    reference: str
    """The arm of which a second copy was timed."""
    images: int
    rounds: int
    blocks: int
    """Timed blocks in each turn; the fastest counts."""
    block_ms: float
    comparable: bool
    """False when the machine was busy at the start of a session; the numbers are shown, and marked."""
    sessions: tuple[LatencySession, ...]
    rows: tuple[LatencyRow, ...]
    quantised: tuple[QuantisedAP, ...] = ()
    absent: dict[str, str] = {}
    """Arms or runtimes that were not measured, and why."""
    notes: tuple[str, ...] = ()
    """Warnings, a sentence each."""
    fingerprint: str
    """SHA-256 over everything of the machine and software that times depend on, first 12 digits."""
    environment: Environment

    @property
    def threads(self) -> int:
        """The thread count that tables and figures show: the first one."""
        return self.sessions[0].threads
