"""From candidates to subjects: loaded in each runtime, and checked against what was scored."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from mnv4bench.cost.arms import deployed
from mnv4bench.data.letterbox import Fit, Letterboxed, fit_of, into_square
from mnv4bench.io.errors import DataError, Mnv4benchError
from mnv4bench.latency.analyse.analysis import COPY
from mnv4bench.latency.measure.accuracy import Split, average_precision
from mnv4bench.latency.measure.agreement import Rows, unexplained
from mnv4bench.latency.measure.candidates import Candidate, Run
from mnv4bench.latency.measure.protocol import Call, Subject
from mnv4bench.latency.measure.task import Task
from mnv4bench.latency.runtimes.outputs import DEPLOYED, TOLERANCE, Output, Thresholds, detections, disagreement
from mnv4bench.latency.runtimes.registry import RUNTIMES
from mnv4bench.latency.runtimes.runtime import Deployment, Runtime
from mnv4bench.results.latency import Stage


@dataclass
class Loaded:
    """What is ready to be timed, and what is not; fields as of `Session`."""

    subjects: list[Subject] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    int8_ap: dict[tuple[str, str], float | None] = field(default_factory=dict)


def load_all(task: Task) -> Loaded:
    """Load every candidate in every runtime, the reference twice.

    A runtime that this machine lacks, and a network that fails in one, are reported; the others are still timed.

    Raises:
        Mnv4benchError: weights are damaged, or an image cannot be read.
    """
    if not task.images:
        raise DataError("no image to time on; the validation split needs one")
    square: dict[tuple[int, Fit], list[Letterboxed]] = {}
    loaded = Loaded(absent=_missing(task.runtimes))
    for candidate, label in in_random_order(task):
        model = candidate.source.load()
        network = deployed(model)
        side, fit = candidate.imgsz or task.imgsz, fit_of(model)
        if (side, fit) not in square:
            square[side, fit] = [into_square(path, side, fit) for _, path in task.images]
        images = square[side, fit]
        expected = raw_output(model, images[0].pixels)
        for name in task.runtimes:
            computing = candidate.runtime(name)
            if name in loaded.absent or computing is None:
                continue
            loader = _Loader(task, candidate, network, name, computing, images)
            try:
                runtime = loader.load()
                subject = loader.subject(label, runtime, expected)
                if loader.scores_int8 and label != COPY and task.score:
                    loaded.int8_ap[label, name] = average_precision(runtime, candidate.read, loader.score(task.score))
                loaded.subjects.append(subject)
            except Exception as error:  # a runtime may raise anything; the others are still worth timing
                if label != COPY:  # whose original fails for the same reason
                    loaded.failed[label, name] = in_one_line(error)
    return loaded


def _missing(runtimes: Sequence[str]) -> dict[str, str]:
    """Return runtime → why this machine does not have it."""
    missing = {}
    for name in runtimes:
        try:
            RUNTIMES[name]()
        except (ImportError, Mnv4benchError) as error:
            missing[name] = in_one_line(error)
    return missing


def in_random_order(task: Task) -> list[tuple[Candidate, str]]:
    """Return every candidate with its label, and the reference once more as the copy, in an order drawn per session.

    Where a network lies in memory makes it a little faster or slower throughout its process, and follows from what was
    loaded before it. In one fixed order that would favour the same arm in every session, and the sessions would agree
    on a difference that no arm has.
    """
    entries = [(candidate, candidate.label) for candidate in task.candidates]
    entries += [(candidate, COPY) for candidate in task.candidates if candidate.label == task.reference]
    order = np.random.Generator(np.random.PCG64(task.seed)).permutation(len(entries))
    return [entries[index] for index in order]


@torch.inference_mode()
def raw_output(model: nn.Module, pixels: np.ndarray) -> Output:
    """Return the unfused network's raw output for one image, which every runtime has to reproduce."""
    output: Output = model(torch.from_numpy(pixels)[None])[0][0].numpy()
    return output


@dataclass(frozen=True)
class _Loader:
    """Loads one candidate into one runtime, as often as it is wanted."""

    task: Task
    candidate: Candidate
    network: nn.Module
    """Deployed: fused, with the one head that is read."""
    name: str
    """The runtime that it is timed in."""
    computing: str
    """The same, or its library's int8 form."""
    images: list[Letterboxed]

    @property
    def precision(self) -> str:
        return RUNTIMES[self.computing].precision

    @property
    def scores_int8(self) -> bool:
        """Whether its AP in 8 bits is not known yet."""
        return self.precision == "int8" and self.candidate.source.trained and self.candidate.int8 is None

    @property
    def side(self) -> int:
        return self.candidate.imgsz or self.task.imgsz

    def score(self, split: Split) -> Split:
        """Return a split as this candidate is scored on it."""
        return replace(split, imgsz=self.side, settings=self.candidate.settings, fit=fit_of(self.network))

    def load(self, nms_in_graph: bool = False) -> Runtime:
        """Return a runtime that holds a copy of the network, its weights at places of their own."""
        runtime = RUNTIMES[self.computing]()
        runtime.load(
            Deployment(
                model=copy.deepcopy(self.network),
                imgsz=self.side,
                threads=self.task.threads,
                read=self.candidate.read,
                calibration=self._calibration() if self.precision == "int8" else (),
                nms_in_graph=nms_in_graph,
                thresholds=self.candidate.thresholds,
                key=str(self.candidate.source) if isinstance(self.candidate.source, Run) else None,
            )
        )
        return runtime

    def _calibration(self) -> list[np.ndarray]:
        paths = self.task.calibration if self.candidate.calibration is None else self.candidate.calibration
        return [into_square(path, self.side, fit_of(self.network)).pixels for path in paths]

    def subject(self, label: str, runtime: Runtime, expected: Output) -> Subject:
        """Return the candidate ready to be timed.

        Raises:
            Mnv4benchError: it computes something else than the scored model.
        """
        outputs = [runtime(image.pixels).copy() for image in self.images]
        if self.precision == "float32":
            self._check(outputs, expected)
        calls = _stages(runtime, self.images, outputs, self.candidate)
        if self.candidate.source.trained and self.candidate.read == "nms" and RUNTIMES[self.computing].graph_nms:
            whole = self.load(nms_in_graph=True)
            self._check_graph(whole, outputs)
            calls["in_graph"] = lambda index: whole(self.images[index].pixels)
        return Subject(self.name, label, calls)

    def _check(self, outputs: list[Output], expected: Output) -> None:
        difference = disagreement(outputs[0], expected, self.candidate.read, self.side)
        if not difference <= TOLERANCE:
            raise Mnv4benchError(
                f"its output differs from the scored model's by {difference:.1e}, and {TOLERANCE:.0e} is allowed"
            )
        scored = self.candidate.scored
        if scored is not None:
            nothing = np.empty((0, 6))
            expected_rows = [scored.get(image, nothing) for image, _ in self.task.images]
            above = max(self.candidate.thresholds.confidence, DEPLOYED.confidence)  # `scored` holds no other
            rows = [rows[rows[:, 4] > above] for rows in self._detections(outputs)]
            expected_rows = [rows[rows[:, 4] > above] for rows in expected_rows]
            self._compare(rows, expected_rows, "evaluation found", Thresholds(above, self.candidate.thresholds.iou))

    def _check_graph(self, whole: Runtime, outputs: list[Output]) -> None:
        inside = [_restored(whole(image.pixels), image) for image in self.images]
        self._compare(
            inside, self._detections(outputs), "suppression outside the graph leaves", self.candidate.thresholds
        )

    def _detections(self, outputs: list[Output]) -> list[Rows]:
        return [
            _restored(detections(output, self.candidate.read, self.candidate.thresholds), image)
            for output, image in zip(outputs, self.images, strict=True)
        ]

    def _compare(self, rows: list[Rows], expected: list[Rows], origin: str, thresholds: Thresholds) -> None:
        wrong = [
            unexplained(ours, theirs, max(image.height, image.width), thresholds)
            for ours, theirs, image in zip(rows, expected, self.images, strict=True)
        ]
        if any(wrong):
            first = self.task.images[next(index for index, count in enumerate(wrong) if count)][1].name
            raise Mnv4benchError(
                f"its detections are not what {origin}: {sum(wrong)} of {sum(map(len, expected))} differ, "
                f"first in {first}"
            )


def _restored(rows: Rows, image: Letterboxed) -> Rows:
    """Return detections in pixels of the original image."""
    return np.concatenate([image.restore(rows[:, :4].astype(np.float64)), rows[:, 4:]], axis=1)


def _stages(
    runtime: Runtime, images: list[Letterboxed], outputs: list[Output], candidate: Candidate
) -> dict[Stage, Call]:
    """Return what each stage does with the image of an index; `latency.arms` says what belongs to which."""
    read, thresholds = candidate.read, candidate.thresholds
    forward: dict[Stage, Call] = {"forward": lambda index: runtime(images[index].pixels)}
    if not candidate.source.trained:
        return forward
    return {
        **(forward if candidate.forward else {}),
        "post": lambda index: detections(outputs[index], read, thresholds),
        "end_to_end": lambda index: detections(runtime(images[index].pixels), read, thresholds),
    }


def in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
