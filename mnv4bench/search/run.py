"""A search from its spec to a backbone file, in one stage or in two; killed and started again it ends the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from mnv4bench.cost import counting
from mnv4bench.data.crops import Crops, Split
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import write_json
from mnv4bench.io.locks import exclusive
from mnv4bench.io.signals import ending_in_order
from mnv4bench.machine.process import set_up_process
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.results.record import read_record
from mnv4bench.results.search import SearchInput, SearchResult, SearchStage
from mnv4bench.search import space as spaces
from mnv4bench.search.calibration import Clocked, calibrated, whole
from mnv4bench.search.cost import Costs, macs_of
from mnv4bench.search.progress import forget
from mnv4bench.search.space import Architecture, Skeleton, Space
from mnv4bench.search.stage import Material, StageSearch, search_space
from mnv4bench.search.times import Stopwatch, Times
from mnv4bench.search.training import Teaching, Training, accuracy, hard, recipe, trained
from mnv4bench.spec.backbone import BackboneFile
from mnv4bench.spec.search import SearchSpec

SKELETONS: dict[str, Callable[[], Skeleton]] = {"conv_small": spaces.conv_small, "tiny": spaces.tiny}

RECORD, BACKBONE, INPUT = "search.json", "backbone.json", "input.json"
TIMES, CALIBRATION = "times.json", "calibration.json"


def search(
    spec: SearchSpec,
    crops: Mapping[Split, Crops],
    out: Path,
    lesson: Teaching | None = None,
) -> SearchResult:
    """Search a backbone, train it from scratch, and write search.json and backbone.json into `out`.

    Args:
        lesson: what teaches the weights; by default the training crops with their own labels.

    Raises:
        SpecError: `out` holds a search of another spec or of other images.
        Diverged: a loss is not finite.
    """
    with exclusive(out / ".lock"), ending_in_order():
        set_up_process(spec.threads)
        lesson = lesson or hard(crops["train"])
        given = SearchInput(spec=spec, data=digest_of(lesson, crops))
        _claim(given, out)
        if (out / RECORD).exists():
            forget(out)
            return read_record(out / RECORD, SearchResult)
        classes = crops["train"].classes
        costs, clocked = costs_of(spec, len(classes), out)
        material = Material(lesson, hard(crops["search"]), len(classes))
        chosen, stages = searched(spec, costs, material, given.data, out)
        result = _judged(given, chosen, stages, costs, clocked, lesson, crops, out)
        write_json(out / BACKBONE, as_file(result))
        write_json(out / RECORD, result)
        forget(out)
        return result


def costs_of(spec: SearchSpec, classes: int, out: Path) -> tuple[Costs, Clocked | None]:
    """Return what networks cost in the unit of the budget, and for one of milliseconds the stopwatch of whole networks.

    Times are measured on this machine, and kept in `out`.
    """
    skeleton = SKELETONS[spec.skeleton]()
    if spec.cost == "macs":
        return Costs(skeleton, spec.side, classes, macs_of), None
    times = Times(out / TIMES, Stopwatch(spec.side))
    alone = Costs(skeleton, spec.side, classes, times)
    clocked = whole(alone, times)
    return calibrated(alone, clocked, out / CALIBRATION), clocked


def digest_of(lesson: Teaching, crops: Mapping[Split, Crops]) -> str:
    """Return the SHA-256 of what is learned from, and of what rewards and scores."""
    digests = [lesson.digest, *(hard(crops[split]).digest for split in ("search", "test"))]
    return hashlib.sha256("|".join(digests).encode()).hexdigest()


def _claim(given: SearchInput, out: Path) -> None:
    """Write what is searched, or refuse a folder in which something else was."""
    path = out / INPUT
    if path.exists() and read_record(path, SearchInput) != given:
        raise SpecError(f"{out}: holds a search of another spec or of other images; name another folder by --out")
    write_json(path, given)


def searched(
    spec: SearchSpec, costs: Costs, material: Material, data: str, out: Path, keep: bool = False
) -> tuple[Architecture, tuple[SearchStage, ...]]:
    """Return the chosen architecture and how each stage came to its choice; resume from what `out` holds.

    Args:
        data: SHA-256 of the material.
        keep: also write each stage's shared weights.
    """
    identity = {"spec": spec.model_dump_json(), "data": data}

    def stage(name: str, space: Space, steps: int) -> tuple[Architecture, SearchStage]:
        result = search_space(StageSearch(name, space, costs, material, spec, steps), identity, out / name, keep)
        return space.architecture(result.chosen), result

    if spec.method == "one_stage":
        chosen, result = stage("joint", spaces.joint(costs.skeleton), spec.steps)
        return chosen, (result,)
    first, coarse = stage("coarse", spaces.coarse(costs.skeleton), spec.steps // 2)
    chosen, fine = stage("fine", spaces.fine(costs.skeleton, first), spec.steps - spec.steps // 2)
    return chosen, (coarse, fine)


def _judged(
    given: SearchInput,
    chosen: Architecture,
    stages: tuple[SearchStage, ...],
    costs: Costs,
    clocked: Clocked | None,
    lesson: Teaching,
    crops: Mapping[Split, Crops],
    out: Path,
) -> SearchResult:
    """Train the chosen network from scratch, and return what it came to."""
    spec, classes = given.spec, crops["train"].classes
    variant = spaces.variant(costs.skeleton, chosen)
    schedule = recipe(spec.final_steps, spec.lr, spec.batch)
    training = Training(variant, lesson, len(classes), schedule, spec.seed)
    network = trained(training, {"spec": spec.model_dump_json(), "data": given.data}, out)
    return SearchResult(
        spec=spec,
        data=given.data,
        classes=classes,
        stages=stages,
        rows=tuple(spaces.as_table(variant.rows)),
        expected_cost=costs.of(chosen),
        measured_ms=clocked and clocked(chosen),
        macs=macs(network, spec.side),
        accuracy=accuracy(network, crops["test"]),
    )


def macs(network: Classifier, side: int) -> int:
    """Return the multiply-accumulates of one square image, counted on the whole network."""
    return counting.macs(network, torch.zeros(1, 3, side, side))[""].total


def as_file(result: SearchResult) -> BackboneFile:
    """Return a result as the file that `model.backbone` takes."""
    spec = result.spec
    return BackboneFile(
        rows=result.rows,
        side=spec.side,
        cost=spec.cost,
        budget=spec.budget,
        expected_cost=result.expected_cost,
        accuracy=result.accuracy,
    )
