"""One classifier of an ablation: its network found, trained from scratch, and scored on every test object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mnv4bench.data.crops import SIDE, Crops, Split
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_json
from mnv4bench.io.locks import exclusive
from mnv4bench.io.signals import ending_in_order
from mnv4bench.machine.environment import environment
from mnv4bench.machine.process import set_up_process
from mnv4bench.models.mobilenetv4.blocks import UIBRow
from mnv4bench.models.mobilenetv4.variants import CONV_SMALL
from mnv4bench.results.classifier import RESULT, ClassifierRecord
from mnv4bench.results.record import read_record
from mnv4bench.results.search import SearchStage
from mnv4bench.search import space as spaces
from mnv4bench.search.cost import Costs, macs_of, near, random_architecture
from mnv4bench.search.labels import lesson_of, objects
from mnv4bench.search.progress import forget
from mnv4bench.search.run import digest_of, macs, searched
from mnv4bench.search.space import Architecture, Block, Stage
from mnv4bench.search.stage import Material
from mnv4bench.search.training import Training, accuracy, hard, recipe, right, trained
from mnv4bench.spec.classifier import ClassifierRun, ClassifiersSpec

STEP_OF_FILTERS = 8
"""Between the widths that Conv-S is scaled to."""


def costs_of(classes: int) -> Costs:
    """Return the multiply-accumulates of Conv-S's skeleton on 64 pixels."""
    return Costs(spaces.conv_small(), SIDE, classes, macs_of)


def budget_of(settings: ClassifiersSpec, costs: Costs) -> float:
    return costs.of_rows(CONV_SMALL.rows) if settings.budget is None else settings.budget


def classify(run: ClassifierRun, labels: Path, folder: Path) -> ClassifierRecord:
    """Make a classifier and write result.json into `folder`; killed and started again it ends with the same bytes.

    Args:
        labels: the folder of the teacher's labels, which need not exist for a run that is not `taught`.

    Raises:
        Mnv4benchError: the labels are missing or damaged, or no network costs the budget.
        Diverged: a loss is not finite.
    """
    with exclusive(folder / ".lock"), ending_in_order():
        set_up_process(run.settings.threads)
        if (folder / RESULT).exists():
            forget(folder)
            return read_record(folder / RESULT, ClassifierRecord)
        crops = objects(run.settings, labels)
        costs = costs_of(len(crops["train"].classes))
        budget = budget_of(run.settings, costs)
        architecture, stages = _network(run, crops, costs, budget, labels, folder)
        record = _judged(run, architecture, stages, crops, costs, budget, labels, folder)
        write_json(folder / RESULT, record)
        forget(folder)
        return record


def _network(
    run: ClassifierRun, crops: Mapping[Split, Crops], costs: Costs, budget: float, labels: Path, folder: Path
) -> tuple[Architecture, tuple[SearchStage, ...]]:
    if run.arm.network == "conv_s":
        return scaled_conv_small(costs, budget), ()
    if run.arm.network == "random":
        return random_architecture(spaces.joint(costs.skeleton), costs, budget, run.seed), ()
    lesson = lesson_of(run.arm.searched_on, labels, crops["train"])
    material = Material(lesson, hard(crops["search"]), costs.classes)
    return searched(run.search(budget), costs, material, digest_of(lesson, crops), folder, keep=True)


def scaled_conv_small(costs: Costs, budget: float) -> Architecture:
    """Return Conv-S's own blocks with filters that cost the budget within 2 %, in multiples of 8, as near as can be to
    the ratio that Conv-S has; if its own do, these.

    Raises:
        Mnv4benchError: no filters of a quarter to four times Conv-S's cost that much.
    """
    own = conv_small()
    if near(costs.of(own), budget):
        return own
    first, second = (stage.channels for stage in own)
    best, distance = None, float("inf")
    for width in range(first // 4, 4 * first + 1, STEP_OF_FILTERS):
        for other in range(second // 4, 4 * second + 1, STEP_OF_FILTERS):
            scaled = (replace(own[0], channels=width), replace(own[1], channels=other))
            off = abs(width / other / (first / second) - 1)
            if off < distance and near(costs.of(scaled), budget):
                best, distance = scaled, off
    if best is None:
        raise Mnv4benchError(f"classifiers.budget {budget:g}: no scaled MobileNetV4-Conv-S costs that; change it")
    return best


def conv_small() -> Architecture:
    """Return MobileNetV4-Conv-S as an architecture of its skeleton's joint space."""
    blocks = [row for row in CONV_SMALL.rows if isinstance(row, UIBRow)]
    stages, start = [], 0
    for width, places in spaces.conv_small().stages:
        rows = blocks[start : start + places]
        stages.append(
            Stage(width, tuple(Block(True, (row.dw_start, row.dw_middle), int(row.expansion)) for row in rows))
        )
        start += places
    return tuple(stages)


def _judged(
    run: ClassifierRun,
    architecture: Architecture,
    stages: tuple[SearchStage, ...],
    crops: Mapping[Split, Crops],
    costs: Costs,
    budget: float,
    labels: Path,
    folder: Path,
) -> ClassifierRecord:
    """Train a network from scratch, and return what it came to."""
    settings, variant = run.settings, spaces.variant(costs.skeleton, architecture)
    lesson = lesson_of(run.arm.labels, labels, crops["train"])
    data = digest_of(lesson, crops)
    schedule = recipe(settings.final_steps, settings.lr, settings.batch)
    training = Training(variant, lesson, costs.classes, schedule, run.seed)
    network = trained(training, {"run": run.name, "data": data}, folder)
    hits = right(network, crops["test"])
    return ClassifierRecord(
        run=run,
        data=data,
        budget=budget,
        stages=stages,
        rows=tuple(spaces.as_table(variant.rows)),
        macs=macs(network, SIDE),
        params=sum(parameter.numel() for parameter in network.parameters()),
        accuracy=float(hits.mean()),
        train_accuracy=accuracy(network, crops["train"]),
        hits="".join("01"[hit] for hit in hits.astype(int)),
        environment=environment(),
    )
