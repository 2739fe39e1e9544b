"""One session: a process of its own in which every arm is loaded, checked and timed, one image and one thread."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4bench.errors import DataError, Mnv4benchError, SpecError
from mnv4bench.files import read_json
from mnv4bench.latency.protocol import Block, Call, Stage, Subject, run_session
from mnv4bench.plan import Arm, Plan
from mnv4bench.records import Dataset, Environment
from mnv4bench.spec import Read, derive_seed
from mnv4bench.yamlfile import nearest

if TYPE_CHECKING:  # imported where they are used: after the session's process has its thread limits
    from mnv4bench.latency.runtimes import Image, Output, Runtime
    from mnv4bench.models.yolo import Detector

THREADS = 1
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Session:
    """What a session brings back."""

    blocks: tuple[Block, ...]
    images: int
    absent: dict[str, str]
    """Runtime → why it could not be used."""
    failed: dict[tuple[str, str], str]
    """Arm and runtime → why this arm was not timed in it."""
    environment: Environment


def in_new_process(plan: Plan, arms: tuple[Arm, ...], runs: Path, data: Path, number: int = 0) -> Session:
    """Run a session in a fresh process, with thread limits set before anything is imported; sleep until it ends.

    Raises:
        Mnv4benchError: the process was killed, or raised one of these errors itself.
    """
    with one_thread(), ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(run, plan, arms, runs, data, number).result()
        except BrokenProcessPool as error:
            raise Mnv4benchError(
                "the latency session's process was killed, most often for lack of memory; free some and run it again"
            ) from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Set the thread limits that a process started in this block inherits."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(THREADS)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run(plan: Plan, arms: tuple[Arm, ...], runs: Path, data: Path, number: int) -> Session:
    """Load every arm in every runtime, check that it computes what was scored, and time all of them together.

    Args:
        arms: each deploys another network; its run of the preset's first seed is done.

    Raises:
        SpecError: the preset names a runtime that does not exist, or weights are damaged.
        DataError: no validation image, or one that cannot be read.
    """
    import torch

    from mnv4bench.environment import environment
    from mnv4bench.process import keep_freed_memory

    torch.set_num_threads(THREADS)
    torch.set_num_interop_threads(THREADS)
    keep_freed_memory()  # a running service reaches this state; page faults would time the kernel instead

    preset = plan.preset
    dataset = Dataset.model_validate(read_json(data / "dataset.json"))
    images = validation_images(dataset, data, preset.latency.images, preset.data.imgsz)
    classes = len(dataset.classes)
    subjects, absent, failed = load_all(plan, arms, runs, images, classes)
    print(f"timing {len(subjects)} arms × runtimes over {preset.latency.rounds} rounds", file=sys.stderr, flush=True)
    seed = derive_seed("latency order", plan.preset_name, number)
    blocks = run_session(subjects, len(images), preset.latency.rounds, preset.latency.block_ms, seed, number)
    return Session(tuple(blocks), len(images), absent, failed, environment())


def validation_images(dataset: Dataset, folder: Path, count: int, imgsz: int) -> list[Image]:
    """Return the first `count` validation images by id, letterboxed; all of them where there are fewer."""
    from mnv4bench.images import letterbox

    records = read_json(dataset.path(folder, dataset.val.annotations))["images"]
    first = sorted(records, key=lambda record: record["id"])[:count]
    if not first:
        raise DataError(f"{folder / dataset.val.annotations}: no image to time; the validation split needs one")
    root = dataset.path(folder, dataset.val.images)
    return [letterbox(root / record["file_name"], imgsz).pixels for record in first]


def load_all(
    plan: Plan, arms: tuple[Arm, ...], runs: Path, images: list[Image], classes: int
) -> tuple[list[Subject], dict[str, str], dict[tuple[str, str], str]]:
    """Return a subject per arm and runtime, the runtimes that are absent, and the arms that failed in one."""
    absent: dict[str, str] = {}
    failed: dict[tuple[str, str], str] = {}
    usable = []
    for name in wanted_runtimes(plan):
        try:
            new_runtime(name)
            usable.append(name)
        except ImportError as error:
            absent[name] = f"cannot be imported: {error}"
    subjects = []
    for arm in arms:
        model = trained(plan, arm, runs, classes)
        for name in usable:
            try:
                subjects.append(load_one(name, arm, model, images))
            except Exception as error:  # a runtime may raise anything; the others are still worth timing
                failed[arm.label, name] = in_one_line(error)
    return subjects, absent, failed


def wanted_runtimes(plan: Plan) -> list[str]:
    """Return the preset's runtimes, and the GPU's where there is one.

    Raises:
        SpecError: one of them does not exist.
    """
    import torch

    from mnv4bench.latency.runtimes import RUNTIMES

    names = list(plan.preset.latency.runtimes)
    for name in names:
        if name not in RUNTIMES:
            where = f"config/{plan.preset_name}.yaml: latency.runtimes"
            raise SpecError(f"{where}: no runtime {name!r}; {nearest(name, list(RUNTIMES))}")
    if torch.cuda.is_available() and "torch_cuda" not in names:
        names.append("torch_cuda")
    return names


def new_runtime(name: str) -> Runtime:
    from mnv4bench.latency.runtimes import RUNTIMES

    return RUNTIMES[name]()


def trained(plan: Plan, arm: Arm, runs: Path, classes: int) -> Detector:
    """Return an arm's network of the first seed, as it was scored: unfused, in eval mode."""
    from mnv4bench import weights
    from mnv4bench.models import detector

    model = detector.build(arm.model, classes, read=arm.read)
    weights.load(model, runs / arm.runs[plan.preset.seeds[0]] / "weights.safetensors")
    model.eval()
    return model


def load_one(name: str, arm: Arm, model: Detector, images: list[Image]) -> Subject:
    """Load the deployed form of a model into a runtime.

    Raises:
        Mnv4benchError: its output for the first image is not what the scored model says.
    """
    import torch

    from mnv4bench.cost import deployed
    from mnv4bench.latency.outputs import TOLERANCE, disagreement

    imgsz = images[0].shape[-1]
    with torch.inference_mode():
        expected = model(torch.from_numpy(images[0])[None])[0][0].numpy()
    runtime = new_runtime(name)
    runtime.load(deployed(model), imgsz)
    difference = disagreement(runtime(images[0]), expected, arm.read, imgsz)
    if not difference <= TOLERANCE:
        raise Mnv4benchError(
            f"its output differs from the scored model's by {difference:.1e}, and {TOLERANCE:.0e} is allowed"
        )
    return Subject(name, arm.label, stages(runtime, images, arm.read))


def stages(runtime: Runtime, images: list[Image], read: Read) -> Mapping[Stage, Call]:
    """Return what each stage does with the image of an index; mnv4bench.latency says what belongs to which."""
    from mnv4bench.latency.outputs import detections

    outputs: list[Output] = [runtime(image).copy() for image in images]
    return {
        "forward": lambda index: runtime(images[index]),
        "post": lambda index: detections(outputs[index], read),
        "end_to_end": lambda index: detections(runtime(images[index]), read),
    }


def in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
