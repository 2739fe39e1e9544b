"""The report, from a results folder made up by rule (fake_results) to tables, figures and the paper."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import fake_results as fake
import numpy as np
import pytest

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json, sha256, write_json
from mnv4bench.report import accuracy, timing
from mnv4bench.report import formatting as fmt
from mnv4bench.report import text as texts
from mnv4bench.report.figures.detections import chosen
from mnv4bench.report.figures.pareto import pareto, points
from mnv4bench.report.figures.write import DRAWN, write_figures
from mnv4bench.report.findings import outcomes
from mnv4bench.report.paper.facts import facts
from mnv4bench.report.paper.write import write_paper
from mnv4bench.report.results import collect, distinct
from mnv4bench.report.tables import errors
from mnv4bench.report.tables.cells import table
from mnv4bench.report.tables.latex import escape
from mnv4bench.report.tables.write import write_tables
from mnv4bench.results.comparison import Comparison, Difference, Gate, Verdict, WeakClass
from mnv4bench.results.latency import Absence, Latency, LatencyRow
from mnv4bench.spec.plan import Plan

SOURCE = Path(__file__).parents[1] / "paper"
DIVERGED = ("diverged", "the loss is not finite at step 120 (box_loss)")
OUT_OF_MEMORY = ("out_of_memory", "cannot allocate 2 GiB")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Both folders, made once: writing through mnv4bench.io.files is slow, because it waits for the disk."""
    root = tmp_path_factory.mktemp("fake")
    plan = fake.make_plan(root)
    fake.write_results(plan, root / "healthy")
    ends = {run: OUT_OF_MEMORY for run in plan.arms[-1].runs.values()}
    fake.write_results(plan, root / "wounded", ends | {plan.arms[1].runs[1]: DIVERGED})
    return plan, root


@pytest.fixture
def healthy(made: tuple[Plan, Path], tmp_path: Path) -> tuple[Plan, Path]:
    plan, root = made
    return plan, Path(shutil.copytree(root / "healthy", tmp_path / "results"))


@pytest.fixture
def wounded(made: tuple[Plan, Path], tmp_path: Path) -> tuple[Plan, Path]:
    """Seed 1 of psa/psa diverged, every run of distillation/outputs ran out of memory."""
    plan, root = made
    return plan, Path(shutil.copytree(root / "wounded", tmp_path / "results"))


def read_csv(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return {f"{row['ablation']}/{row['arm']}": row for row in csv.DictReader(stream)}


def latency(results: Path) -> Latency:
    return Latency.model_validate(read_json(results / "latency/latency.json"))


def test_csv_has_one_row_per_arm_with_unrounded_numbers(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    write_tables(plan, results)
    rows = read_csv(results / "tables/ablations.csv")
    assert list(rows) == [arm.label for arm in plan.arms]
    aps = [
        read_json(results / "runs" / run / "metrics.json")["readings"]["nms_free"]["scores"]["AP"]
        for run in plan.arms[1].runs.values()
    ]
    row = rows["psa/psa"]
    assert [float(row[f"AP_seed{seed}"]) for seed in (0, 1, 2)] == aps
    assert float(row["AP"]) == pytest.approx(np.mean(aps), abs=1e-15)
    base = rows["psa/none"]
    timed = next(row for row in latency(results).rows if row.arm == "psa/psa" and row.stage == "end_to_end")
    assert [float(row[f"torch_ratio_to_baseline{end}"]) for end in ("", "_low", "_high")] == [
        timed.ratio, timed.ratio_low, timed.ratio_high,
    ]  # fmt: skip
    assert (row["torch_verdict"], row["verdict"], float(row["mde"])) == (timed.verdict, "better", 0.0098)
    assert {base[name] for name in ("torch_ratio_to_baseline", "torch_verdict", "difference_mean", "verdict")} == {""}
    assert base["baseline"] == "1"


def test_slices_csv_has_a_row_per_arm_and_slice_and_no_interval(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    write_tables(plan, results)
    with (results / "tables/slices.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(plan.arms) * len(fake.SLICES)
    assert {row["images"] for row in rows} == {"2"}
    assert not any("low" in column or "p_value" in column for column in rows[0])
    row = next(row for row in rows if (row["arm"], row["slice"]) == ("psa", "crowd"))
    seeds = [float(pair.split(":")[1]) for pair in row["difference_seeds"].split()]
    assert float(row["difference"]) == pytest.approx(np.mean(seeds))


def test_failed_runs_are_cells_with_their_reason_and_the_other_seeds_count(wounded: tuple[Plan, Path]) -> None:
    plan, results = wounded
    write_tables(plan, results)
    rows = read_csv(results / "tables/ablations.csv")
    assert rows["psa/psa"]["states"] == "0:done 1:diverged 2:done"
    assert rows["psa/psa"]["AP_seed1"] == ""
    assert rows["psa/psa"]["seeds_compared"] == "2"
    assert rows["distillation/outputs"]["AP"] == ""
    assert "cannot allocate 2 GiB" in rows["distillation/outputs"]["reasons"]
    text = (results / "tables/ablations.md").read_text()
    assert re.search(r"\| psa <sup>a b</sup> .*\| \d\d\.\d+ diverged \d\d\.\d+ \|", text)
    assert re.search(r"\| outputs <sup>a b</sup> \| NMS-free \| out of memory \| – \| – \|", text)
    assert "| distillation | outputs − none | – | – | identical network |" in text
    first, second, third = re.findall(r"^- <sup>[abc]</sup> (.*)", text, re.MULTILINE)[:3]
    assert re.match(r"Seed 1\b.*: the loss is not finite at step 120 \(box\\_loss\)\.", first)
    assert re.match(r"The difference is over seeds 0 and 2\b", second)
    assert re.search(r"^- <sup>a</sup> Seeds 0, 1 and 2\b.*: cannot allocate 2 GiB\.", text, re.MULTILINE), third


def test_one_seed_is_marked_as_image_noise_only(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path, seeds=(0,))
    fake.write_results(plan, tmp_path / "results")
    write_tables(plan, tmp_path / "results")
    assert re.search(
        r"^- <sup>a</sup> .*image noise only", (tmp_path / "results/tables/ablations.md").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize(("trunk", "sentence"), [(True, "marginal effects"), (False, "trained from scratch")])
def test_tables_say_which_protocol_was_used(tmp_path: Path, trunk: bool, sentence: str) -> None:
    plan = fake.make_plan(tmp_path, trunk=trunk)
    fake.write_results(plan, tmp_path / "results")
    write_tables(plan, tmp_path / "results")
    for name in ("ablations.md", "ablations.tex"):
        assert sentence in (tmp_path / "results/tables" / name).read_text()


def test_published_claim_stands_beside_the_measured_change_in_its_units(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    write_tables(plan, results)
    text = (results / "tables/ablations.md").read_text()
    # Table 5 prints 44.2, 9.9, 23.5, 2.39 and 44.4, 8.0, 22.2, 2.36.
    claim = "psa − none: +0.2 AP points, −1.9 M parameters, −1.3 GFLOPs, −0.03 ms"
    row = read_csv(results / "tables/ablations.csv")["psa/psa"]
    points_of_100 = fmt.number(100 * float(row["difference_mean"]), 2, sign=True)
    assert f"Published (invented\\_100%, Table & 5): {claim} (here {points_of_100} AP points," in text
    assert "Note: in another network." in text
    assert text.count("ImageNet top-1 is not measured here; AP stands in its place.") == 1
    assert "Published (Table 3): dual nms free: 44.3 AP, 2.44 ms." in text


def test_latex_rows_have_as_many_cells_as_columns_and_nothing_unescaped(wounded: tuple[Plan, Path]) -> None:
    plan, results = wounded
    write_tables(plan, results)
    text = (results / "tables/ablations.tex").read_text()
    tabulars = re.findall(r"begin\{tabular\}\{(\w+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tabulars) == 3
    for columns, content in tabulars:
        for line in content.splitlines():
            if line.endswith(r"\\"):
                spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
                cells = len(re.findall(r"(?<!\\)&", line)) + 1
                assert sum(spans) + cells - len(spans) == len(columns)
    body = "".join(content for _, content in tabulars)
    assert not re.search(r"(?<!\\)[%#_]", body)
    assert r"Attention\_\{psa\} \& none" in body
    assert not re.search(r"\\\\\s*\[", body)
    assert body.isascii()


def test_escape_covers_every_special_character() -> None:
    assert escape("a_b & 5% $x^2 {~} #\\") == (
        r"a\_b \& 5\% \$x\textasciicircum{}2 \{\textasciitilde{}\} \#\textbackslash{}"
    )
    assert escape("two\n\nlines") == "two lines"


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "text"),
    [
        (0.12345, 3, False, "0.123"),
        (-0.00004, 3, True, "0.000"),
        (-0.0125, 3, True, "−0.013"),
        (0.5, 1, True, "+0.5"),
        (None, 3, False, "–"),
        (float("nan"), 3, False, "–"),
    ],
)
def test_number_rounds_once_and_has_no_negative_zero(value: float, decimals: int, sign: bool, text: str) -> None:
    # −0.0125 has no exact double; the nearest one lies beyond the tie.
    assert fmt.number(value, decimals, sign) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.0000464, "−0.00"), (0.0000401, "+0.00"), (0.0, "0.00"), (-0.0, "0.00"), (-0.0123, "−1.23"), (None, fmt.NONE)],
)
def test_the_end_of_an_interval_tells_on_which_side_of_zero_it_lies(value: float | None, text: str) -> None:
    assert fmt.bound(value, 2) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234"), (0.09996, "0.100"), (0.0, "0")],
)
def test_significant_digits_are_counted_after_rounding(value: float, text: str) -> None:
    assert fmt.significant(value, 3) == text


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "text"),
    [
        (0.12345, 1, False, "12.3"),
        (-0.00004, 2, True, "0.00"),
        (-0.0128, 2, True, "−1.28"),
        (0.0015, 2, True, "+0.15"),
        (0.005, None, False, "0.5"),
        (0.05, None, False, "5"),
        (None, 1, True, "–"),
        (None, None, False, "–"),
    ],
)
def test_a_score_is_printed_in_points(value: float | None, decimals: int | None, sign: bool, text: str) -> None:
    assert fmt.points(value, decimals, sign) == text


@pytest.mark.parametrize(("half", "decimals"), [(0.02, 1), (0.0099, 2), (0.0012, 2), (0.00001, 2), (0.3, 1)])
def test_decimals_follow_the_narrowest_interval(half: float, decimals: int) -> None:
    assert accuracy.decimals_for([difference(-half, half), difference(-0.5, 0.5), None]) == decimals


def difference(
    low: float | None, high: float | None, seeds: int = 3, verdict: str | None = None, **fields: float | None
) -> Difference:
    mean = None if low is None or high is None else (low + high) / 2
    known: dict[str, Any] = {"mean": mean, "low": low, "high": high, "verdict": verdict, **fields}
    deltas = {seed: mean or 0.0 for seed in range(seeds)}
    names = {"ablation": "psa", "arm": "psa", "baseline": "none"}
    return Difference(**names, seeds=deltas, smallest_effect=0.005, agreeing=seeds, **known)


def with_difference(results: Path, d: Difference) -> None:
    """Put `d` in the place of psa/psa's difference."""
    record = Comparison.model_validate(read_json(results / "compare.json"))
    rows = [d if (old.ablation, old.arm) == ("psa", "psa") else old for old in record.differences]
    write_json(results / "compare.json", record.model_copy(update={"differences": tuple(rows)}))


def failed(weak: tuple[WeakClass, ...] = (), **fields: Any) -> Difference:
    """A clear gain between networks that failed a gate."""
    known = {"from_trunk": True, "trunk_ap": 0.5, "baseline_ap": 0.5, "least_share": 0.97, **fields}
    judged = Gate(passed=False, least_class_ap=0.05, weak=weak, **known)
    d = difference(0.006, 0.02, verdict="under-trained", p_holm=0.03125, seed_sd=0.01, image_se=0.005)
    return d.model_copy(update={"gate": judged})


@pytest.mark.parametrize(
    ("d", "word", "values"),
    [
        (
            failed(baseline_ap=0.4),
            "under-trained",
            ("AP of 40.0 points", "97\N{NO-BREAK SPACE}% of its trunk's 50.0"),
        ),
        (
            failed(baseline_ap=0.4, from_trunk=False, least_share=0.9),
            "under-trained",
            ("AP of 40.0 points", "90\N{NO-BREAK SPACE}% of that of a trunk on the same data, 50.0"),
        ),
        (failed(trunk_ap=0.0), "under-trained", ("the AP of its trunk is 0",)),
        (
            failed(trunk_ap=None, baseline_ap=0.0123),
            "under-trained",
            ("the baseline is untrained: its AP of 1.2 points is below 5,",),
        ),
        (
            failed((WeakClass(arm="none", name="lamp_on", AP=0.0123, objects=40),)),
            "under-trained",
            ("hardly learned: lamp_on in none (AP 1.2)",),
        ),
        (
            failed((WeakClass(arm="psa", name="bar", AP=0.0, objects=40),), baseline_ap=0.4),
            "under-trained",
            ("50.0; hardly learned: bar in psa (AP 0.0)",),
        ),
        (
            difference(0.006, 0.02, verdict="better", p_holm=0.03125),
            "better",
            ("p is 0.031", "4 comparisons"),
        ),
        (difference(-0.02, -0.006, verdict="worse", p_holm=0.0002), "worse", ("p is <0.001", "±0.5 points")),
        (difference(0.001, 0.003, verdict="tiny"), "tiny", ("±0.5 points",)),
        (
            difference(-0.002, 0.003, verdict="equivalent", equivalence_low=-0.001, equivalence_high=0.002),
            "equivalent",
            ("90\N{NO-BREAK SPACE}%", "−0.10 to +0.20", "±0.5 points"),
        ),
        (
            difference(-0.01, 0.02, verdict="inconclusive", mde=0.0213),
            "inconclusive",
            ("80\N{NO-BREAK SPACE}%", "2.13 points"),
        ),
        (
            difference(0.006, 0.02, verdict="untestable"),
            "untestable at 3 seeds",
            ("±0.5 points", "0.05"),
        ),
        (
            difference(-0.01, 0.02, seeds=1, verdict="untestable"),
            "untestable at 1 seed",
            (),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_reason_is_worded_by_its_verdict_and_claims_no_other(
    healthy: tuple[Plan, Path], d: Difference, word: str, values: tuple[str, ...]
) -> None:
    plan, results = healthy
    with_difference(results, d)
    collected = collect(plan, results)
    assert accuracy.verdict(d) == word
    reason = texts.reason(d, collected, accuracy.decimals_of(collected))
    assert reason.startswith(f"{word}: ")
    assert [value for value in values if value not in reason] == []
    claims = set(get_args(Verdict)) - {word.split()[0]}
    assert not re.search(rf"\b({'|'.join(claims)}|significant|wins?|best|improves?)\b", reason)


def test_a_class_that_was_hardly_learned_is_named_with_the_title_of_its_arm(healthy: tuple[Plan, Path]) -> None:
    weak = (WeakClass(arm="dual_nms", name="disc", AP=0.01, objects=20),)
    d = failed(weak).model_copy(update={"ablation": "nms_free", "arm": "dual_nms"})
    assert "hardly learned: disc in dual nms (AP 1.0)" in texts.reason(d, collect(*healthy), 1)


def test_a_baseline_without_the_part_has_nothing_that_starts_anew(healthy: tuple[Plan, Path]) -> None:
    said = texts.protocol(healthy[0])
    assert "in every arm that has it, the baseline included (psa: attention" in said
    assert "The baseline of psa has no such part, and nothing in it started anew." in said


def test_an_under_trained_arm_has_that_word_and_no_other_wherever_it_is_named(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    with_difference(results, failed(baseline_ap=0.4).model_copy(update={"trunks": {"default": 0.011, "plain": 0.015}}))
    collected = collect(plan, results)
    write_tables(plan, results)
    assert read_csv(results / "tables/ablations.csv")["psa/psa"]["verdict"] == "under-trained"
    rows = [line for line in (results / "tables/ablations.md").read_text().splitlines() if line.startswith("| psa")]
    assert rows
    assert all("under-trained" in line for line in rows if "+1.30" in line)
    assert "+1.30" in " ".join(rows)  # its numbers stay
    notes = texts.arm_notes(next(arm for arm in collected.arms if arm.arm.label == "psa/psa"), collected, 2)
    assert notes[0].startswith("Under-trained: the baseline's AP of 40.0 points is below")
    assert notes[1] == "By trunk: default +1.10, plain +1.50."
    every = [line for lines in outcomes(collected).values() for line in lines]
    told = [line for line in every if line.startswith("Attention_{psa} & none, psa − none")]
    assert len(told) == 1
    assert "under-trained" in told[0]
    assert not re.search(r"pays|seeds|lead", told[0])
    assert "Attention_{psa} & none: under-trained: " in " ".join(facts(collected)["unanswered"])


@pytest.mark.parametrize(
    "verdict", ["better", "worse", "tiny", "equivalent", "inconclusive", "untestable", "under-trained"]
)
def test_only_better_and_worse_are_bold(healthy: tuple[Plan, Path], verdict: str) -> None:
    plan, results = healthy
    record = Comparison.model_validate(read_json(results / "compare.json"))
    fields = {"verdict": verdict, "gate": failed(baseline_ap=0.4).gate}
    rows = tuple(d.model_copy(update=fields) for d in record.differences)
    write_json(results / "compare.json", record.model_copy(update={"differences": rows}))
    write_tables(plan, results)
    # Difference and verdict of every comparison, in the table of all verdicts and in its ablation's.
    bold = 2 * len(rows) if verdict in ("better", "worse") else 0
    assert (results / "tables/ablations.md").read_text().count("**") == 2 * 2 * bold
    assert (results / "tables/ablations.tex").read_text().count(r"\textbf") == bold
    content = facts(collect(plan, results))["tables"]
    assert sum(cell["strong"] for row in content["verdicts"]["rows"] for cell in row) == bold
    for name in ("latency.md", "errors.md"):
        assert "**" not in (results / "tables" / name).read_text()


def test_accuracy_table_has_both_parts_of_the_interval_agreement_and_p(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    with_difference(
        results, difference(0.006, 0.02, verdict="better", seed_sd=0.003, image_se=0.0025, p_holm=0.0312, mde=0.008)
    )
    write_tables(plan, results)
    cells = (
        r"psa \| NMS-free \| 3\d\.\d\d \| \*\*\+1\.30 \\\[\+0\.60, \+2\.00\\\]\*\* \| \*\*better\*\* "
        r"\| 0\.17 \| 0\.25 \| 3/3 up \| 0\.031 \| 0\.80 \|"
    )
    assert re.search(cells, (results / "tables/ablations.md").read_text())


@pytest.mark.parametrize(
    ("agreeing", "mean", "text"), [(3, 0.1, "3/3 up"), (2, -0.1, "2/3 down"), (3, 0.0, "–"), (0, None, "–")]
)
def test_agreement_has_its_direction(agreeing: int, mean: float | None, text: str) -> None:
    assert accuracy.agreement(difference(mean, mean).model_copy(update={"agreeing": agreeing})) == text


def timed(**fields: Any) -> LatencyRow:
    row = {"runtime": "torch", "threads": 1, "arm": "psa/psa", "stage": "forward", "blocks": 9, "min_ms": 1.0}
    given: dict[str, Any] = {**row, "p50_ms": 12.3456, "p90_ms": None, "spread": 0.05, "baseline": "psa/none", **fields}
    return LatencyRow(**given)


@pytest.mark.parametrize(
    ("p50", "spread", "text"),
    # Half the interquartile range: 0.31, 0.0062, 6.2, 0.05 ms.
    [(12.3456, 0.05, "12.3"), (12.3456, 0.001, "12.35"), (12.3456, 1.0, "12"), (0.98765, 0.1, "0.99")],
)
def test_times_are_printed_to_the_digit_that_their_spread_reaches(p50: float, spread: float, text: str) -> None:
    assert timing.milliseconds(timed(p50_ms=p50, spread=spread)) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.91, 0.95, "0.93 [0.91, 0.95]"), (0.929, 0.935, "0.932 [0.929, 0.935]"), (0.5, 1.4, "0.95 [0.50, 1.40]")],
)
def test_ratios_are_printed_to_the_digit_that_their_interval_reaches(low: float, high: float, text: str) -> None:
    assert timing.ratio(timed(ratio=(low + high) / 2, ratio_low=low, ratio_high=high)) == text


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        ("faster", "0.93 [0.91, 0.95] faster"),
        ("same", "0.93 [0.91, 0.95] same (MDE 2.4\N{NO-BREAK SPACE}%)"),
        ("unresolved", "0.93 [0.91, 0.95] unresolved (MDE 2.4\N{NO-BREAK SPACE}%)"),
        ("suppressed", "0.93 [0.91, 0.95] suppressed"),
        ("identical", "identical network"),
        (None, "0.93 [0.91, 0.95] –"),
    ],
)
def test_a_time_cell_has_the_ratio_and_its_verdict(verdict: str | None, text: str) -> None:
    row = timed(ratio=0.93, ratio_low=0.91, ratio_high=0.95, resolution=0.024, verdict=verdict)
    assert timing.ratio_and_verdict(row) == text


def test_where_copies_differ_by_more_than_the_whole_time_nothing_can_be_told(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    record = latency(results)
    rows = [row.model_copy(update={"resolution": 7.45}) if row.runtime == "torch" else row for row in record.rows]
    write_json(results / "latency/latency.json", record.model_copy(update={"rows": tuple(rows)}))
    said = " ".join(texts.about(collect(plan, results), "resolution")).replace("\N{NO-BREAK SPACE}", " ")
    assert "2.4 % in onnxruntime" in said
    assert "end-to-end time in torch nothing can be told" in said
    write_tables(plan, results)
    assert "745" not in (results / "tables/latency.md").read_text()


def test_latency_csv_has_every_row_and_tables_only_the_first_thread_count(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    write_tables(plan, results)
    with (results / "tables/latency.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    record = latency(results)
    assert [(row["runtime"], row["threads"], row["arm"], row["stage"], float(row["p50_ms"])) for row in rows] == [
        (row.runtime, str(row.threads), row.arm, row.stage, row.p50_ms) for row in record.rows
    ]
    quantised = {(row["arm"], row["AP"]) for row in rows if row["runtime"].endswith("_int8")}
    assert {("psa/psa", "0.31"), ("distillation/outputs", "")} < quantised  # one network, of two trainings
    assert {ap for _, ap in quantised} == {"0.31", ""}
    assert {row["AP"] for row in rows if not row["runtime"].endswith("_int8")} == {""}
    collected = collect(plan, results)
    shown = {row.threads for arm in collected.arms for stages in arm.latency.values() for row in stages.values()}
    assert shown == {1} < {row.threads for row in record.rows}


def test_latency_page_has_a_part_per_runtime_and_int8_apart_with_its_ap(wounded: tuple[Plan, Path]) -> None:
    plan, results = wounded
    write_tables(plan, results)
    text = (results / "tables/latency.md").read_text()
    assert re.findall(r"^##+ (.*)$", text, re.MULTILINE) == [
        "torch", "onnxruntime", "openvino", "Eight-bit integers", r"onnxruntime\_int8", r"openvino\_int8", "Noise",
        "How to read",
    ]  # fmt: skip
    row = re.search(
        r"^\| onnxruntime\\_int8 \| psa \| none \(baseline\) \| ([\d.]+) \| 31.0 \| −([\d.]+) \|", text, re.MULTILINE
    )
    assert row
    assert float(row[1]) - float(row[2]) == pytest.approx(31.0)
    assert r"| torch | psa | psa |" not in text
    assert re.search(r"^\| 2 \|.*\| all \|$", text, re.MULTILINE)
    assert re.search(r"^- .*drifted by .*: session 2 \(7.1.%\)", text, re.MULTILINE)
    assert re.search(r"^- unstable: .* 31.% .*\(psa/psa forward, psa/psa post, psa/psa end to end", text, re.MULTILINE)
    assert "torch\\_cuda (no GPU \\<here\\>)" in text
    assert "2.4\N{NO-BREAK SPACE}% in torch, onnxruntime, openvino, onnxruntime\\_int8 and openvino\\_int8." in text
    assert re.search(r"^- .*torch with 1 thread .*12.% .*psa/psa, forward", text, re.MULTILINE)
    # In graph is timed in ONNX Runtime and OpenVINO only.
    parts = text.split("\n## ")
    assert "in graph (ms)" not in parts[1]
    assert "in graph (ms)" in parts[2]


def test_without_a_timed_runtime_tables_and_figure_say_so(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    record = latency(results)
    absent = tuple(Absence(runtime=name, error=f"{name} is not installed.") for name in fake.RUNTIMES[:3])
    int8 = tuple(row for row in record.rows if row.runtime == "openvino_int8")
    changed = record.model_copy(update={"rows": int8, "absent": absent})
    write_json(results / "latency/latency.json", changed)
    collected = collect(plan, results)
    int8s = [replace(arm, quantised={}) for arm in collected.ablations["psa"]]
    (axis,) = pareto(replace(collected, ablations={"psa": tuple(int8s)})).axes
    assert axis.texts[0].get_text().splitlines() == [
        "No arm was both scored and timed.",
        *(f"{name}: {name} is not installed" for name in sorted(fake.RUNTIMES[:3])),
    ]
    write_tables(plan, results)
    text = (results / "tables/ablations.md").read_text()
    assert "| ablation | comparison | ΔAP (points) \\[95\N{NO-BREAK SPACE}%\\] | verdict |\n" in text
    assert "- Not timed: onnxruntime (onnxruntime is not installed), openvino (openvino is not installed) and " in text


def test_int8_times_stand_beside_no_float_ap(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    collected = collect(plan, results)
    assert (collected.timed, collected.timed_int8) == (fake.RUNTIMES[:3], fake.RUNTIMES[3:])
    content = facts(collected)
    assert not [name for name in content["tables"]["verdicts"]["header"] if "int8" in name]
    assert "int8" not in json.dumps([content["ablations"], content["tables"]["scores"]["header"]])
    aps = {(p.runtime, p.label): p.ap[1] for p in points(collected)}
    assert {runtime for runtime, _ in aps} == set(fake.RUNTIMES)
    assert aps["openvino_int8", "psa: psa"] == pytest.approx(31)  # the one that it has there


def test_ap_in_int8_is_of_the_arm_whose_weights_were_quantised(healthy: tuple[Plan, Path]) -> None:
    """Arms that deploy one network share its times; a second training of it has weights of its own."""
    plan, results = healthy
    collected = collect(plan, results)
    for name in collected.timed_int8:
        scored = {arm.arm.label for arm in collected.arms if name in arm.quantised}
        assert {"psa/psa", "nms_free/dual_nms_free", "distillation/none"} < scored  # the same runs
        assert "distillation/outputs" not in scored
        assert "distillation: outputs" not in {p.label for p in points(collected) if p.runtime == name}
    write_tables(plan, results)
    text = (results / "tables/latency.md").read_text()
    assert len(re.findall(r"^\| \w+\\_int8 \| distillation \| outputs \| – \| – \| – \| \d", text, re.MULTILINE)) == 2


def test_pareto_places_an_arm_at_its_median_with_a_bar_of_the_paired_ratios_interval(
    healthy: tuple[Plan, Path],
) -> None:
    plan, results = healthy
    rows = {
        row.arm: row for row in reversed(latency(results).rows) if (row.runtime, row.stage) == ("torch", "end_to_end")
    }
    base, arm = rows["nms_free/one_to_many"], rows["nms_free/dual_nms"]
    places = {p.label: p.ms for p in points(collect(plan, results)) if p.runtime == "torch"}
    expected = [ratio / arm.ratio * arm.p50_ms for ratio in (arm.ratio_low, arm.ratio, arm.ratio_high)]  # type: ignore[operator]
    assert places["nms_free: dual nms"] == pytest.approx(expected)
    assert places["nms_free: one to many"] == (base.p50_ms,) * 3


def test_a_busy_machine_marks_times_wherever_they_stand(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    record = latency(results)
    write_json(results / "latency/latency.json", record.model_copy(update={"comparable": False}))
    write_tables(plan, results)
    for name in ("ablations.md", "ablations.tex", "latency.md"):
        assert re.search(r"busy when a session began \(0\.10 cores\b", (results / "tables" / name).read_text())
    collected = collect(plan, results)
    assert texts.about(collected, "not_comparable")[0] in facts(collected)["latency"]["notes"]


def test_errors_are_means_over_seeds_and_paired_differences(wounded: tuple[Plan, Path]) -> None:
    plan, results = wounded
    write_tables(plan, results)
    with (results / "tables/errors.csv").open(newline="") as stream:
        rows = {(row["ablation"], row["arm"], row["quantity"]): row for row in csv.DictReader(stream)}
    assert len(rows) == len(plan.arms) * len(errors.QUANTITIES)
    none, psa = ([fake.errors(arm.runs[s].rsplit("-", 2)[0], s, arm.read) for s in (0, 1, 2)] for arm in plan.arms[:2])
    # Seed 1 of psa diverged.
    row = rows["psa", "psa", "duplicate"]
    assert float(row["value"]) == pytest.approx(np.mean([psa[s].gains["duplicate"] for s in (0, 2)]))  # type: ignore[list-item]
    deltas = [psa[s].duplicates_per_object - none[s].duplicates_per_object for s in (0, 2)]  # type: ignore[operator]
    assert float(rows["psa", "psa", "duplicates_per_object"]["difference"]) == pytest.approx(np.mean(deltas))
    assert float(rows["psa", "none", "missed"]["count"]) == pytest.approx(np.mean([e.counts["missed"] for e in none]))
    assert rows["psa", "none", "missed"]["difference"] == ""
    assert {row["value"] for row in rows.values() if row["arm"] == "outputs"} == {""}
    assert "Exploratory: neither interval nor test." in (results / "tables/errors.md").read_text()


def test_metrics_without_error_types_leave_their_table_out(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    for run in plan.runs:
        path = results / "runs" / run / "metrics.json"
        content = read_json(path)
        for reading in content["readings"].values():
            reading["errors"] = None
        write_json(path, content)
    collected = collect(plan, results)
    assert facts(collected)["tables"]["errors"]["rows"] == []
    write_tables(plan, results)
    assert (results / "tables/errors.md").read_text().endswith("hold no error types; evaluate them again.\n")


def test_the_workflow_names_every_table_and_figure_that_is_written(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    write_tables(plan, results)
    workflow = (SOURCE.parent / "Snakefile").read_text()
    rule = workflow[workflow.index("rule tables:") : workflow.index("rule figures:")]
    helper = [f"{name}.csv" for name in re.findall(r'\btable\("(\w+)"', rule)]
    named = helper + re.findall(r"/tables/(\w+\.\w+)", rule)
    assert sorted(named) == sorted(path.name for path in (results / "tables").iterdir())
    figures = re.search(r"^FIGURES = (\[.*\])$", workflow, re.MULTILINE)
    assert figures is not None
    assert json.loads(figures[1]) == list(DRAWN)


def test_figures_of_the_workflows_report_have_captions_and_no_caption_is_of_nothing() -> None:
    workflow = (SOURCE.parent / "Snakefile").read_text()
    captions = {path.stem for path in (SOURCE.parent / "mnv4bench/report/templates/snakemake").iterdir()}
    assert {"intro", "paper", *DRAWN} <= captions
    assert captions - {"intro", "paper", *DRAWN} <= set(re.findall(r'\btable\("(\w+)"', workflow))


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rows of \[2\] cells under 3 titles, 3 aligned"):
        table(("a", "b", "c"), "lrr", [("1", "2")])


def test_arms_that_are_the_same_runs_are_one_point(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    collected = collect(plan, results)
    groups = [[arm.arm.label for arm in group] for group in distinct(collected.arms)]
    assert ["nms_free/dual_nms_free", "distillation/none"] in groups
    assert ["nms_free/dual_nms"] in groups
    assert len([p for p in points(collected) if p.runtime == "torch"]) == len(groups)


def test_sheet_takes_the_image_with_the_median_number_of_objects(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    picks = chosen(collect(plan, results).data)
    # Slice k holds images k + 1 and k + 6 with k % 4 + 1 and (k + 5) % 4 + 1 objects; the lower is the median.
    assert [(name, image["id"]) for name, image in picks] == [
        ("plain", 1), ("small", 2), ("crowd", 3), ("large", 9), ("context", 5),
    ]  # fmt: skip


def test_of_the_images_with_the_median_number_of_objects_the_sheet_takes_the_one_on_which_arms_differ_most(
    healthy: tuple[Plan, Path],
) -> None:
    plan, results = healthy
    data = collect(plan, results).data
    assert dict(chosen(data, {1: 5, 6: 1}))["plain"]["id"] == 1
    one_count = replace(data)
    for image in one_count.annotations["images"]:
        image["slice"] = "plain"
    # Of ten images the fifth has two objects, as have images 2, 6 and 10.
    assert [chosen(one_count, spread)[0][1]["id"] for spread in ({}, {6: 1, 3: 9}, {6: 1, 10: 1})] == [2, 6, 6]


def test_figures_and_paper_are_the_same_bytes_from_the_same_results(wounded: tuple[Plan, Path], tmp_path: Path) -> None:
    _, results = wounded
    plan = fake.make_plan(tmp_path, only="distillation")
    none, distilled = plan.arms
    (results / "runs" / distilled.runs[0] / "curve.csv").unlink()
    curve = results / "runs" / none.runs[1] / "curve.csv"
    *lines, _ = curve.read_text().splitlines()
    curve.write_text("\n".join([*lines, "4,8,0.001,1e-30,1e30,1,0.0,0.1,"]) + "\n")
    again = tmp_path / "elsewhere" / "again"
    shutil.copytree(results, again)
    for folder in (results, again):
        write_tables(plan, folder)
        write_figures(plan, folder)
        write_paper(plan, folder, source=SOURCE)
    made = sorted(
        path.relative_to(results)
        for kind in ("tables", "figures", "paper")
        for path in (results / kind).rglob("*")
        if path.is_file()
    )
    assert {path.name for path in made} >= {
        *(
            f"{name}.{kind}"
            for name in ("effects", "cost", "pareto", "curves", "slices", "detections")
            for kind in ("png", "pdf")
        ),
        "mnv4bench.pdf",
        "facts.json",
        "distillation.png",
        "confusion.csv",
    }
    assert [sha256(results / path) for path in made] == [sha256(again / path) for path in made]


def test_without_slices_their_table_is_empty(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path, seeds=(0,), trunk=False)
    fake.write_results(plan, tmp_path / "results", slices=False)
    write_tables(plan, tmp_path / "results")
    assert (tmp_path / "results/tables/slices.csv").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("compare.json", None, r"compare\.json: missing"),
        ("cost.json", "{", r"cost\.json: not JSON"),
        ("latency/latency.json", "{}", r"latency\.json: not a Latency of this version \(reference\b"),
    ],
)
def test_a_missing_or_broken_file_is_one_error_with_its_name(
    healthy: tuple[Plan, Path], file: str, content: str | None, message: str
) -> None:
    plan, results = healthy
    (results / file).unlink() if content is None else (results / file).write_text(content)
    with pytest.raises(Mnv4benchError, match=message):
        write_tables(plan, results)


def test_the_data_set_is_the_one_that_the_runs_were_scored_on(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    shutil.copytree(results / "data/fake", results / "data/other")
    with pytest.raises(Mnv4benchError, match="found none"):
        collect(plan, results)
    for run in plan.runs:
        path = results / "runs" / run / "metrics.json"
        write_json(path, read_json(path) | {"data_digest": "e" * 64})
    other = results / "data/other/dataset.json"
    write_json(other, read_json(other) | {"digest": "e" * 64})
    assert collect(plan, results).data.folder == other.parent
