"""The ledger: every published figure is there, measured without being looked at, and judged by its printed digits."""

from __future__ import annotations

import csv
import inspect
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
import yaml
from fake_results import make_plan, write_results

from mnv4bench.cost.counting import macs
from mnv4bench.io.errors import SpecError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.ledger import costs
from mnv4bench.ledger.checks import (
    Change,
    Check,
    Difference,
    Flops,
    Less,
    Measured,
    NotHere,
    OnFront,
    PrintedFigure,
    Ratio,
)
from mnv4bench.ledger.context import FiguresAndCounts
from mnv4bench.ledger.counts import Counts
from mnv4bench.ledger.facts import FOLDER, Fact, Needs, OtherDevice, Published, load, printed_decimals
from mnv4bench.ledger.ledger import summary
from mnv4bench.ledger.measures import MEASURES, Detector, Downsampling, SharedParameters
from mnv4bench.ledger.schema import Timed
from mnv4bench.ledger.structure import blocks
from mnv4bench.ledger.times import claim_times, networks
from mnv4bench.ledger.verdict import CheckpointResult, PartResult, check
from mnv4bench.machine.environment import environment
from mnv4bench.models import yolo
from mnv4bench.models.mobilenetv4.blocks import UIB
from mnv4bench.models.mobilenetv4.network import backbone
from mnv4bench.models.published.networks import names
from mnv4bench.report.ledger import rows_of, write_ledger
from mnv4bench.report.ledger_rows import as_row
from mnv4bench.report.rendering import render
from mnv4bench.results.latency import Latency, LatencyRow, LatencySession
from mnv4bench.results.ledger import CHECKED, OUTCOMES, LedgerSummary, Outcome, Row


class Invented(Counts):
    """Counts by rule: far from any published one, and at once."""

    def __init__(self) -> None:
        super().__init__(Path("never written"))

    def detector(self, name: str, imgsz: int) -> dict[str, int]:
        return dict.fromkeys(
            ("params", "train_params", "conv_flops", "layer_flops", "profiled_flops", "flops"), 10**15 + len(name)
        )

    def classifier(self, name: str, imgsz: int, attention: str, kv_downsampling: bool) -> dict[str, int]:
        names = ("params", "params_folded", "params_keras", "macs", "macs_weights", "convolutions")
        return dict.fromkeys(names, 10**15 + len(name))

    def head(self, name: str, imgsz: int) -> dict[str, int]:
        return {
            f"{branch} {of}": 10**15 for branch in ("classification", "regression") for of in ("params", "conv_flops")
        }


@pytest.fixture(scope="module")
def published() -> Published:
    return load()


@pytest.fixture(scope="module")
def rows(published: Published) -> tuple[Row, ...]:
    return rows_of(published, Invented())


def printed_figures() -> Counter[str]:
    """Count the figures of the YAML files without the package's reader: source → claims and filled cells."""
    found: Counter[str] = Counter()
    for path in FOLDER.glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found.update(claim["source"] for claim in content.get("claims", {}).values())
        for table in content.get("tables", {}).values():
            cells = sum(row.get(name) is not None for row in table["rows"] for name in table["columns"])
            found[table["source"]] += cells
    return found


def test_every_figure_of_every_file_has_exactly_one_row(rows: tuple[Row, ...]) -> None:
    assert Counter(row.source for row in rows) == printed_figures()
    assert len({row.id for row in rows}) == len(rows) > 1500


def test_every_obstacle_and_device_of_a_file_is_some_figures() -> None:
    for path in FOLDER.glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        columns = [column for table in content.get("tables", {}).values() for column in table["columns"].values()]
        tested = [*columns, *content.get("claims", {}).values()]
        for kind, field in (("needs", "needs"), ("devices", "device")):
            used = {"definition", *(item.get(field) for item in tested)}  # the first is that of rows without a model
            assert sorted(content.get(kind, {}).keys() - used) == [], path.name


def test_every_table_of_both_papers_is_there(published: Published) -> None:
    cells = [fact.id for fact in published.facts.values() if fact.id.startswith("yolov10/table")]
    tables = {id.split("/")[1].removesuffix("-by-size") for id in cells}
    assert tables == {f"table{n}" for n in range(1, 16)}
    places = {fact.place for fact in published.facts.values() if fact.source.startswith("mobilenetv4")}
    missing = [n for n in range(1, 18) if not any(re.search(rf"\bTable {n}\b", place) for place in places)]
    assert missing == []


def test_every_row_has_a_verdict_and_a_reason(rows: tuple[Row, ...]) -> None:
    assert [row.id for row in rows if len(row.reason.split()) < 2 or not row.claim] == []
    assert {row.verdict for row in rows} == set(OUTCOMES) == set(get_args(Outcome))


def test_what_was_measured_has_a_basis_and_what_was_not_has_none(rows: tuple[Row, ...]) -> None:
    assert [row.id for row in rows if (row.measured is None) == bool(row.basis)] == []
    assert [row.id for row in rows if row.verdict in CHECKED and row.measured is None] == []


def test_no_measurement_is_given_the_published_figure() -> None:
    for kind in MEASURES.values():
        assert list(inspect.signature(kind.measure).parameters) == ["self", "context"]
        assert not {"published", "claim", "fact"} & set(kind.model_fields)


def leaves(check: Check) -> list[Check]:
    below = list(check.operands())
    return [leaf for operand in below for leaf in leaves(operand)] if below else [check]


def test_no_figure_is_checked_against_itself(published: Published) -> None:
    for fact in published.facts.values():
        if isinstance(fact.test, Check):
            assert fact.id not in fact.test.figures()
            tables = {leaf.table for leaf in leaves(fact.test) if isinstance(leaf, OnFront)}
            assert not any(fact.id.startswith(table + "/") for table in tables)


def perturbed(fact: Fact) -> Fact:
    if isinstance(fact.published, str):
        return replace(fact, published=fact.published + " and more")
    return replace(fact, published=3 * float(fact.published or 0) + 7)


def test_another_published_figure_changes_the_verdict_and_never_the_measurement(
    published: Published, rows: tuple[Row, ...]
) -> None:
    before = {row.id: row for row in rows}
    checked = 0
    for fact in published.facts.values():
        if not isinstance(fact.test, Check) or fact.quotes is not None or before[fact.id].verdict != "reproduced":
            continue
        other = perturbed(fact)
        context = FiguresAndCounts(Published(published.sources, {**published.facts, fact.id: other}), Invented())
        row = as_row(check(other, context, {}))
        assert (row.verdict, row.measured) == ("differs", before[fact.id].measured), fact.id
        checked += 1
    assert checked > 300


@pytest.mark.parametrize(
    ("figure", "decimals", "measured", "same"),
    [
        (2.3, 1, 2.26, True),
        (2.3, 1, 2.36, False),
        (2.3, 1, 2.25, True),
        (2.30, 2, 2.306, False),
        (25, 0, 24.51, True),
        (25, 0, 24.49, False),
    ],
)
def test_half_a_unit_of_the_last_printed_digit_is_allowed(
    figure: float, decimals: int, measured: float, same: bool
) -> None:
    class Given(Check):
        def measure(self, context: object) -> Measured:
            return Measured.exact(measured, "counted here")

    row = as_row(check(one_fact(Given(), figure, decimals), one_context(Given(), figure, decimals), {}))
    assert row.verdict == ("reproduced" if same else "differs")
    assert row.tolerance == 0.5 * 10.0**-decimals


@pytest.mark.parametrize("measured", [2.3, 9.9])
def test_figures_of_two_configurations_are_unmatched_whether_they_agree_or_not(measured: float) -> None:
    class Given(Check):
        def measure(self, context: object) -> Measured:
            return Measured.exact(measured, "Another paper, Table 1")

    fact = one_fact(Given(), 2.3, 1, unmatched="One of the two is distilled.")
    row = as_row(check(fact, one_context(Given(), 2.3, 1), {}))
    assert (row.verdict, row.measured) == ("unmatched", measured)
    assert row.reason.endswith("Table 1: " + f"{measured:.3f} ms. One of the two is distilled.")


def test_distilled_models_other_recipes_and_settings_of_one_size_have_no_counterpart(
    published: Published, rows: tuple[Row, ...]
) -> None:
    unmatched = [row for row in rows if row.verdict == "unmatched"]
    assert Counter(row.source for row in unmatched) == {"discrepancies": 11, "timm": 6, "yolov10": 18}
    agreeing = [row for row in unmatched if row.measured == pytest.approx(row.published, abs=row.tolerance)]
    assert len(agreeing) == 8  # those of timm's Conv-S and Conv-M, and of YOLOv10-N and -S
    assert [row.id for row in rows if row.verdict == "differs" and published.facts[row.id].unmatched] == []


def test_a_figure_is_held_against_the_same_reading_where_one_is_printed(rows: tuple[Row, ...]) -> None:
    row = next(row for row in rows if row.id == "other_detectors/yolov10/YOLOv10-N/ap")
    assert (row.published, row.measured, row.verdict) == (39.5, 39.5, "reproduced")
    assert "AP of the NMS-free head 38.5" in row.reason


def one_fact(test: Check | Needs | OtherDevice, published: float, decimals: int, **more: object) -> Fact:
    return Fact("f/one", "s", "", "a claim", published, "ms", decimals, test, **more)  # type: ignore[arg-type]


def one_context(test: Check | Needs | OtherDevice, published: float, decimals: int) -> FiguresAndCounts:
    known = load().sources["yolov10"]
    return FiguresAndCounts(Published({"s": known}, {"f/one": one_fact(test, published, decimals)}), Invented())


def test_a_figure_with_no_tolerance_has_to_be_hit() -> None:
    class Given(Check):
        def measure(self, context: object) -> Measured:
            return Measured.exact(9.4, "counted here")

    fact = one_fact(Given(), 9, 0, exact=True)
    context = FiguresAndCounts(Published(one_context(Given(), 9, 0).published.sources, {"f/one": fact}), Invented())
    assert (fact.tolerance, as_row(check(fact, context, {})).verdict) == (0.0, "differs")


class Fixed:
    """A context of three printed figures, each known to half a unit of its last digit."""

    FIGURES = {"a": (10.0, 0.5), "b": (8.0, 0.5), "c": (2.0, 0.05)}

    counts = Invented()

    def figure(self, id: str) -> Measured:
        value, half = self.FIGURES[id]
        return Measured(value, value - half, value + half, (id,))

    def column(self, table: str, column: str) -> dict[str, Measured]:
        accuracy = {"X-1": 70.0, "X-2": 75.0, "X-3": 80.0, "other": 76.0, "slow": 60.0}
        cost = {"X-1": 1.0, "X-2": 3.0, "X-3": 5.0, "other": 2.0}
        return {row: Measured.exact(v, table) for row, v in {"accuracy": accuracy, "cost": cost}[column].items()}


@pytest.mark.parametrize(
    ("kind", "value", "low", "high"),
    [
        (Difference, 2.0, 1.0, 3.0),
        (Ratio, 1.25, 9.5 / 8.5, 10.5 / 7.5),
        (Less, -25.0, 100 * (1 - 10.5 / 7.5), 100 * (1 - 9.5 / 8.5)),
        (Change, 25.0, 100 * (9.5 / 8.5 - 1), 100 * (10.5 / 7.5 - 1)),
    ],
)
def test_arithmetic_on_printed_figures_carries_their_rounding(
    kind: type[Check], value: float, low: float, high: float
) -> None:
    found = kind.model_validate({"of": PrintedFigure(id="a"), "to": PrintedFigure(id="b")}).measure(Fixed())
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high))
    assert found.basis == "recomputed from a and b"


def test_flops_are_two_for_each_multiply_accumulate() -> None:
    found = Flops(of=PrintedFigure(id="c")).measure(Fixed())
    assert (found.value, found.low, found.high) == pytest.approx((4.0, 3.9, 4.1))


def test_a_row_is_on_the_front_unless_another_is_no_worse_in_both_and_better_in_one() -> None:
    share = OnFront(table="t", family="X", accuracy="accuracy", cost="cost").measure(Fixed())
    assert share.value == pytest.approx(2 / 3)  # X-2 is beaten by "other": 76 > 75 at 2 < 3; "slow" has no cost


def test_the_down_sampling_formulas_are_those_of_real_layers() -> None:
    """YOLOv10, section 3.2, at C = 64 and H = W = 16."""
    side, c = 16, 64
    found = {
        (layer, of): Downsampling.model_validate({"layer": layer, "of": of}).measure(Fixed()).value
        for layer in ("strided", "pointwise", "depthwise")
        for of in ("macs", "weights")
    }
    image = torch.zeros(1, c, side, side)
    strided, scdown = (
        (macs(layer.eval(), image)[""].conv, sum(weight.numel() for weight in layer.parameters() if weight.dim() == 4))
        for layer in (yolo.Conv(c, 2 * c, 3, 2), yolo.SCDown(c, 2 * c, 3, 2))
    )
    area = side * side
    assert (found["strided", "macs"] * area * c**2, found["strided", "weights"] * c**2) == strided
    total = found["pointwise", "macs"] * area * c**2 + found["depthwise", "macs"] * area * c
    assert (total, found["pointwise", "weights"] * c**2 + found["depthwise", "weights"] * c) == scdown


def test_the_shared_weights_are_the_pointwise_ones_of_the_built_blocks() -> None:
    pointwise = depthwise = 0
    for block in backbone("mnv4_conv_small", 128).blocks:
        if isinstance(block, UIB):
            expand, project = (
                layer for layer in block.modules() if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (1, 1)
            )
            pointwise += expand.weight.numel() + project.weight.numel()
            depthwise += expand.in_channels + project.in_channels
    found = {
        kernels: SharedParameters.model_validate({"variant": "mnv4_conv_small", "kernels": kernels}).measure(Fixed())
        for kernels in ("separate", "nested")
    }
    for kernels, weights in (("separate", 3 * 3 + 5 * 5), ("nested", 5 * 5)):
        assert found[kernels].value == pytest.approx(100 * pointwise / (pointwise + weights * depthwise))


@pytest.mark.parametrize("variant", ["small", "medium", "large"])
def test_every_stage_of_universal_inverted_bottlenecks_begins_with_both_depthwise_convolutions(
    variant: str, rows: tuple[Row, ...]
) -> None:
    starts = [line.split() for line in blocks(f"mnv4_conv_{variant}") if re.fullmatch(r"uib .* /2", line)]
    both = sum("0" not in (start[1], start[2]) for start in starts)
    row = next(row for row in rows if row.id == f"mobilenetv4/stage-starts-conv-{variant[0]}")
    assert (row.published, row.measured, row.verdict) == (len(starts), both, "reproduced")


def test_the_articles_lost_factor_and_the_missing_residual_are_found(rows: tuple[Row, ...]) -> None:
    by_id = {row.id.removeprefix("article/"): row for row in rows if row.source == "article"}
    cost = by_id["article-3-strided-cost"]
    assert (cost.published, cost.measured, cost.verdict) == (9.0, 4.5, "differs")
    assert by_id["article-3-scdown-cost-pointwise"].verdict == "reproduced"
    residual = by_id["article-8-residual"]
    assert (residual.published, residual.measured, residual.verdict) == (0.0, 10.0, "differs")
    assert by_id["article-8-residual-as-printed"].verdict == "reproduced"


@pytest.mark.parametrize(
    ("name", "figure", "measured"),
    [
        ("mobilenetv4/detector-hybrid-gain", 1.6, 34.0 - 32.6),
        ("mobilenetv4/d1-copies", 500, 1000),
        ("mobilenetv4/d1-d2-d3-gain", 0.6, 84.9 - 84.1),
        ("mobilenetv4/hybrid-l-macs", 39, 290 / 7.2),
        ("discrepancies/d1-yolov8-m", 50.6, 50.2),
        ("discrepancies/d1-gain", 0.5, 51.1 - 50.2),
        ("yolov10/table14/momentum/value", 0.937, 0.9),
        ("yolov10/table14/warmup_bias_lr/value", 0.1, 0.0),
    ],
)
def test_a_known_slip_differs_with_both_numbers(
    name: str, figure: float, measured: float, rows: tuple[Row, ...]
) -> None:
    row = next(row for row in rows if row.id == name)
    assert (row.published, row.measured) == pytest.approx((figure, measured))
    assert row.verdict == "differs"
    assert row.basis.startswith(("recomputed from", "printed in"))


def test_the_papers_prose_follows_from_their_tables_but_for_the_known_slips(rows: tuple[Row, ...]) -> None:
    prose = [
        row
        for row in rows
        if row.source in ("yolov10", "mobilenetv4") and row.id.count("/") == 1 and row.basis.startswith("recomputed")
    ]
    wrong = {row.id for row in prose if row.verdict == "differs"}
    assert len(prose) > 60
    assert wrong == {
        f"mobilenetv4/{name}" for name in ("detector-hybrid-gain", "d1-d2-d3-gain", "hybrid-l-macs", "student-macs")
    }


def test_a_time_of_another_device_is_never_a_difference(published: Published) -> None:
    part = {("psa", "psa", "latency"): PartResult(50.0, "Here: 50 times slower.")}
    timed = [
        row for row in rows_of(published, Invented(), part) if isinstance(published.facts[row.id].test, OtherDevice)
    ]
    assert {row.verdict for row in timed} == {"not comparable"}
    psa = next(row for row in timed if row.id == "yolov10/effect-psa-latency")
    assert (psa.measured, psa.published) == (50.0, pytest.approx(2.49 / 2.34, abs=5e-4))
    assert "NVIDIA T4" in psa.reason
    assert "50 times slower" in psa.reason


@pytest.fixture
def scored() -> CheckpointResult:
    """What scoring YOLOv10-N's checkpoint might give."""
    points = {"AP": 38.52, "AP50": 54.0}
    return CheckpointResult(
        whole=True,
        scores={name: PartResult(value, f"Scored: {value}.") for name, value in points.items()},
        times="Over YOLOv8-N's: 0.9.",
    )


def of_checkpoint(published: Published, id: str, scored: CheckpointResult) -> Row:
    return as_row(check(published.facts[id], FiguresAndCounts(published, Invented()), {}, None, {"yolov10n": scored}))


def test_a_checkpoint_scored_on_all_of_coco_decides_about_its_printed_scores(
    published: Published, scored: CheckpointResult
) -> None:
    ap = of_checkpoint(published, "yolov10/table1/YOLOv10-N/ap_val", scored)
    assert (ap.published, ap.measured, ap.verdict, ap.basis) == (38.5, 38.52, "reproduced", "scored here")
    ap50 = of_checkpoint(published, "yolov10/table15/YOLOv10-N/ap50", scored)
    assert (ap50.published, ap50.measured, ap50.verdict) == (53.8, 54.0, "differs")
    assert "Scored: 54.0." in ap50.reason
    assert "full training" not in ap50.reason


def test_a_checkpoint_scored_on_some_images_decides_nothing(published: Published, scored: CheckpointResult) -> None:
    row = of_checkpoint(published, "yolov10/table1/YOLOv10-N/ap_val", replace(scored, whole=False))
    assert (row.verdict, row.measured, row.reason) == ("not testable here", None, "Scored: 38.52.")


def test_a_time_of_a_checkpoint_stands_beside_the_printed_one(published: Published, scored: CheckpointResult) -> None:
    row = of_checkpoint(published, "yolov10/table1/YOLOv10-N/latency_ms", scored)
    assert (row.verdict, row.measured) == ("not comparable", None)
    assert "NVIDIA T4" in row.reason
    assert "Over YOLOv8-N's: 0.9." in row.reason


def test_only_networks_that_are_checkpoints_are_about_one(published: Published, scored: CheckpointResult) -> None:
    about = {fact.id for fact in published.facts.values() if fact.checkpoint == "yolov10n"}
    scores = {f"yolov10/table15/YOLOv10-N/{name}" for name in ("ap50", "ap75", "ap_small", "ap_medium", "ap_large")}
    assert about == {*scores, *(f"yolov10/table1/YOLOv10-N/{name}" for name in ("ap_val", "latency_ms"))}
    assert published.facts["yolov10/table1/YOLOv6-3.0-N/ap_val"].checkpoint is None
    assert published.facts["yolov10/table2/S/ap_val"].checkpoint is None
    one_to_many = of_checkpoint(published, "yolov10/table1/YOLOv10-N/ap_val_o2m_nms", scored)
    assert (one_to_many.verdict, one_to_many.measured) == ("not testable here", None)


def test_a_model_that_cannot_be_built_is_not_testable_here(published: Published) -> None:
    class Absent(Invented):
        def detector(self, name: str, imgsz: int) -> dict[str, int]:
            raise NotHere("needs transformers: pip install '.[peers]'")

    fact = published.facts["yolov10/table1/RT-DETR-R18/params_M"]
    row = as_row(check(fact, FiguresAndCounts(published, Absent()), {}))
    assert (row.verdict, row.measured) == ("not testable here", None)
    assert ".[peers]" in row.reason


def test_counts_come_out_at_the_printed_digits_and_are_made_once(
    tmp_path: Path, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "yolov10/table1/YOLOv10-N/params_M",
        "yolov10/table1/YOLOv10-N/flops_G",
        "timm/counts/MNv4-Conv-S/timm_params",
    )
    first = FiguresAndCounts(published, Counts(tmp_path / "counts.json"))
    found = [as_row(check(published.facts[name], first, {})) for name in names]
    assert [row.verdict for row in found] == ["reproduced"] * 3
    assert found[2].measured == 3774024

    def refuse(*_: object) -> None:
        raise AssertionError("counted twice")

    monkeypatch.setattr(costs, "detector_cost", refuse)
    monkeypatch.setattr(costs, "classifier_cost", refuse)
    kept = read_json(tmp_path / "counts.json")
    write_json(tmp_path / "counts.json", {**kept, "0" * 64: {"params": 1}})  # by code that changed since
    counts = Counts(tmp_path / "counts.json")
    again = FiguresAndCounts(published, counts)
    assert [as_row(check(published.facts[name], again, {})) for name in names] == found
    counts.forget_unused()
    assert read_json(tmp_path / "counts.json") == kept
    with pytest.raises(AssertionError, match="counted twice"):
        Detector(model="yolov10n", of="params", imgsz=64).measure(again)


@pytest.mark.parametrize("text", ["[1]", '{"a": 3}', '{"a": {"params": "many"}}', "{", "\x00", ""])
def test_damaged_counts_are_put_aside_and_counted_again(
    text: str, tmp_path: Path, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "counts.json"
    path.write_text(text)
    context = FiguresAndCounts(published, Counts(path))
    row = as_row(check(published.facts["timm/counts/MNv4-Conv-S/timm_params"], context, {}))
    assert (row.verdict, row.measured) == ("reproduced", 3774024)
    assert len(read_json(path)) == 1
    assert (tmp_path / "counts-unusable.json").read_text() == text
    assert str(path) in capsys.readouterr().err


def broken(folder: Path, file: str, old: str, new: str) -> Path:
    shutil.copytree(FOLDER, folder / "published", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = folder / "published" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path.parent


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "article.yaml",
            "    unit: ×\n",
            "    units: ×\n",
            r"article\.yaml:\d+: claims\.article-1-speed\.units: unknown key",
        ),
        (
            "article.yaml",
            "    needs: imagenet\n",
            "    needs: imagenet\n    unmatched: Another one.\n",
            r"article-5-top1.*unmatched goes with a check",
        ),
        (
            "article.yaml",
            "measure: ratio,",
            "measure: ration,",
            r"article\.yaml:\d+: .*unknown measure 'ration'.*ratio",
        ),
        (
            "article.yaml",
            "layer: strided,",
            "layer: stride,",
            r"article\.yaml:\d+: claims\.article-3-strided-cost.*layer",
        ),
        ("article.yaml", "    source: article\n", "    source: papers\n", r"source: unknown name 'papers'.*article"),
        ("article.yaml", "needs: imagenet", "needs: luck", r"needs: unknown name 'luck'"),
        (
            "article.yaml",
            "check: mobilenetv4/hybrid-l-jft",
            "check: mobilenetv4/hybrid-l",
            r"no figure 'mobilenetv4/hybrid-l'",
        ),
        (
            "article.yaml",
            "check: mobilenetv4/hybrid-l-jft",
            "check: article/article-5-top1-quoted",
            r"article-5-top1-quoted: is checked against itself",
        ),
        ("yolov10.yaml", "model: YOLOv6-3.0-N,", "modell: x, model: YOLOv6-3.0-N,", r"unknown column 'modell'"),
        ("yolov10.yaml", "model: YOLOv6-3.0-S,", "model: YOLOv6-3.0-N,", r"row 'YOLOv6-3.0-N' stands twice"),
        ("timm.yaml", "  timm: {name", "  yolov10: {name", r"sources\.yolov10: another file has a source of this name"),
    ],
    ids=[
        "key",
        "unmatched",
        "measure",
        "argument",
        "source",
        "need",
        "figure",
        "itself",
        "column",
        "row twice",
        "source twice",
    ],
)
def test_a_mistake_in_a_file_is_refused_by_file_and_field(
    file: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=said):
        load(broken(tmp_path, file, old, new))


@pytest.mark.parametrize(("figure", "decimals"), [(1.8, 1), (46, 0), (0.0, 1), (24.51, 2), ("yes", None), (None, None)])
def test_printed_decimals_are_those_of_the_file(figure: float | str | None, decimals: int | None) -> None:
    assert printed_decimals(figure) == decimals


def test_the_summary_counts_every_row_once(published: Published, rows: tuple[Row, ...]) -> None:
    found = summary(rows, published.sources)
    assert found.figures == len(rows) == sum(found.verdicts.values())
    assert found.figures == sum(source.figures for source in found.sources.values())
    assert all(source.figures == sum(source.verdicts.values()) > 0 for source in found.sources.values())
    assert [row.id for row in found.differing] == [row.id for row in rows if row.verdict == "differs"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger's files beside fake results of an ablation."""
    root = tmp_path_factory.mktemp("ledger")
    plan = make_plan(root)
    results = root / "results"
    write_results(plan, results)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnv4bench.report.ledger.Counts", lambda path: Invented())
        write_ledger(plan, results)
    return results


def test_what_the_ablations_measured_stands_beside_the_claims(written: Path) -> None:
    with (written / "tables/ledger.csv").open(encoding="utf-8") as stream:
        found = {row["id"]: row for row in csv.DictReader(stream)}
    comparison = read_json(written / "compare.json")
    psa = next(d for d in comparison["differences"] if (d["ablation"], d["arm"]) == ("psa", "psa"))
    row = found["yolov10/effect-psa-ap"]
    assert float(row["measured"]) == pytest.approx(100 * psa["mean"])
    assert (row["published"], row["verdict"]) == ("1.4", "not testable here")
    latency = read_json(written / "latency/latency.json")
    timed = next(
        r for r in latency["rows"] if (r["arm"], r["stage"]) == ("psa/psa", "end_to_end") and r["ratio"] is not None
    )
    row = found["yolov10/effect-psa-latency"]
    assert (float(row["measured"]), row["verdict"]) == (timed["ratio"], "not comparable")
    assert latency["environment"]["cpu"] in row["reason"]
    row = found["mobilenetv4/effect-distillation"]  # in top-1, so that our AP is no measurement of it
    assert (row["measured"], row["verdict"]) == ("", "not testable here")
    assert "The same part here" in row["reason"]
    assert "no result for scdown/scdown" in found["yolov10/effect-scdown-ap"]["reason"]


def test_the_written_tables_are_well_formed(written: Path) -> None:
    with (written / "tables/ledger.csv").open(encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    found = LedgerSummary.model_validate(read_json(written / "tables/ledger.json"))
    assert len(table) == found.figures
    assert all(None not in row and None not in row.values() for row in table)
    width = None
    for line in (written / "tables/ledger.md").read_text(encoding="utf-8").splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        assert width is None or cells is None or cells == width, line
        width = cells
    tex = (written / "tables/ledger.tex").read_text(encoding="utf-8")
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 2
    bare = re.sub(r"\\[{}]", "", tex)
    assert bare.count("{") == bare.count("}")
    for body in re.findall(r"\\toprule\n(.*?)\\bottomrule", tex, re.DOTALL):
        lines = [line for line in body.splitlines() if line != r"\midrule"]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) == 1
        assert all(line.endswith(r"\\") for line in lines)


# Claims on time


def timed_here(**ratios: float) -> Latency:
    """A record in which networks of the catalogue have these ratios over what they are timed over."""
    row = {"threads": 1, "stage": "forward", "blocks": 1, "p50_ms": 1.0, "min_ms": 1.0, "p90_ms": None, "spread": 0.0}
    rows = [
        LatencyRow(
            **row,
            runtime=runtime,
            arm=arm,
            baseline="x",
            ratio=ratio,
            ratio_low=ratio,
            ratio_high=ratio,
            verdict="same",
        )
        for runtime in ("onnxruntime", "openvino")
        for arm, ratio in ratios.items()
    ]
    session = LatencySession(number=0, threads=1, seconds=1.0, busy_before=0.0)
    return Latency(
        reference="x", images=1, rounds=1, blocks=1, block_ms=1.0, comparable=True, sessions=(session,),
        rows=tuple(rows), fingerprint="", environment=environment(),
    )  # fmt: skip


@pytest.mark.parametrize(("form", "value"), [("ratio", 0.8), ("speedup", 1.25), ("less_percent", 20.0)])
def test_a_ratio_of_times_takes_the_claims_form(form: Any, value: float) -> None:
    times = claim_times(Timed(model="a", over="b", form=form), timed_here(a=0.8))
    assert times.value == pytest.approx(value)
    assert [time.runtime for time in times.runtimes] == ["onnxruntime", "openvino"]
    text = render("text/claim_times.j2", row=SimpleNamespace(times=times))
    assert all(word in text for word in ("onnxruntime", "openvino", environment().cpu, "0.800 [0.800, 0.800], same"))


def test_the_time_that_a_part_adds_is_compared_with_what_another_adds() -> None:
    timed = Timed(model="mqa", over="mhsa", beyond="none")
    times = claim_times(timed, timed_here(mqa=1.1, mhsa=1.4))
    assert times.value == pytest.approx(75.0)
    text = render("text/claim_times.j2", row=SimpleNamespace(times=times))
    assert "75.0 % (none × 1.100, same, and × 1.400, same)" in text
    assert claim_times(timed, timed_here(mqa=1.1, mhsa=0.9)).value is None  # nothing that is added, nothing to compare


def test_what_was_not_timed_is_not_made_up(published: Published) -> None:
    times = claim_times(Timed(model="a", over="b"), timed_here(c=1.0))
    assert (times.value, times.runtimes) == (None, ())
    untimed = [row for row in rows_of(published, Invented()) if "were not timed here yet" in row.reason]
    assert {row.verdict for row in untimed} == {"not comparable"}
    assert all(row.measured is None for row in untimed)
    assert {row.id for row in untimed} == {fact.id for fact in published.facts.values() if fact.timed}


def test_claims_on_time_get_a_measured_ratio_and_no_verdict(published: Published) -> None:
    times = timed_here(**{name: 0.5 for name, over in networks(published).items() if over})
    rows = {row.id: row for row in rows_of(published, Invented(), times=times)}
    speed = rows["article/article-1-speed-here"]
    assert (speed.verdict, speed.measured, speed.basis) == ("not comparable", 2.0, "forward passes timed here")
    assert "NVIDIA T4" in speed.reason
    assert environment().cpu in speed.reason


def test_every_network_that_a_claim_wants_timed_is_in_the_catalogue(published: Published) -> None:
    wanted = networks(published)
    assert set(wanted) <= set(names())
    assert {"yolov10s", "yolov10b", "yolov10s+downs", "mnv4-hybrid-m+mqa"} <= set(wanted)
    assert all(over in wanted for over in wanted.values() if over)


def test_a_network_is_timed_over_one_other_alone(published: Published) -> None:
    name = next(fact.id for fact in published.facts.values() if fact.timed)
    twice = replace(published.facts[name], timed=Timed(model="yolov10s", over="yolov8s"))
    with pytest.raises(SpecError, match="yolov10s is timed over yolov8s, and elsewhere over rtdetr-r18"):
        networks(Published(published.sources, {**published.facts, "again": twice}))
