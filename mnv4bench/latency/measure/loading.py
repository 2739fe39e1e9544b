"""From candidates to subjects: loaded in each runtime, and checked against what was scored."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from mnv4bench.cost.arms import deployed
from mnv4bench.data.letterbox import Letterboxed, letterbox
from mnv4bench.io.errors import DataError, Mnv4benchError
from mnv4bench.latency.analyse.analysis import COPY
from mnv4bench.latency.measure.accuracy import average_precision
from mnv4bench.latency.measure.agreement import Rows, scored, unexplained
from mnv4bench.latency.measure.candidates import Candidate
from mnv4bench.latency.measure.protocol import Call, Subject
from mnv4bench.latency.measure.session import Task
from mnv4bench.latency.runtimes.outputs import TOLERANCE, Output, detections, disagreement
from mnv4bench.latency.runtimes.registry import RUNTIMES
from mnv4bench.latency.runtimes.runtime import Deployment, Runtime
from mnv4bench.models import weights
from mnv4bench.results.latency import Stage


@dataclass
class Loaded:
    """What is ready to be timed, and what is not."""

    subjects: list[Subject] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    int8_ap: dict[tuple[str, str], float | None] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def load_all(task: Task) -> Loaded:
    """Load every candidate in every runtime, the reference twice.

    A runtime that this machine lacks, and a network that fails in one, are reported; the others are still timed.

    Raises:
        Mnv4benchError: weights are damaged, or an image cannot be read.
    """
    loaded = Loaded()
    usable = []
    for name in task.runtimes:
        try:
            RUNTIMES[name]()
            usable.append(name)
        except (ImportError, Mnv4benchError) as error:
            loaded.absent[name] = in_one_line(error)
    images = [letterbox(path, task.imgsz) for _, path in task.images]
    if not images:
        raise DataError("no image to time on; the validation split needs one")
    calibration = [letterbox(path, task.imgsz).pixels for path in task.calibration]
    for candidate, label in in_random_order(task):
        model = candidate.source.load()
        network = deployed(model)
        if label != COPY:
            loaded.digests[label] = weights.digest(network.state_dict())
        expected = raw_output(model, images[0].pixels)
        for name in usable:
            make = _Maker(task, candidate, network, name, images, calibration)
            try:
                runtime = make.runtime()
                loaded.subjects.append(make.subject(label, runtime, expected))
                if make.precision == "int8" and task.score and candidate.source.trained and label != COPY:
                    ap = average_precision(runtime, candidate.read, task.score)
                    loaded.int8_ap[label, name] = ap
            except Exception as error:  # a runtime may raise anything; the others are still worth timing
                if label != COPY:  # whose original fails for the same reason
                    loaded.failed[label, name] = in_one_line(error)
    return loaded


def in_random_order(task: Task) -> list[tuple[Candidate, str]]:
    """Return every candidate with its label, and the reference once more as the copy, in an order drawn per session.

    Where a network lies in memory makes it a little faster or slower throughout its process, and follows from what was
    loaded before it. In one fixed order that would favour the same arm in every session, and the sessions would agree
    on a difference that no arm has.
    """
    reference = [(one, COPY) for one in task.candidates if one.label == task.reference]
    entries = [*((one, one.label) for one in task.candidates), *reference]
    order = np.random.Generator(np.random.PCG64(task.seed)).permutation(len(entries))
    return [entries[index] for index in order]


@torch.inference_mode()
def raw_output(model: nn.Module, pixels: np.ndarray) -> Output:
    """Return the unfused network's raw output for one image, which every runtime has to reproduce."""
    output: Output = model(torch.from_numpy(pixels)[None])[0][0].numpy()
    return output


@dataclass(frozen=True)
class _Maker:
    """Loads one candidate into one runtime, as often as it is wanted."""

    task: Task
    candidate: Candidate
    network: nn.Module
    name: str
    images: list[Letterboxed]
    calibration: list[np.ndarray]

    @property
    def precision(self) -> str:
        return RUNTIMES[self.name].precision

    def runtime(self, nms_in_graph: bool = False) -> Runtime:
        """Return a runtime that holds a copy of the network, its weights at places of their own."""
        runtime = RUNTIMES[self.name]()
        runtime.load(
            Deployment(
                model=copy.deepcopy(self.network),
                imgsz=self.task.imgsz,
                threads=self.task.threads,
                read=self.candidate.read,
                calibration=self.calibration if self.precision == "int8" else (),
                nms_in_graph=nms_in_graph,
            )
        )
        return runtime

    def subject(self, label: str, runtime: Runtime, expected: Output) -> Subject:
        """Return the candidate ready to be timed.

        Raises:
            Mnv4benchError: it computes something else than the scored model.
        """
        outputs = [runtime(image.pixels).copy() for image in self.images]
        if self.precision == "float32":
            self._agrees(outputs, expected)
        calls = _stages(runtime, self.images, outputs, self.candidate)
        if self.candidate.source.trained and self.candidate.read == "nms" and RUNTIMES[self.name].graph_nms:
            whole = self.runtime(nms_in_graph=True)
            self._same_in_graph(whole, outputs)
            calls["in_graph"] = lambda index: whole(self.images[index].pixels)
        return Subject(self.name, label, calls)

    def _agrees(self, outputs: list[Output], expected: Output) -> None:
        difference = disagreement(outputs[0], expected, self.candidate.read, self.task.imgsz)
        if not difference <= TOLERANCE:
            raise Mnv4benchError(
                f"its output differs from the scored model's by {difference:.1e}, and {TOLERANCE:.0e} is allowed"
            )
        if self.candidate.detections is None:
            return
        known = scored(self.candidate.detections, self.candidate.read, self.task.category_ids)
        self._compare(
            self._detections(outputs),
            [known.get(image, np.empty((0, 6))) for image, _ in self.task.images],
            "evaluation found",
        )

    def _same_in_graph(self, whole: Runtime, outputs: list[Output]) -> None:
        self._compare(
            [self._restored(whole(one.pixels), one) for one in self.images],
            self._detections(outputs),
            "suppression outside the graph leaves",
        )

    def _detections(self, outputs: list[Output]) -> list[Rows]:
        found = [detections(output, self.candidate.read) for output in outputs]
        return [self._restored(rows, one) for rows, one in zip(found, self.images, strict=True)]

    def _restored(self, rows: Rows, one: Letterboxed) -> Rows:
        return np.concatenate([one.restore(rows[:, :4].astype(np.float64)), rows[:, 4:]], axis=1)

    def _compare(self, found: list[Rows], expected: list[Rows], what: str) -> None:
        wrong = [
            unexplained(ours, theirs, max(one.height, one.width))
            for ours, theirs, one in zip(found, expected, self.images, strict=True)
        ]
        if any(wrong):
            at = self.task.images[next(place for place, count in enumerate(wrong) if count)][1].name
            raise Mnv4benchError(
                f"its detections are not what {what}: {sum(wrong)} of {sum(map(len, expected))} differ, first in {at}"
            )


def _stages(
    runtime: Runtime, images: list[Letterboxed], outputs: list[Output], candidate: Candidate
) -> dict[Stage, Call]:
    """Return what each stage does with the image of an index; mnv4bench.latency says what belongs to which."""
    read = candidate.read
    forward: dict[Stage, Call] = {"forward": lambda index: runtime(images[index].pixels)}
    if not candidate.source.trained:
        return forward
    return {
        **forward,
        "post": lambda index: detections(outputs[index], read),
        "end_to_end": lambda index: detections(runtime(images[index].pixels), read),
    }


def in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
