"""The comparisons as they are read first, and what an engineer chooses from."""

from __future__ import annotations

from dataclasses import replace

import fake_results as fake
import pytest

from mnv4bench.report import accuracy, answers, choices
from mnv4bench.report.choices import Choice
from mnv4bench.report.results import ArmResult, Results, collect
from mnv4bench.results.latency import LatencyVerdict
from mnv4bench.results.runs import SeedResult


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("answers")
    plan = fake.make_plan(root)
    fake.write_results(plan, root / "results")
    return collect(plan, root / "results")


def arm(results: Results, label: str = "psa/psa") -> ArmResult:
    return next(arm for arm in results.arms if arm.arm.label == label)


def judged(results: Results, **verdicts: LatencyVerdict) -> ArmResult:
    """Return an arm with ratios 0.9, 1.0 and 1.1 in the three runtimes, and these verdicts."""
    ratios = dict(zip(results.timed, (0.9, 1.0, 1.1), strict=True))
    latency = {
        name: {"end_to_end": row.model_copy(update={"ratio": ratios[name], "verdict": verdicts.get(name, "same")})}
        for name in results.timed
        if (row := arm(results).row(name)) is not None
    }
    return replace(arm(results), latency=latency)  # type: ignore[arg-type]


def test_a_row_says_the_difference_in_points(results: Results) -> None:
    row = next(row for row in answers.answers(results).rows if row[1].text == "psa − none")
    d = arm(results).difference
    assert d is not None
    assert d.mean is not None
    decimals = accuracy.decimals_of(results)
    assert row[2].text.startswith(f"{100 * d.mean:+.{decimals}f} [".replace("-", "−"))
    assert row[2].text.count(".") == 3
    assert row[3].text == accuracy.verdict(d)
    assert len(answers.answers(results).rows) == len(results.comparison.differences)


def test_a_difference_without_an_interval_or_without_a_seed_has_none_in_points(results: Results) -> None:
    d = arm(results).difference
    assert d is not None
    assert "[" not in accuracy.interval(d.model_copy(update={"low": None, "high": None}), 2)
    assert accuracy.interval(d.model_copy(update={"mean": None}), 2) == accuracy.interval(None, 2) == "–"


def test_the_time_names_the_runtimes_in_which_a_change_was_shown(results: Results) -> None:
    assert answers.time(results, judged(results)) == "0.90 to 1.10, no change shown"
    told = answers.time(results, judged(results, torch="faster", openvino="slower"))
    assert told == "0.90 to 1.10, faster in torch, slower in openvino"
    everywhere: dict[str, LatencyVerdict] = dict.fromkeys(results.timed, "slower")
    assert answers.time(results, judged(results, **everywhere)) == "0.90 to 1.10, slower"
    noisy: dict[str, LatencyVerdict] = dict.fromkeys(results.timed, "suppressed")
    assert answers.time(results, judged(results, **noisy)) == "0.90 to 1.10, no verdict"
    same: dict[str, LatencyVerdict] = dict.fromkeys(results.timed, "identical")
    assert answers.time(results, judged(results, **same)) == "same network"
    assert answers.time(results, replace(arm(results), latency={})) == "not timed"


@pytest.mark.parametrize("runtime", ["torch", "openvino_int8"])
def test_the_choices_of_a_runtime_are_those_scored_and_timed_there(results: Results, runtime: str) -> None:
    found = choices.choices(results, runtime)
    assert [choice.row.p50_ms for choice in found] == sorted(choice.row.p50_ms for choice in found)
    labels = [arm.arm.label for choice in found for arm in choice.arms]
    assert len(labels) == len(set(labels))
    for choice in found:
        record = choice.arms[0].quantised.get(runtime)
        assert choice.mean == pytest.approx(record.AP if record else choice.arms[0].mean("AP"))


def test_the_front_gains_ap_at_every_step(results: Results) -> None:
    found = choices.choices(results, "torch")

    def at(ms: float, ap: float) -> Choice:
        return replace(found[0], row=found[0].row.model_copy(update={"p50_ms": ms}), ap=(ap,))

    edge = choices.front([at(1, 0.2), at(2, 0.1), at(3, 0.2), at(4, 0.3)])
    assert [choice.row.p50_ms for choice in edge] == [1, 4]


def test_the_ends_of_every_front_are_the_fastest_and_the_most_accurate(results: Results) -> None:
    rows = choices.ends(results).rows
    assert [row[0].text for row in rows] == [*results.timed, *results.timed_int8]
    for row in rows:
        found = choices.choices(results, row[0].text)
        fastest = found[0].arms[0].arm
        assert row[1].text == f"{fastest.ablation}: {fastest.title}"
        assert row[6].text == f"{100 * max(choice.mean for choice in found):.1f}"


def test_a_network_of_several_aps_warns_of_comparing_ablations(results: Results) -> None:
    """The default network stands with another part fresh in psa and with none in nms_free."""
    other = f"{100 * (arm(results, 'nms_free/dual_nms_free').mean('AP') or 0):.1f}"
    worse = [_scored(one, 0.2) if one.arm.label == "psa/psa" else one for one in results.ablations["psa"]]
    several = replace(results, ablations={**results.ablations, "psa": tuple(worse)})
    assert f"stands at 20.0 and {other} points" in choices.across(several)
    assert choices.across(replace(several, ablations={"psa": tuple(worse)})) == ""


def _scored(one: ArmResult, ap: float) -> ArmResult:
    """Return an arm with this AP in every seed."""

    def seed(result: SeedResult) -> SeedResult:
        assert result.reading is not None
        scores = result.reading.scores.model_copy(update={"AP": ap})
        return replace(result, reading=result.reading.model_copy(update={"scores": scores}))

    return replace(one, seeds=tuple(map(seed, one.seeds)))


def test_an_interval_of_one_value_reaches_nowhere_whatever_its_rounding(results: Results) -> None:
    """A single block: its ratio is its own interval, and multiplied out comes back a last bit off."""
    found = choices.choices(results, "torch")[0]
    ratio, median = 0.18196071363852528, 1.5900119282637857
    row = found.row.model_copy(update={"p50_ms": median, "ratio": ratio, "ratio_low": ratio, "ratio_high": ratio})
    assert median * ratio / ratio != median
    low, middle, high = replace(found, row=row).reach
    assert low <= middle <= high
    assert high - low < 1e-12


def _elsewhere(results: Results, name: str, *ablations: str) -> Results:
    """Return the results of some ablations as if measured on a data set of another name."""
    record = results.data.record.model_copy(update={"name": name})
    kept = {label: arms for label, arms in results.ablations.items() if label in ablations}
    return replace(results, ablations=kept, data=replace(results.data, record=record))


def test_answers_on_several_data_sets_stand_side_by_side(results: Results) -> None:
    table = answers.answers_on([results, _elsewhere(results, "photographs", *results.ablations)])
    assert table.header[3] == table.header[2].replace("scenes", "photographs")
    assert all(row[2] == row[3] for row in table.rows)
    first = answers.answers(results).rows[0]
    assert table.rows[0][2].text == f"{first[2].text} {first[3].text}"
    assert table.rows[0][-1] == first[-1]
    others = [name for name in results.ablations if name != "psa"]
    table = answers.answers_on([results, _elsewhere(results, "photographs", *others)])
    assert [row[1].text for row in table.rows if row[3].text == "–"] == ["psa − none"]


def test_results_on_one_data_set_share_a_column(results: Results) -> None:
    others = [name for name in results.ablations if name != "psa"]
    parts = [_elsewhere(results, "photographs", *others), _elsewhere(results, "photographs", "psa")]
    whole = _elsewhere(results, "photographs", *results.ablations)
    assert answers.answers_on([results, *parts]) == answers.answers_on([results, whole])
