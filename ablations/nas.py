"""What the searches found: tables/nas.{csv,md}, nas_signs.csv, nas_ranking.csv, figures/nas.{png,pdf}, and the
measurements behind them.

ranking.json sets the reward that a one-stage search's shared weights give to random networks of its cost
beside the accuracy of these networks trained alone; latency/nas.json has the times of every network that was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from safetensors.torch import load_file
from scipy.stats import binomtest, kendalltau

from mnv4bench.data.crops import SIDE
from mnv4bench.data.slices import SHAPES
from mnv4bench.io.files import write_json, write_text
from mnv4bench.latency.campaign import schedule
from mnv4bench.machine.environment import environment
from mnv4bench.models.mobilenetv4.blocks import UIBRow
from mnv4bench.models.mobilenetv4.network import Classifier
from mnv4bench.models.mobilenetv4.variants import CONV_SMALL, Variant, parse
from mnv4bench.report import formatting as fmt
from mnv4bench.report.figures.style import COLOURS, WIDTH, figure, look, save
from mnv4bench.report.rendering import page_of
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.results.classifier import RESULT, ClassifierRecord
from mnv4bench.results.environment import Environment
from mnv4bench.results.record import Record, read_record
from mnv4bench.search import space as spaces
from mnv4bench.search.classifiers import budget_of, classify, costs_of
from mnv4bench.search.controller import reward
from mnv4bench.search.cost import Costs, random_architecture
from mnv4bench.search.labels import objects
from mnv4bench.search.space import Architecture
from mnv4bench.search.stage import SHARED
from mnv4bench.search.supernet import Supernet
from mnv4bench.search.times import Whole, milliseconds
from mnv4bench.search.training import accuracy
from mnv4bench.spec.ablation import AblationSpec
from mnv4bench.spec.classifier import ClassifierArm, ClassifierRun
from mnv4bench.spec.extensions import Extension
from mnv4bench.spec.plan import Plan

ABLATION = "nas"
RANKED = "one_stage"
"""The arm whose shared weights rank networks of the whole joint space."""
FIRST_RANKED_SEED = 1000
"""Random networks for the ranking have seeds of their own."""
CHANCE = 200
"""Random networks that tell how often a choice is small by chance."""

TITLE = 14
"""Letters of a line above a network in the figure."""

SIGNS = ("arm", "size", "below", "above", "chance", "p")
RANKS = ("seed", "tau", "p")

Size = Literal["filters", "expansion"]


class Ranking(Record):
    """ranking.json."""

    alone: dict[int, float]
    """Seed of a random network → its top-1 on the test objects, trained from scratch by itself."""
    rewards: dict[int, dict[int, float]]
    """Seed of a search → seed of a network → the reward that the search's shared weights give it on all objects that
    searches are rewarded on."""


class Times(Record):
    """latency/nas.json: milliseconds of one image in ONNX Runtime with one thread, medians over rounds in turns."""

    milliseconds: dict[str, float]
    """By run."""
    environment: Environment


def write_ranking(plan: Plan, results: Path, data: Path) -> None:
    """Write ranking.json."""
    settings, folder = plan.preset.classifiers, results / "classifiers"
    labels = folder / settings.labels_name()
    searched = {seed: record.run for seed, record in records_of(plan, results)[RANKED].items()}
    taught = next(iter(searched.values())).arm.labels
    short = settings.of_runs.model_copy(update={"final_steps": settings.ranking.final_steps})
    held_out = objects(settings, labels)["search"]
    costs = costs_of(len(held_out.classes))
    budget, space = budget_of(settings, costs), spaces.joint(costs.skeleton)
    networks, alone = {}, {}
    for seed in range(FIRST_RANKED_SEED, FIRST_RANKED_SEED + settings.ranking.networks):
        run = ClassifierRun(settings=short, arm=ClassifierArm(network="random", labels=taught), seed=seed)
        alone[seed] = classify(run, labels, folder / run.name).accuracy
        networks[seed] = random_architecture(space, costs, budget, seed)
    rewards = {}
    for seed, run in searched.items():
        supernet = Supernet(space, costs.classes)
        supernet.load_state_dict(load_file(folder / run.name / "joint" / SHARED))
        rewards[seed] = {
            other: reward(accuracy(within(supernet, network), held_out), costs.of(network), budget)
            for other, network in networks.items()
        }
    write_json(results / "ranking.json", Ranking(alone=alone, rewards=rewards))


def within(supernet: Supernet, architecture: Architecture) -> Any:
    """Return one network of a supernet as a function of images."""
    return lambda images: supernet(images, architecture)


def write_times(plan: Plan, results: Path, data: Path) -> None:
    """Write latency/nas.json."""
    found = {r.run.name: r for records in records_of(plan, results).values() for r in records.values()}
    networks = [Whole(classifier(record)) for record in found.values()]
    times = dict(zip(found, milliseconds(networks, SIDE, schedule(plan.preset.latency)), strict=True))
    write_json(results / "latency" / "nas.json", Times(milliseconds=times, environment=environment()))


def classifier(record: ClassifierRecord) -> Classifier:
    """Return the network with fresh weights."""
    return Classifier(Variant(parse("\n".join(record.rows)), SIDE), len(SHAPES))


PAGE = """\
# What the searches found

{{ networks | table }}

- “Filters” are those of the two stages, “blocks” how many of the {{ places }} places are filled, “expansion” their \
mean; “ExtraDW” are the blocks, counted from 1, with a depthwise convolution before and after the expansion. \
MobileNetV4-Conv-S has {{ conv_s.filters | join(" and ") }} filters, {{ conv_s.blocks }} blocks, a mean expansion of \
{{ conv_s.expansion | number(2) }} and ExtraDW in {{ conv_s.extra | join(", ") }}.
- “Reward” is its mean and standard deviation over the last quarter of the last stage's steps.
- Times are of one image in ONNX Runtime with one thread, in turns; they carry no verdict.
- figures/nas.png shows the networks block by block: first and middle depthwise kernel, times the expansion.

## Does one stage prefer small sizes?

{{ signs | table }}

- The paper says that a one-stage search prefers small filters and expansions. Counted are the choices of all seeds \
below and above the middle: the stages' base filters, and the expansion of 4 that two stages always have. “By chance” \
is the share below of {{ chance }} random networks at the same cost, drawn where the sizes were chosen; p is the exact \
two-sided binomial test against it. The choices of one search depend on each other, so p is too small rather than too \
large.

## Do shared weights rank networks as training them alone does?

{{ ranking | table }}

- Kendall's τ between the reward with a one-stage search's shared weights and the top-1 of the same {{ ranked }} \
random networks, each trained alone for {{ steps | count("step") }} from a seed of its own. All of them cost the same \
within 2 %, so what differs is their accuracy.
"""


@dataclass(frozen=True)
class Network:
    """The rows of a network in figures."""

    filters: tuple[int, ...]
    blocks: int
    expansions: tuple[float, ...]
    extra: tuple[int, ...]
    """ExtraDW blocks, counted from 1."""

    @property
    def expansion(self) -> float:
        return fmean(self.expansions)


def network(rows: Iterable[str]) -> Network:
    """Return the figures of a network in the notation of tables.py."""
    uibs = blocks(rows)
    return Network(
        tuple(stage[0].channels for stage in stages(uibs)),
        len(uibs),
        tuple(row.expansion for row in uibs),
        tuple(place for place, row in enumerate(uibs, 1) if row.dw_start and row.dw_middle),
    )


def blocks(rows: Iterable[str]) -> list[UIBRow]:
    return [row for row in parse("\n".join(rows)) if isinstance(row, UIBRow)]


def stages(uibs: Sequence[UIBRow]) -> list[list[UIBRow]]:
    """Return blocks by resolution; the first of each halves it."""
    starts = [sum(row.stride == 2 for row in uibs[: place + 1]) for place in range(len(uibs))]
    return [[row for _, row in group] for _, group in groupby(zip(starts, uibs, strict=True), key=lambda pair: pair[0])]


def write_networks(plan: Plan, results: Path, data: Path) -> None:
    """Write tables/nas.{csv,md}, what it says of sizes and ranks as CSV, and figures/nas.{png,pdf}."""
    records = records_of(plan, results)
    times = read_record(results / "latency" / "nas.json", Times).milliseconds
    ranking = read_record(results / "ranking.json", Ranking)
    spec, settings = plan.classifiers.ablations[ABLATION], plan.preset.classifiers
    costs = costs_of(len(SHAPES))
    rows = [row_of(arm, record, times) for arm, seeds in records.items() for record in seeds.values()]
    signs = sign_tests(records, costs, budget_of(settings, costs))
    write_text(results / "tables" / "nas.csv", to_csv(rows, list(rows[0])))
    write_text(results / "tables" / "nas_signs.csv", to_csv([sign.row for sign in signs], SIGNS))
    write_text(results / "tables" / "nas_ranking.csv", to_csv(ranks(ranking), RANKS))
    conv_s = network(spaces.as_table(CONV_SMALL.rows))
    text = page_of(
        PAGE,
        networks=_networks_table(rows, spec),
        places=sum(places for _, places in costs.skeleton.stages),
        conv_s=conv_s,
        signs=_signs_table(signs, spec),
        chance=CHANCE,
        ranking=_ranking_table(ranking),
        ranked=len(ranking.alone),
        steps=settings.ranking.final_steps,
    )
    write_text(results / "tables" / "nas.md", text)
    with look():
        save(drawn(records, spec), results / "figures", "nas")


def records_of(plan: Plan, results: Path) -> dict[str, dict[int, ClassifierRecord]]:
    """Return arm → seed → what it came to."""
    folder = results / "classifiers"
    return {
        arm: {seed: read_record(folder / run / RESULT, ClassifierRecord) for seed, run in runs.items()}
        for arm, runs in plan.classifiers.arms[ABLATION].items()
    }


def row_of(arm: str, record: ClassifierRecord, times: dict[str, float]) -> dict[str, Any]:
    """Return a network's row of nas.csv."""
    found, last = network(record.rows), record.stages[-1] if record.stages else None
    return {
        "arm": arm,
        "seed": record.run.seed,
        "top1": record.accuracy,
        "macs": record.macs,
        "onnxruntime_ms": times[record.run.name],
        "filters": " ".join(map(str, found.filters)),
        "blocks": found.blocks,
        "expansion": found.expansion,
        "extra_dw": " ".join(map(str, found.extra)),
        "reward_mean": last and last.reward_mean,
        "reward_variance": last and last.reward_variance,
        "rows": "; ".join(record.rows),
    }


def _networks_table(rows: Sequence[dict[str, Any]], spec: AblationSpec) -> Table:
    header = ("arm", "seed", "top-1 (points)", "MACs (M)", "ms", "filters", "blocks", "expansion", "ExtraDW", "reward")
    lines = []
    for row in rows:
        gained = fmt.NONE
        if row["reward_mean"] is not None:
            gained = f"{fmt.number(row['reward_mean'], 3)} ± {fmt.number(row['reward_variance'] ** 0.5, 3)}"
        lines.append(
            (
                spec.title_of(row["arm"]),
                str(row["seed"]),
                fmt.points(row["top1"], 1),
                fmt.number(row["macs"] / 1e6, 2),
                fmt.significant(row["onnxruntime_ms"]),
                row["filters"].replace(" ", ", "),
                str(row["blocks"]),
                fmt.number(row["expansion"], 2),
                row["extra_dw"].replace(" ", ", ") or fmt.NONE,
                gained,
            )
        )
    return table(header, "lrrrrlrrll", lines)


@dataclass(frozen=True)
class SignTest:
    """Sizes that were chosen, against the middle of what could be."""

    arm: str
    size: Size
    below: int
    above: int
    chance: float
    """Share below, of random networks' choices that are not the middle."""

    @property
    def p(self) -> float:
        total = self.below + self.above
        return float(binomtest(self.below, total, self.chance).pvalue) if total else 1.0

    @property
    def row(self) -> dict[str, Any]:
        """Return its row of nas_signs.csv."""
        return {name: getattr(self, name) for name in SIGNS}


def sign_tests(
    records: dict[str, dict[int, ClassifierRecord]], costs: Costs, budget: float, chance: int = CHANCE
) -> list[SignTest]:
    """Return a test for each search's filters, and for the expansions of those that choose them."""
    bases = [base for base, _ in costs.skeleton.stages]
    # Filters are chosen in the first stage's space, where there are two.
    spaces_of = {"one_stage": spaces.joint(costs.skeleton), "two_stage": spaces.coarse(costs.skeleton)}
    by_chance = {method: _drawn(space, costs, budget, chance) for method, space in spaces_of.items()}
    tests = []
    for arm, seeds in records.items():
        method = next(iter(seeds.values())).run.arm.network
        if method not in by_chance:
            continue
        sizes: tuple[Size, ...] = ("filters", "expansion") if method == "one_stage" else ("filters",)
        for size in sizes:
            below, above = _sides([record.rows for record in seeds.values()], size, bases)
            fewer, more = _sides(by_chance[method], size, bases)
            tests.append(SignTest(arm, size, below, above, fewer / (fewer + more)))
    return tests


def _drawn(space: spaces.Space, costs: Costs, budget: float, count: int) -> list[list[str]]:
    """Return the rows of random networks of a space at the budget."""
    seeds = range(2 * FIRST_RANKED_SEED, 2 * FIRST_RANKED_SEED + count)
    networks = (random_architecture(space, costs, budget, seed) for seed in seeds)
    return [spaces.as_table(spaces.rows(costs.skeleton, network)) for network in networks]


def _sides(networks: Iterable[Sequence[str]], size: Size, bases: Sequence[int]) -> tuple[int, int]:
    """Return how many sizes lie below and above the middle."""
    pairs: list[tuple[float, float]] = []
    for rows in networks:
        of_stages = stages(blocks(rows))
        if size == "filters":
            pairs += [(stage[0].channels, base) for stage, base in zip(of_stages, bases, strict=True)]
        else:
            pairs += [(row.expansion, spaces.EXPANSION) for stage in of_stages for row in stage]
    return sum(value < middle for value, middle in pairs), sum(value > middle for value, middle in pairs)


def _signs_table(tests: Sequence[SignTest], spec: AblationSpec) -> Table:
    lines = [
        (
            spec.title_of(test.arm),
            test.size,
            str(test.below),
            str(test.above),
            fmt.percent(round(test.chance, 2)),
            fmt.number(test.p, 3),
        )
        for test in tests
    ]
    return table(("arm", "size", "below", "above", "by chance", "p"), "llrrrr", lines)


def tau(ranking: Ranking, search: int) -> tuple[float, float]:
    """Return Kendall's τ (τ-b) of a search's rewards with the networks' own accuracy, and its p; NaN for ties alone."""
    seeds = sorted(ranking.alone)
    found = kendalltau([ranking.rewards[search][seed] for seed in seeds], [ranking.alone[seed] for seed in seeds])
    return float(found.statistic), float(found.pvalue)


def ranks(ranking: Ranking) -> list[dict[str, Any]]:
    """Return the rows of nas_ranking.csv."""
    return [dict(zip(RANKS, (seed, *tau(ranking, seed)), strict=True)) for seed in ranking.rewards]


def _ranking_table(ranking: Ranking) -> Table:
    lines = [(str(row["seed"]), fmt.number(row["tau"], 3), fmt.number(row["p"], 3)) for row in ranks(ranking)]
    return table(("seed of the search", "τ", "p"), "rrr", lines)


KINDS = {
    (False, True): ("inverted bottleneck", COLOURS[5]),
    (True, False): ("ConvNext-like", COLOURS[4]),
    (True, True): ("ExtraDW", COLOURS[1]),
    (False, False): ("FFN", COLOURS[2]),
}
"""(First, middle depthwise convolution there) → name, and a colour that black can be read on."""


def drawn(records: dict[str, dict[int, ClassifierRecord]], spec: AblationSpec) -> Figure:
    """Return the networks side by side: a bar for each block, as wide as its filters, stages below each other."""
    found = [("Conv-S\nas published", blocks(spaces.as_table(CONV_SMALL.rows)))]
    found += [
        (f"{fmt.wrapped(spec.title_of(arm), TITLE)}\nseed {seed}", blocks(record.rows))
        for arm, seeds in records.items()
        for seed, record in seeds.items()
        if arm != "conv_s"
    ]
    columns = min(len(found), 7)
    lines = -(-len(found) // columns)
    made = figure(WIDTH, 2.6 * lines + 0.4)
    axes = made.subplots(lines, columns, squeeze=False)
    widest = max(row.channels for _, uibs in found for row in uibs)
    deepest = [max(len(stages(uibs)[stage]) for _, uibs in found) for stage in range(2)]
    for axis in axes.flat:
        axis.axis("off")
    for axis, (title, uibs) in zip(axes.flat, found, strict=False):
        _draw(axis, title, uibs, widest, deepest)
    handles = [Patch(color=colour, label=name) for name, colour in KINDS.values()]
    made.legend(handles=handles, loc="outside lower center", ncols=len(KINDS))
    return made


def _draw(axis: Axes, title: str, uibs: Sequence[UIBRow], widest: int, deepest: Sequence[int]) -> None:
    """Draw one network from top to bottom, with kernels and expansion in each bar and filters above each stage."""
    axis.set_xlim(-widest / 2, widest / 2)
    axis.set_ylim(sum(deepest) + 2.2, -1)
    axis.set_title(title)
    top = 0.0
    for stage, depth in zip(stages(uibs), deepest, strict=True):
        axis.text(0, top - 0.3, f"{stage[0].channels} filters", ha="center", va="center", fontsize=5.5)
        for place, row in enumerate(stage):
            _, colour = KINDS[bool(row.dw_start), bool(row.dw_middle)]
            axis.barh(top + place + 0.5, row.channels, 0.85, left=-row.channels / 2, color=colour)
            kernels = "·".join(str(kernel or "–") for kernel in (row.dw_start, row.dw_middle))
            axis.text(0, top + place + 0.5, f"{kernels} ×{row.expansion:g}", ha="center", va="center", fontsize=5)
        top += depth + 1.2


EXTENSION = Extension(
    steps={"nas_ranking": write_ranking, "nas_times": write_times, "nas": write_networks},
    measured=("ranking.json", "latency/nas.json"),
    computed=("tables/nas.csv", "tables/nas_signs.csv", "tables/nas_ranking.csv"),
    rendered=("tables/nas.md",),
)
