"""The report, from a results folder made up by rule (fake_results) to tables, figures and the paper."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from pathlib import Path

import fake_results as fake
import numpy as np
import pytest

from mnv4bench import matches, stats
from mnv4bench.errors import DataError, Mnv4benchError
from mnv4bench.files import read_json, sha256, write_json
from mnv4bench.plan import Plan
from mnv4bench.report import compare, findings, paper, style, words
from mnv4bench.report.collect import collect, distinct
from mnv4bench.report.compare import Comparison, Difference
from mnv4bench.report.figures import write_figures
from mnv4bench.report.latex import escape
from mnv4bench.report.numbers import numbers
from mnv4bench.report.paper import write_paper
from mnv4bench.report.pareto import Point, front, points, spread
from mnv4bench.report.sheet import chosen
from mnv4bench.report.tables import write_tables

SOURCE = Path(__file__).parents[1] / "paper"
DIVERGED = ("diverged", "the loss is not finite at step 120 (box_loss)")
OUT_OF_MEMORY = ("out_of_memory", "cannot allocate 2 GiB")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Both folders, made once: writing through mnv4bench.files is slow, because it waits for the disk."""
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
    """Seed 1 of psa/psa diverged, every run of distillation/distilled ran out of memory."""
    plan, root = made
    return plan, Path(shutil.copytree(root / "wounded", tmp_path / "results"))


def read_csv(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return {f"{row['ablation']}/{row['arm']}": row for row in csv.DictReader(stream)}


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
    expected = float(row["torch_end_to_end_ratio"]) / float(base["torch_end_to_end_ratio"])
    assert float(row["torch_ratio_to_baseline"]) == expected
    assert float(base["torch_ratio_to_baseline"]) == 1
    assert base["difference_mean"] == ""
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
    assert rows["distillation/distilled"]["AP"] == ""
    assert "cannot allocate 2 GiB" in rows["distillation/distilled"]["reasons"]
    text = (results / "tables/ablations.md").read_text()
    assert re.search(r"\| psa <sup>a b</sup> .*\| 0\.\d+ diverged 0\.\d+ \|", text)
    assert re.search(r"\| distilled <sup>b c</sup> \| NMS-free \| out of memory \| – \|", text)
    assert r"Seed 1 diverged: the loss is not finite at step 120 (box\_loss)." in text
    assert "Seeds 0, 1 and 2 out of memory: cannot allocate 2 GiB." in text
    assert "Difference over seeds 0 and 2 alone." in text


def test_one_seed_is_marked_as_image_noise_only(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path, seeds=(0,))
    fake.write_results(plan, tmp_path / "results")
    write_tables(plan, tmp_path / "results")
    assert "1 seed: image noise only." in (tmp_path / "results/tables/ablations.md").read_text()
    assert any("One seed" in sentence for sentence in numbers(collect(plan, tmp_path / "results"))["limits"])


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
    claim = "row “+PSA”: +1.4 AP points, +1.00 M parameters, +0.80 GFLOPs, +0.15 ms."
    assert f"Published: YOLOv10 (arXiv 2405.14458), Table 10, {claim}" in text
    row = read_csv(results / "tables/ablations.csv")["psa/psa"]
    points_of_100 = words.number(100 * float(row["difference_mean"]), 2, sign=True)
    assert f"Measured here, psa − none: {points_of_100} AP points," in text
    assert "ImageNet top-1 is not measured here" in text


def test_latex_rows_have_as_many_cells_as_columns_and_nothing_unescaped(wounded: tuple[Plan, Path]) -> None:
    plan, results = wounded
    write_tables(plan, results)
    text = (results / "tables/ablations.tex").read_text()
    body = text[text.index(r"\toprule") :]
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", text)
    assert columns is not None
    for line in body.splitlines():
        if line.endswith(r"\\"):
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            cells = len(re.findall(r"(?<!\\)&", line)) + 1
            assert sum(spans) + cells - len(spans) == len(columns[1])
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
    assert words.number(value, decimals, sign) == text


@pytest.mark.parametrize(("half", "decimals"), [(0.02, 3), (0.0099, 4), (0.0012, 4), (0.00001, 4), (0.3, 3)])
def test_decimals_follow_the_narrowest_interval(half: float, decimals: int) -> None:
    assert words.decimals_for([difference(-half, half), difference(-0.5, 0.5), None]) == decimals


def difference(low: float | None, high: float | None, seeds: int = 3) -> Difference:
    mean = None if low is None or high is None else (low + high) / 2
    deltas = {seed: mean or 0.0 for seed in range(seeds)}
    return Difference(ablation="psa", arm="psa", baseline="none", seeds=deltas, mean=mean, low=low, high=high)


@pytest.mark.parametrize(
    ("low", "high", "said", "unsaid"),
    [
        (0.006, 0.02, ["the interval lies above zero", "outside ±0.005"], ["contains zero"]),
        (-0.02, -0.001, ["the interval lies below zero", "reaches beyond ±0.005"], ["contains zero", "outside"]),
        (-0.001, 0.002, ["the interval contains zero", "lies within ±0.005"], ["above", "below", "beyond"]),
        (-0.01, 0.002, ["the interval contains zero", "reaches beyond ±0.005"], ["within"]),
    ],
)
def test_findings_say_what_the_interval_says_and_no_more(
    healthy: tuple[Plan, Path], low: float, high: float, said: list[str], unsaid: list[str]
) -> None:
    plan, results = healthy
    record = Comparison.model_validate(read_json(results / "compare.json"))
    rows = [difference(low, high) if (d.ablation, d.arm) == ("psa", "psa") else d for d in record.differences]
    write_json(results / "compare.json", record.model_copy(update={"differences": tuple(rows)}))
    text = " ".join(findings.ablation(collect(plan, results), "psa")[0])
    assert all(phrase in text for phrase in said)
    assert not any(phrase in text for phrase in unsaid)
    assert not re.search(r"\b(better|worse|significant|wins?|best|improves?)\b", text)


def test_arms_that_are_the_same_runs_are_one_point(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    found = collect(plan, results)
    groups = [[arm.arm.label for arm in group] for group in distinct(found.arms)]
    assert ["psa/psa", "nms_free/dual_nms_free", "distillation/none"] in groups
    assert ["nms_free/dual_nms"] in groups
    assert len(points(found, "torch")) == len(groups)


def test_front_keeps_the_points_that_nothing_beats() -> None:
    def point(ms: float, ap: float) -> Point:
        return Point(f"{ms}", "#000000", False, (ms, ms, ms), (ap, ap, ap))

    drawn = [point(1, 0.2), point(2, 0.1), point(2, 0.3), point(2, 0.25), point(3, 0.3), point(4, 0.4)]
    assert [p.label for p in front(drawn)] == ["1", "2", "4"]
    assert [p.ap[1] for p in front(drawn)] == [0.2, 0.3, 0.4]


@pytest.mark.parametrize("wanted", [[0.5] * 8, [0.0, 0.01, 0.99, 1.0], [0.95] * 5, [], [0.3]])
def test_spread_keeps_labels_apart_and_inside(wanted: list[float]) -> None:
    placed = spread(wanted, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(placed))
    assert all(-1e-9 <= y <= 1 for y in placed)


def test_sheet_takes_the_image_with_the_median_number_of_objects(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    picks = chosen(collect(plan, results).data)
    # Slice k holds images k + 1 and k + 6 with k % 4 + 1 and (k + 5) % 4 + 1 objects; the lower is the median.
    assert [(name, image["id"]) for name, image in picks] == [
        ("plain", 1), ("small", 2), ("crowd", 3), ("large", 9), ("context", 5),
    ]  # fmt: skip


def test_figures_and_paper_are_the_same_bytes_from_the_same_results(wounded: tuple[Plan, Path], tmp_path: Path) -> None:
    _, results = wounded
    plan = fake.make_plan(tmp_path, only="distillation")
    none, distilled = plan.arms
    (results / "runs" / distilled.runs[0] / "curve.csv").unlink()
    with (results / "runs" / none.runs[1] / "curve.csv").open("a") as stream:
        stream.write("5,10,0.001,nan,1e30,1,0.0\n")
    again = tmp_path / "elsewhere" / "again"
    shutil.copytree(results, again)
    for folder in (results, again):
        write_tables(plan, folder)
        write_figures(plan, folder)
        write_paper(plan, folder, source=SOURCE)
    made = sorted(
        path.relative_to(results) for kind in ("tables", "figures", "paper") for path in (results / kind).iterdir()
    )
    assert {path.name for path in made} >= {
        *(f"{name}.{kind}" for name in ("pareto", "curves", "slices", "detections") for kind in ("png", "pdf")),
        "mnv4bench.pdf",
        "numbers.json",
    }
    assert [sha256(results / path) for path in made] == [sha256(again / path) for path in made]


def test_paper_compiles_without_slices_and_with_one_seed_from_scratch(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path, seeds=(0,), trunk=False)
    results = tmp_path / "results"
    fake.write_results(plan, results, slices=False)
    write_tables(plan, results)
    assert (results / "tables/slices.csv").read_text().count("\n") == 1
    with pytest.raises(Mnv4benchError, match=r"pareto\.pdf: is missing; draw the figures first"):
        write_paper(plan, results, source=SOURCE)
    for name in paper.FIGURES:
        style.save(style.figure(1, 1), results / "figures", Path(name).stem)
    write_paper(plan, results, source=SOURCE)
    assert (results / "paper/mnv4bench.pdf").read_bytes().startswith(b"%PDF")
    assert not [path for path in (results / "paper").iterdir() if path.name.startswith(".")]


def test_every_number_in_the_paper_comes_from_a_file() -> None:
    """Digits in main.typ are layout lengths, names of models and protocols, or the protocol's own constants."""
    text = (SOURCE / "main.typ").read_text()
    text = re.sub(
        r"//.*|\d+(\.\d+)?(pt|cm|em|%|fr)|columns: \d|columns == \d|aligned\(\d\)|slice\(\d\)|size: \d", "", text
    )
    text = re.sub(r"MobileNetV4|YOLOv10|@\w+|\"[^\"]*\"", "", text)
    assert sorted(set(re.findall(r"\d+(?:\.\d+)?", text))) == ["0", "0.50", "0.95", "1", "100"]


def test_numbers_are_json_with_raw_beside_rounded(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    found = numbers(collect(plan, results))
    json.dumps(found, allow_nan=False)
    row = next(row for row in found["raw"] if (row["ablation"], row["arm"]) == ("psa", "psa"))
    printed = next(row for row in found["table"]["blocks"][0]["rows"] if row[0] == "psa")
    assert printed[2] == f"{row['AP']:.4f}"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("compare.json", None, r"compare\.json: is missing; run the workflow"),
        ("cost.json", "{", r"cost\.json: is not JSON"),
        ("latency/latency.json", "{}", r"latency\.json: not a Latency record of this version \(field reference,"),
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


def test_compare_pairs_seeds_and_resamples_the_same_images_for_both_arms(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    fake.write_matches(plan, results)
    compare(plan, results)
    record = Comparison.model_validate(read_json(results / "compare.json"))
    assert record.images == 12
    assert [(d.ablation, d.arm) for d in record.differences] == [
        ("psa", "psa"),
        ("nms_free", "dual_nms_free"),
        ("nms_free", "dual_nms"),
        ("distillation", "distilled"),
    ]
    d = record.find("psa", "psa")
    assert d is not None
    none, psa = plan.arms_of("psa")
    expected = {seed: fake._ap(psa, seed) - fake._ap(none, seed) for seed in (0, 1, 2)}
    assert d.seeds == pytest.approx(expected)
    ours, theirs = (
        [matches.load(results / "runs" / run / "matches.npz")["nms_free"] for run in arm.runs.values()]
        for arm in (psa, none)
    )
    replicates = stats.paired_bootstrap(ours, theirs, record.bootstrap, record.bootstrap_seed)
    interval = stats.combined_interval(list(expected.values()), replicates, 12)
    assert (d.mean, d.low, d.high) == pytest.approx((interval.mean, interval.low, interval.high), abs=1e-12)
    assert d.image_se == pytest.approx(np.std(replicates, ddof=1))
    assert d.agreeing == sum(np.sign(delta) == np.sign(interval.mean) for delta in expected.values())
    crowd = [fake._ap(psa, seed, "crowd") - fake._ap(none, seed, "crowd") for seed in (0, 1, 2)]
    assert list(d.slices["crowd"].seeds.values()) == pytest.approx(crowd)


def test_compare_uses_only_seeds_in_which_both_arms_are_done(wounded: tuple[Plan, Path]) -> None:
    plan, results = wounded
    ends = {run for run in plan.runs if read_json(results / "runs" / run / "status.json")["state"] != "done"}
    fake.write_matches(plan, results, dict.fromkeys(ends, DIVERGED))
    compare(plan, results)
    record = Comparison.model_validate(read_json(results / "compare.json"))
    found = {f"{d.ablation}/{d.arm}": d for d in record.differences}
    assert list(found["psa/psa"].seeds) == [0, 2]
    assert found["distillation/distilled"] == Difference(
        ablation="distillation", arm="distilled", baseline="none", seeds={}
    )


def test_compare_with_one_seed_leaves_seed_noise_unknown(tmp_path: Path) -> None:
    plan = fake.make_plan(tmp_path, seeds=(4,))
    fake.write_results(plan, tmp_path / "results")
    fake.write_matches(plan, tmp_path / "results")
    compare(plan, tmp_path / "results")
    record = Comparison.model_validate(read_json(tmp_path / "results/compare.json"))
    assert {d.seed_sd for d in record.differences} == {None}
    assert all(d.low is not None and d.mean is not None and d.low < d.mean for d in record.differences)


def test_compare_refuses_runs_that_were_scored_on_other_images(healthy: tuple[Plan, Path]) -> None:
    plan, results = healthy
    fake.write_matches(plan, results)
    odd = results / "runs" / plan.arms[0].runs[1] / "matches.npz"
    matches.save(odd, {"nms_free": fake.match_records([True] * 11)})
    with pytest.raises(DataError, match=rf"{plan.arms[0].runs[1]}.*other images or objects than"):
        compare(plan, results)
