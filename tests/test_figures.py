"""What the figures show, by the numbers that they are drawn from."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import fake_results as fake
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from PIL import Image

from mnv4bench.reference.plans import plan_of
from mnv4bench.report.figures import confusion, cost, curves, detections, effects, labels, pareto, precision, slices
from mnv4bench.report.figures.effects import Line, Panel
from mnv4bench.report.figures.pareto import Point
from mnv4bench.report.figures.style import BASELINE, COLOURS, few_colours, figure, look
from mnv4bench.report.paper.facts import facts
from mnv4bench.report.rendering import render
from mnv4bench.report.results import Results, collect
from mnv4bench.results import matches
from mnv4bench.spec.model import ModelSpec

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("figures")
    plan = fake.make_plan(root)
    fake.write_results(plan, root / "results")
    return collect(plan, root / "results")


@pytest.fixture(scope="module")
def published() -> Results:
    """Published networks of which one is at hand, in an ablation of 14 arms among others."""
    return collect(plan_of("published", ROOT), ROOT / "results/reference/published")


def test_few_colours_leave_those_that_mean_something_as_they_are() -> None:
    many = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    meant = [tuple(bytes.fromhex(colour[1:])) for colour in ("#FFFFFF", BASELINE, *COLOURS)]
    many[0, : len(meant)] = meant
    few = np.asarray(few_colours(Image.fromarray(many)).convert("RGB"))
    assert [tuple(pixel) for pixel in few[0, : len(meant)].tolist()] == meant
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 256
    assert np.abs(few.astype(int) - many).mean() < 20


def test_a_row_of_the_forest_has_the_published_effect_of_its_own_arm(results: Results) -> None:
    """Table 5 prints 44.2 and 44.4 AP, Table 9 of MobileNetV4 73.8 and 75.5; nms_free's baseline has no figure."""
    found = {line.label: line.published for panel in effects.panels(results) for line in panel.lines}
    assert found == {
        "psa": {"AP": pytest.approx(0.2)},
        "dual nms free": {},
        "dual nms": {},
        "outputs": {"top1": pytest.approx(1.7)},
    }


def test_an_ablation_of_which_nothing_was_scored_takes_one_line(results: Results) -> None:
    name, arms = next((name, arms) for name, arms in results.ablations.items() if len(arms) > 2)
    nothing = tuple(
        replace(arm, difference=arm.difference and arm.difference.model_copy(update={"mean": None})) for arm in arms
    )
    without = replace(results, ablations={**results.ablations, name: nothing})
    before, after = ({panel.title: panel.lines for panel in effects.panels(r)} for r in (results, without))
    changed = [title for title, lines in after.items() if lines != before[title]]
    (title,) = changed
    assert [line.label for line in after[title]] == [f"all {len(before[title])} arms"]


def test_the_forest_draws_measured_and_published_effects_with_markers_of_their_own(results: Results) -> None:
    with look():
        drawn = effects.effects(results)
    markers = {
        axis.get_title(loc="left"): {
            (line.get_marker(), round(float(line.get_xdata()[0]), 9))  # type: ignore[index, arg-type]
            for line in axis.lines
            if line.get_marker() != "None"
        }
        for axis in drawn.axes
    }
    mean = {arm.arm.label: 100 * (arm.difference.mean or 0) for arm in results.arms if arm.difference}
    assert markers["Attention_{psa} & none (to none)"] == {("o", round(mean["psa/psa"], 9)), ("D", 0.2)}
    assert markers["Distillation (to none)"] == {("o", round(mean["distillation/outputs"], 9)), ("^", 1.7)}
    assert len({axis.get_xlim() for axis in drawn.axes}) == 1
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend[3:] == ["published, AP", "published, ImageNet top-1"]


def test_curves_show_the_ap_of_each_reading_after_each_epoch_beside_the_trunks(results: Results) -> None:
    """Made-up runs have AP 0.1 to 0.4 read without NMS, and none read with it."""
    with look():
        drawn = curves.curves(results)
    lines = dict(zip(results.ablations, (axis.lines for axis in drawn.axes), strict=True))
    aps = [10.0, 20.0, 30.0, 40.0]

    def shown(ablation: str, width: float, style: str = "-") -> list[list[float]]:
        found = [line for line in lines[ablation] if (line.get_linewidth(), line.get_linestyle()) == (width, style)]
        return [pytest.approx(list(line.get_ydata())) for line in found]  # type: ignore[call-overload]

    assert shown("psa", 0.5) == [aps] * 2 * 3  # two arms of three seeds
    assert shown("psa", 1.6) == [aps] * 2
    assert shown("psa", 0.8, "--") == [[40.0, 40.0]]  # the trunk
    # One of nms_free's three arms is read without NMS; the trunk is read as the baseline is, with it.
    assert shown("nms_free", 0.5) == [aps] * 3
    assert shown("nms_free", 1.6) == [[], aps, []]
    assert shown("nms_free", 0.8, "--") == []
    labels = [text.get_text() for text in drawn.axes[1].get_legend().get_texts()]
    assert [label.partition(":")[0] for label in labels] == ["one to many", "dual nms free", "dual nms"]


def test_the_legend_of_curves_lies_below_them_and_says_whose_ap_it_holds(results: Results) -> None:
    with look():
        drawn = curves.curves(results)
        drawn.draw_without_rendering()
    axis = drawn.axes[0]
    legend = axis.get_legend()
    images = results.data.record.val.count
    assert legend.get_title().get_text() == f"AP on all {images} images"
    assert axis.get_ylabel() == f"AP (points), first {min(images, 200)} images"
    top = axis.transData.inverted().transform(legend.get_window_extent())[1, 1]
    assert top <= min(min(line.get_ydata()) for line in axis.lines if len(line.get_ydata()))
    assert min(axis.get_yticks()) >= 0


def test_a_single_epoch_has_one_tick(results: Results) -> None:
    with look():
        drawn = figure(3, 2)
        axis = drawn.add_subplot()
        axis.plot([1], [30.0])
        curves.whole_epochs(axis)
        drawn.draw_without_rendering()
    low, high = axis.get_xlim()
    assert [tick for tick in axis.get_xticks() if low <= tick <= high] == [1]


def test_networks_that_were_not_trained_have_no_curves(published: Results) -> None:
    with look():
        (axis,) = curves.curves(published).axes
    assert not axis.axison
    assert axis.texts[0].get_text() == render("text/no_curves.j2")


def test_arms_that_have_no_colour_of_their_own_stand_in_rows(results: Results, published: Results) -> None:
    with look():
        drawn = slices.slices(published)
        few = slices.slices(results)
        drawn.draw_without_rendering()
    panels = dict(zip(published.at_hand.ablations, drawn.axes, strict=True))
    axis, arms = panels["published_nms"], published.ablations["published_nms"]
    assert [text.get_text() for text in axis.get_yticklabels()] == [arm.arm.title for arm in arms]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == list(published.data.slices)
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    found = [float(x) for line in dots for x in line.get_xdata()]  # type: ignore[union-attr]
    assert found == pytest.approx([100 * (arm.mean("AP", part) or 0) for part in published.data.slices for arm in arms])
    legend = axis.get_legend().get_window_extent()
    assert axis.transData.inverted().transform(legend)[1, 1] > len(arms) - 1  # below the last row
    boxes = [text.get_window_extent() for text in axis.get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert [axis.get_ylabel() for axis in few.axes] == ["AP (points)"] * len(results.ablations)


def test_a_legend_has_as_many_columns_as_fit_its_panel() -> None:
    assert slices.legend_columns(["none", "psa", "both"]) == 3
    assert slices.legend_columns(["one-to-many, NMS", "dual, NMS-free", "dual, NMS"]) == 2
    assert slices.legend_columns(["a title that is longer than half of its panel", "b"]) == 1


def test_many_effects_stand_in_two_columns_of_about_the_same_height(results: Results) -> None:
    line = Line("arm", next(d for d in results.comparison.differences), {})
    drawn = [Panel(str(size), (line,) * size) for size in (5, 4, 2, 4, 3, 7, 1, 1, 4, 3)]
    left, right = effects.columns(drawn)
    assert [*left, *right] == drawn
    assert [panel.title for panel in left] == ["5", "4", "2", "4", "3"]  # with titles 18 + 5 against 16 + 5
    assert effects.columns(drawn[:3]) == [drawn[:3]]
    many = [Panel("one ablation", (line,) * 20)]
    assert effects.columns(many) == [many]


def test_a_bar_is_the_sum_of_its_parts_and_equal_costs_share_one(results: Results) -> None:
    """`head` and distillation change nothing that is deployed, so all arms but psa/none cost the same."""
    groups = cost.networks(results.arms)
    assert [[arm.arm.label for arm in group] for group in groups] == [
        ["psa/none"],
        [arm.label for arm in results.plan.arms if arm.label != "psa/none"],
    ]
    with look():
        left, right = cost.cost(results).axes
    for axis, field, scale in ((left, "params", 1e6), (right, "flops", 1e9)):
        for place, group in enumerate(groups):
            bars = [bar for bar in axis.patches if round(bar.get_y() + bar.get_height() / 2) == place]  # type: ignore[attr-defined]
            assert sum(bar.get_width() for bar in bars) == pytest.approx(getattr(group[0].cost, field) / scale)  # type: ignore[attr-defined]
            assert len(bars) == len(cost.FILLS) - 1  # all but a peer's neck
    assert [text.get_text() for text in left.get_yticklabels()] == ["psa: none", "psa: psa (+5 same)"]


def test_a_cost_file_without_parts_shows_the_whole(results: Results) -> None:
    arms = tuple(
        replace(arm, cost=arm.cost.model_copy(update={"parts": {}})) for arm in results.ablations["psa"] if arm.cost
    )
    with look():
        left, _ = cost.cost(replace(results, ablations={"psa": arms})).axes
    assert [bar.get_facecolor() for bar in left.patches] == [to_rgba(cost.WHOLE)] * 2
    assert [bar.get_width() for bar in left.patches] == [arm.cost.params / 1e6 for arm in arms if arm.cost]  # type: ignore[attr-defined]


def test_no_two_parts_look_alike() -> None:
    assert len(set(cost.FILLS.values())) == len(cost.FILLS)


def at(runtime: str, ms: float, ap: float, label: str = "", shape: str = "o") -> Point:
    return Point(label or f"{ms}", runtime, shape, (label,), (ms, ms, ms), (ap, ap, ap))


def test_the_front_keeps_the_points_that_nothing_beats() -> None:
    drawn = [at("torch", ms, ap) for ms, ap in ((1, 20), (2, 10), (2, 30), (2, 25), (3, 30), (4, 40))]
    assert [(p.ms[1], p.ap[1]) for p in pareto.front(drawn)] == [(1, 20), (2, 30), (4, 40)]


def test_one_panel_has_every_runtime_in_its_colour_and_names_the_machine(results: Results) -> None:
    with look():
        made = pareto.pareto(results)
    (axis,) = made.axes
    assert axis.get_xscale() == "log"
    drawn = pareto.points(results)
    colour_of = pareto.colours(results)
    assert colour_of["openvino"] == colour_of["openvino_int8"] != colour_of["torch"]
    for p in drawn:
        hollow = p.runtime.endswith("int8")
        place = (p.ms[1], p.ap[1])
        mark = next(line for line in axis.lines if line.get_marker() == p.shape and _place(line) == place)
        assert (mark.get_markerfacecolor() == "white") is hollow
        assert (mark.get_markeredgecolor() if hollow else mark.get_markerfacecolor()) == colour_of[p.runtime]
    assert fake.FAKE in made.texts[0].get_text()
    entries = [text.get_text() for text in made.legends[0].get_texts()]
    assert entries == [*fake.RUNTIMES, "baseline", "arm", "front", "a runtime's front", "two readings"]
    made.draw_without_rendering()
    assert made.legends[0].get_window_extent().x1 <= made.bbox.x1
    assert {line.get_linestyle() for line in axis.lines if len(line.get_xdata()) > 1} >= {"-", "--", ":"}  # type: ignore[arg-type]


def test_a_published_network_in_eight_bits_is_hollow_beside_its_library(published: Results) -> None:
    hollow = {(p.label, p.runtime) for p in pareto.points(published) if p.hollow}
    assert {runtime for _, runtime in hollow} == {"onnxruntime", "openvino"}
    assert [label.startswith("int8") for label, _ in hollow] == [True, True]
    with look():
        (legend,) = pareto.pareto(published).legends
    assert [text.get_text() for text in legend.get_texts()][3:6] == ["baseline", "arm", "int8"]


def _place(line: Line2D) -> tuple[float, float]:
    return line.get_xdata()[0], line.get_ydata()[0]  # type: ignore[index, return-value]


@pytest.mark.parametrize("networks", [1, 15])
def test_names_touch_neither_each_other_nor_a_point(
    results: Results, monkeypatch: pytest.MonkeyPatch, networks: int
) -> None:
    rng = np.random.default_rng(0)
    speed = dict(zip(fake.RUNTIMES[:4], (20, 5, 5.2, 3), strict=True))
    cost = np.exp(rng.normal(0, 0.5, networks))
    drawn = [
        at(runtime, float(ms * c), float(30 + 10 * c + rng.normal()), f"ablation: arm_{k}")
        for k, c in enumerate(cost)
        for runtime, ms in speed.items()
    ]
    monkeypatch.setattr(pareto, "points", lambda _: drawn)
    with look():
        made = pareto.pareto(results)
        made.draw_without_rendering()
    (axis,) = made.axes
    names = [text.get_text() for text in axis.texts]
    assert len(set(names)) == len(names) >= 0.8 * networks
    assert {p.label for p in pareto.front(drawn)} <= set(names)
    boxes = [text.get_window_extent() for text in axis.texts]
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]
    marks = [axis.transData.transform((p.ms[1], p.ap[1])) for p in drawn]
    assert not [1 for box in boxes for mark in marks if box.contains(*mark)]
    inside = axis.get_window_extent()
    assert all(inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1) for box in boxes)


def test_a_name_without_room_is_left_out() -> None:
    size, inside = (20.0, 5.0), (0.0, 0.0, 24.0, 40.0)
    near, far = labels.place([[(12.0, 20.0)]] * 2, [size] * 2, [(12.0, 20.0)], 3, [], inside)
    assert near is not None
    assert near.joint is None
    assert far is not None
    assert abs(far.bottom - near.bottom) >= 5
    assert labels.place([[(12.0, 20.0)]], [(30.0, 5.0)], [], 3, [], inside) == [None]


def test_a_name_keeps_off_lines_where_it_can() -> None:
    anchor = (50.0, 50.0)
    line = ((0.0, 50.0), (100.0, 50.0))
    (free,) = labels.place([[anchor]], [(20.0, 5.0)], [anchor], 3, [], (0, 0, 100, 100))
    (kept,) = labels.place([[anchor]], [(20.0, 5.0)], [anchor], 3, [line], (0, 0, 100, 100))
    assert free is not None
    assert free.bottom < 50 < free.bottom + 5
    assert kept is not None
    assert not kept.bottom < 50 < kept.bottom + 5


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.5, 200, [1, 10, 100]),
        (1, 40, [1, 3, 10, 30]),
        (4, 22, [5, 10, 20]),
        (4.9, 5.3, [4.9, 5, 5.1, 5.2, 5.3]),
    ],
)
def test_ticks_are_round_and_at_least_three(low: float, high: float, ticks: list[float]) -> None:
    assert pareto.log_ticks(low, high) == pytest.approx(ticks)


def test_the_two_readings_of_one_run_are_joined(results: Results) -> None:
    pairs = [(a.label, b.label) for a, b in pareto.readings(pareto.points(results)) if a.runtime == "torch"]
    assert [{*pair} for pair in pairs] == [{"nms_free: dual nms free", "nms_free: dual nms"}]


def test_one_network_has_no_front(results: Results) -> None:
    first, *others = results.ablations["distillation"]
    arms = (first, *(replace(arm, latency=first.latency) for arm in others))
    some = replace(results, ablations={"distillation": arms})
    with look():
        (axis,) = pareto.pareto(some).axes
    assert facts(some)["figures"]["one_network"] is True
    assert facts(results)["figures"]["one_network"] is False
    (said,) = axis.texts
    assert " ".join(said.get_text().split()).startswith("All arms deploy the same network, so they differ in AP alone:")


def test_the_classes_of_a_narrow_sheet_are_listed_inside_it(results: Results) -> None:
    arms = results.ablations["psa"][:1]
    with look():
        made = detections.detections(replace(results, ablations={"psa": arms}))
        made.draw_without_rendering()
    (legend,) = made.legends
    box = legend.get_window_extent()
    wide, tall = made.get_size_inches() * made.dpi
    assert [text.get_text() for text in legend.get_texts()] == [
        f"{i + 1} {name}" for i, name in enumerate(results.data.record.classes)
    ]
    assert 0 <= box.x0 < box.x1 <= wide
    lowest = min(axis.get_window_extent().y0 for axis in made.axes)
    assert 0 <= box.y0 < box.y1 <= lowest < tall


def test_of_many_arms_the_sheet_shows_the_first_baselines_and_peers(results: Results) -> None:
    baseline, arm = results.ablations["psa"]
    peer = replace(arm, arm=replace(arm.arm, model=ModelSpec(peer="yolov8n")))
    plain = [[arm]] * detections.SHOWN
    assert detections.shown(plain) == plain
    wanted = [[baseline], [peer], [arm, baseline]]
    assert detections.shown([*plain, *wanted]) == [*plain[:-3], *wanted]
    assert detections.shown([[peer]] * (detections.SHOWN + 1)) == [[peer]] * detections.SHOWN


def test_of_a_classes_objects_each_cell_is_the_share_and_of_the_background_the_count_in_100_images() -> None:
    counted = confusion.Counted(2, 0.3, {("a", "a"): 3, ("a", "b"): 1, ("-", "b"): 10})
    made = confusion.shares(counted, ("a", "b", "-"), images=50)
    assert made[0].tolist() == [75, 25, 0]
    assert np.isnan(made[1]).all()  # no object of this class
    assert made[2].tolist() == [0, 10, 0]


def test_matrices_say_their_unit_and_their_titles_stay_within_their_panels(results: Results) -> None:
    counted = confusion.Counted(2, 0.25, {("a", "a"): 3})
    with look():
        made = confusion.confusion(results, "nms_free", dict.fromkeys(("one_to_many", "dual_nms_free"), counted))
    assert made.get_supxlabel() == (
        "Numbers: % of the objects of a row's class; in the last row, detections of nothing in 100 images."
    )
    titles = [axis.get_title(loc="left") for axis in made.axes]
    assert titles[0] == "one to many (baseline), confidence\n0.25"


def test_the_curves_of_an_arm_and_its_baseline_share_panels_and_an_ablation_without_scores_says_so(
    results: Results,
) -> None:
    level = [k / 100 for k in range(101)]
    values = {name: (level, [1 - at for at in level]) for name in ("(all)", *results.data.record.classes)}
    arms = {name: precision.Drawn(name, values, values) for name in ("none", "psa")}
    with look():
        made = precision.precision(results, "psa", arms)
        assert len(made.axes) == 2
        styles = [line.get_linestyle() for line in made.axes[0].lines]
        assert styles == ["-"] * 3 + ["--"] * 3  # two classes and their mean
        assert [text.get_text() for text in made.axes[1].get_legend().get_texts()] == [
            "psa: F1 1.000 at 0.00",
            "none: F1 1.000 at 0.00",
        ]
        made.draw_without_rendering()
        for axis in made.axes:  # no curve under the legend, however low it lies
            assert axis.get_legend().get_window_extent().y0 >= axis.get_window_extent().y1 - 1
        alone = precision.precision(results, "psa", {"none": arms["none"]})
        assert len(alone.axes[0].lines) == 3
        for said in (precision.precision(results, "psa", {}), confusion.confusion(results, "psa", {})):
            assert said.axes[0].texts[0].get_text() == "No arm of psa was scored on objects."


def test_eight_classes_have_eight_colours_and_more_have_one() -> None:
    assert len(set(precision.class_colours([str(k) for k in range(8)]).values())) == 8
    assert len(set(precision.class_colours([str(k) for k in range(9)]).values())) == 1


def test_the_arms_differ_by_what_they_find_and_by_what_they_detect_wrongly(results: Results) -> None:
    """Every run finds the first object of each image; one of them is given no detections."""
    arms = [[arm] for arm in results.ablations["psa"]]
    assert set(detections.spread(results, arms).values()) == {0}
    records = [
        matches.load(results.folder / "runs" / group[0].seeds[0].run / "matches.npz", [group[0].arm.read])
        for group in arms
    ]
    one = next(iter(records[0].values()))
    assert detections._right_and_wrong(one).tolist() == [[1] * 10, [0] * 10]
    blind = replace(one, score=one.score - 0.7)
    assert detections._right_and_wrong(blind).tolist() == [[0] * 10] * 2


def test_an_arm_that_detects_nothing_on_an_image_is_said_to(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detections, "THRESHOLD", 0.95)
    with look():
        made = detections.detections(replace(results, ablations={"psa": results.ablations["psa"]}))
    said = [text.get_text() for axis in made.axes for text in axis.texts]
    assert said.count("nothing above 0.95") == 2 * len(results.data.slices)
