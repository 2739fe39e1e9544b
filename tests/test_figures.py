"""What the figures show, by the numbers that they are drawn from."""

from __future__ import annotations

from dataclasses import replace

import fake_results as fake
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from mnv4bench.report.figures import cost, curves, detections, effects, pareto
from mnv4bench.report.figures.effects import Line, Panel
from mnv4bench.report.figures.style import BASELINE, COLOURS, few_colours, look
from mnv4bench.report.paper.facts import facts
from mnv4bench.report.results import Results, collect
from mnv4bench.spec.model import ModelSpec


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("figures")
    plan = fake.make_plan(root)
    fake.write_results(plan, root / "results")
    return collect(plan, root / "results")


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
    assert [label.partition(":")[0] for label in labels] == ["one_to_many", "dual_nms_free", "dual_nms"]


def test_many_effects_stand_in_two_columns_of_about_the_same_height(results: Results) -> None:
    line = Line("arm", next(d for d in results.comparison.differences), {})
    drawn = [Panel(str(size), (line,) * size) for size in (5, 4, 2, 4, 3, 7, 1, 1, 4, 3)]
    left, right = effects.columns(drawn)
    assert [*left, *right] == drawn
    assert [panel.title for panel in left] == ["5", "4", "2", "4", "3"]  # with titles 18 + 5 against 16 + 5
    assert effects.columns(drawn[:3]) == [drawn[:3]]


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


def test_a_points_number_follows_its_ap_and_stands_in_every_panel_and_in_the_key(results: Results) -> None:
    drawn = {runtime: pareto.points(results, runtime) for runtime in results.timed}
    for found in drawn.values():
        assert [p.number for p in found] == list(range(1, len(found) + 1))
        assert [p.ap[1] for p in found] == sorted((p.ap[1] for p in found), reverse=True)
    with look():
        *panels, key = pareto.pareto(results).axes
    names = [text.get_text() for text in key.texts]
    labels = {p.number: p.label for p in drawn[results.timed[0]]}
    assert names == [text for number in sorted(labels) for text in (str(number), labels[number])]
    for panel in panels:
        assert sorted(int(text.get_text()) for text in panel.texts) == sorted(labels)


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
