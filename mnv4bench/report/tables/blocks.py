"""One ablation as people read it: what it did to AP and how sure that is, what it costs, all its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnv4bench.report import accuracy, claims, text, timing
from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.cells import Cell, Table, table

SIZES = ("AP50", "AP75", "APs", "APm", "APl")


@dataclass(frozen=True)
class Block:
    """Three tables with the same arms in the same rows."""

    name: str
    title: str
    question: str
    accuracy: Table
    cost: Table
    scores: Table
    notes: tuple[tuple[str, str], ...]
    """Letter and sentence; the letters stand at the arms' names."""
    claims: tuple[str, ...]
    """What the source prints and what was measured beside it; empty where the ablation names no source."""


def block(results: Results, name: str) -> Block:
    """Return one ablation's tables, rounded: AP to the digits that the preset's narrowest interval carries."""
    spec, arms = results.plan.ablations[name], results.ablations[name]
    decimals = accuracy.decimals_of(results)
    planned = len(results.plan.preset.seeds)
    letters = _letters(arms, planned)
    names = [
        Cell(
            arm.arm.name + (" (baseline)" if arm.is_baseline else ""),
            marks=" ".join(letters[note] for note in text.arm_notes(arm, planned)),
        )
        for arm in arms
    ]
    return Block(
        name=name,
        title=spec.title,
        question=spec.question,
        accuracy=_accuracy(results, arms, names, decimals),
        cost=_cost(results, arms, names),
        scores=_scores(arms, names, decimals),
        notes=tuple((letter, note) for note, letter in letters.items()),
        claims=claims.sentences(spec, arms),
    )


def _letters(arms: Sequence[ArmResult], planned: int) -> dict[str, str]:
    notes = dict.fromkeys(note for arm in arms for note in text.arm_notes(arm, planned))
    return {note: _letter(position) for position, note in enumerate(notes)}


def _letter(position: int) -> str:
    return chr(ord("a") + position) if position < 26 else f"a{position - 25}"


def _accuracy(results: Results, arms: Sequence[ArmResult], names: Sequence[Cell], decimals: int) -> Table:
    level = fmt.percent(results.comparison.level)
    rows: list[tuple[Cell | str, ...]] = []
    for arm, name in zip(arms, names, strict=True):
        d = arm.difference
        bold = accuracy.strong(d)
        rows.append(
            (
                name,
                fmt.READS[arm.arm.read],
                accuracy.mean(arm, decimals),
                Cell(accuracy.interval(d, decimals), bold),
                Cell(accuracy.verdict(d), bold),
                fmt.number(accuracy.seed_error(d), decimals),
                fmt.number(d.image_se if d else None, decimals),
                accuracy.agreement(d),
                accuracy.p_value(d),
                fmt.number(d.mde if d else None, decimals),
            )
        )
    header = ("arm", "read", "AP", f"ΔAP [{level}]", "verdict", "± seed", "± image", "agree", "p (Holm)", "MDE")
    return table(header, "llrrlrrlrr", rows)


def _cost(results: Results, arms: Sequence[ArmResult], names: Sequence[Cell]) -> Table:
    header, align = ["arm", "params (M)", "FLOPs (G)"], "lrr"
    for runtime in results.timed:
        header += [f"{runtime} (ms)", f"{runtime} × base"]
        align += "rl"
    rows = []
    for arm, name in zip(arms, names, strict=True):
        row: list[Cell | str] = [
            name,
            fmt.number(arm.cost.params / 1e6 if arm.cost else None, 3),
            fmt.number(arm.cost.flops / 1e9 if arm.cost else None, 3),
        ]
        for runtime in results.timed:
            timed = arm.row(runtime)
            row += [timing.milliseconds(timed), timing.ratio_and_verdict(timed)]
        rows.append(row)
    return table(header, align, rows)


def _scores(arms: Sequence[ArmResult], names: Sequence[Cell], decimals: int) -> Table:
    rows: list[tuple[Cell | str, ...]] = [
        (
            name,
            *(fmt.number(arm.mean(score), 3) for score in SIZES),
            " ".join(accuracy.per_seed(arm, decimals)) if arm.done else fmt.NONE,
        )
        for arm, name in zip(arms, names, strict=True)
    ]
    return table(("arm", *SIZES, "AP per seed"), "lrrrrrl", rows)


def verdicts(results: Results) -> Table:
    """Return one row per comparison: the difference in AP, the end-to-end time in each runtime, and both verdicts."""
    rows = [(name, *row) for name in results.ablations for row in comparisons(results, name, results.timed)]
    return table(*verdicts_head("ablation", fmt.percent(results.comparison.level), results.timed), rows)


def verdicts_head(first: str, level: str, runtimes: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return titles and alignment of rows made of another cell and one of `comparisons`."""
    times = [f"time in {name}" for name in runtimes]
    return (first, "comparison", f"ΔAP [{level}]", "verdict", *times), "llrl" + "l" * len(times)


def comparisons(results: Results, name: str, runtimes: Sequence[str]) -> list[tuple[Cell | str, ...]]:
    """Return a row for each arm of an ablation but the baseline."""
    decimals = accuracy.decimals_of(results)
    baseline = results.plan.ablations[name].baseline
    rows: list[tuple[Cell | str, ...]] = []
    for arm in results.ablations[name]:
        if arm.is_baseline:
            continue
        d = arm.difference
        bold = accuracy.strong(d)
        rows.append(
            (
                f"{arm.arm.name} − {baseline}",
                Cell(accuracy.interval(d, decimals), bold),
                Cell(accuracy.verdict(d), bold),
                *(timing.ratio_and_verdict(arm.row(runtime)) for runtime in runtimes),
            )
        )
    return rows


def columns(results: Results) -> list[str]:
    """Return what the columns of every block hold."""
    threads = fmt.count(results.latency.threads, "thread")
    return [
        f"{text.uncertainty(results)} “± seed” and “± image” are its two parts as standard errors; “agree” counts the "
        "seeds whose difference has the mean's sign. AP is COCO's on 0–1; APs, APm and APl are small, medium and large "
        "objects.",
        f"Parameters and FLOPs (2 × multiply-accumulates, {results.cost.imgsz} pixels) are those of the fused network "
        "with the one head that is read.",
        f"Times are medians, end to end, of one image, {threads}; their digits end where the spread begins.",
        *text.not_comparable(results),
    ]


def foot(results: Results) -> list[str]:
    """Return the sentences that hold for every block, and what each verdict means."""
    int8 = f"{fmt.join(results.timed_int8)}: see the latency table, which has their AP beside the times."
    return [
        text.protocol(results.plan),
        *columns(results),
        *text.spelled(text.accuracy_legend(results)),
        "“× base” is the time over the ablation's baseline's, paired by round, with its 95 % interval.",
        *text.spelled(text.time_legend()),
        *text.resolution(results),
        *text.not_timed(results.latency),
        *([int8] if results.timed_int8 else []),
    ]
