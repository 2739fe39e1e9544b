"""What is said of each arm: its numbers and verdicts, and nothing beyond them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import fake_results as fake
import pytest
from jinja2 import Environment, UndefinedError, meta

from mnv4bench.io.files import write_json
from mnv4bench.reference.plans import plan_of
from mnv4bench.report import accuracy, text
from mnv4bench.report import formatting as fmt
from mnv4bench.report.answers import answers
from mnv4bench.report.closing import closing
from mnv4bench.report.docs.passages import PASSAGES
from mnv4bench.report.findings import findings, outcomes, scope
from mnv4bench.report.rendering import render
from mnv4bench.report.results import ArmResult, Results, collect
from mnv4bench.results.comparison import Difference, Verdict
from mnv4bench.results.latency import LatencyVerdict
from mnv4bench.results.reference import RECORD, Reference

ROOT = Path(__file__).parent.parent
VERDICTS: tuple[Verdict, ...] = ("better", "worse", "tiny", "equivalent", "inconclusive", "untestable")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose reference "scenes" is made up."""
    root = tmp_path_factory.mktemp("findings")
    plan = fake.make_plan(root)
    folder = root / "results/reference/scenes"
    fake.write_results(plan, folder)
    record = Reference(
        preset="fake", only=None, seeds=None, title="x", trunk=True, files={}, matches=dict.fromkeys(plan.runs, "")
    )
    write_json(folder / RECORD, record)
    return root


@pytest.fixture(scope="module")
def results(root: Path) -> Results:
    return collect(fake.make_plan(root), root / "results/reference/scenes")


def test_ablations_whose_networks_are_not_at_hand_were_not_run() -> None:
    published = collect(plan_of("published", ROOT), ROOT / "results/reference/published")
    compared = [arm for arm in published.at_hand.arms if not arm.is_baseline]
    assert len(compared) < len(published.comparison.differences)
    assert f": {len(compared)} comparisons with" in scope(published) == scope(published.at_hand)


def test_the_workflow_ends_with_every_arm_and_where_to_look(root: Path, results: Results) -> None:
    folder = root / "results/reference/scenes"
    said = closing(fake.make_plan(root), folder)
    assert scope(results) in said
    lines = said.splitlines()
    for row in answers(results).rows:
        assert any(all(cell.text in line for cell in row) for line in lines)
    named = [word for word in said.split() if word.startswith(str(folder))]
    assert len(named) == 4
    assert "{{" not in said


def with_psa(results: Results, speeds: dict[str, LatencyVerdict] | None = None, **fields: object) -> Results:
    """Return results whose psa/psa has another difference and, where given, other verdicts on time by runtime."""

    def changed(arm: ArmResult) -> ArmResult:
        if arm.arm.label != "psa/psa":
            return arm
        latency = {
            runtime: {
                stage: row if speeds is None else row.model_copy(update={"verdict": speeds.get(runtime, "same")})
                for stage, row in stages.items()
            }
            for runtime, stages in arm.latency.items()
        }
        d = arm.difference
        assert d is not None
        return replace(arm, difference=d.model_copy(update=fields), latency=latency)

    ablations = {name: tuple(changed(arm) for arm in arms) for name, arms in results.ablations.items()}
    return replace(results, ablations=ablations)


def psa(results: Results) -> Difference:
    d = results.ablations["psa"][1].difference
    assert d is not None
    return d


def test_the_scope_counts_what_was_run(results: Results) -> None:
    counts = re.findall(r"\d+", scope(results).replace(results.data.record.name, ""))
    train, val = results.data.record.train.count, results.data.record.val.count
    arm, trunk = (
        spec.train.epochs * spec.train.images_of(train)
        for spec in (results.plan.spec(results.plan.arms[0]), results.plan.trunks[0].spec)
    )
    assert list(map(int, counts)) == [3, 7, 3, train, arm, trunk, val, 4]


@pytest.mark.parametrize(("low", "high"), [(0.004, 0.016), (-0.016, -0.004), (-0.004, 0.016)])
def test_an_inconclusive_finding_says_of_its_interval_what_is_so(results: Results, low: float, high: float) -> None:
    fields = {"verdict": "inconclusive", "mean": (low + high) / 2, "low": low, "high": high, "p_holm": 0.08}
    (lines,) = findings(with_psa(results, **fields), "psa")
    passage = " ".join(lines)
    excludes = low > 0 or high < 0
    assert ("the interval excludes zero" in passage) is ("0.080" in passage) is excludes
    assert ("neither a difference nor equivalence" in passage) is ("power" in passage) is not excludes


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_finding_has_its_verdict_and_claims_no_other(results: Results, verdict: Verdict) -> None:
    d = psa(results).model_copy(update={"verdict": verdict, "mean": 0.01, "low": 0.004, "high": 0.016})
    (lines,) = findings(with_psa(results, **d.model_dump()), "psa")
    passage = " ".join(lines)
    decimals = accuracy.decimals_of(results)
    for value in (d.mean, d.low, d.high):
        assert fmt.points(value, decimals, sign=True) in passage
    assert fmt.capital(text.reason(d, results, decimals)) in passage
    others = set(VERDICTS) - {verdict}
    assert not re.search(rf"\b({'|'.join(others)}|significant|wins?|best|improves?)\b", passage)


PAYOFFS: list[tuple[Verdict, dict[str, LatencyVerdict]]] = [
    ("better", {}),
    ("better", {"torch": "slower"}),
    ("better", {"torch": "faster", "openvino": "slower"}),
    ("equivalent", {"torch": "faster"}),
    ("worse", {"torch": "faster", "openvino": "faster"}),
    ("worse", {"torch": "slower"}),
    ("better", {"torch": "unstable"}),
    ("untestable", {"torch": "faster"}),
]


def test_the_last_sentence_differs_by_payoff_and_names_the_runtimes_that_decide(results: Results) -> None:
    last = {}
    for verdict, speeds in PAYOFFS:
        last[verdict, *speeds.items()] = findings(with_psa(results, speeds, verdict=verdict), "psa")[0][-1]
    assert len(set(last.values())) == len(PAYOFFS)
    named = [set(re.findall(r"\w+", sentence)) & set(fake.RUNTIMES) for sentence in last.values()]
    both, every = {"torch", "openvino"}, set(results.timed)
    assert every < set(fake.RUNTIMES)  # an int8 runtime has verdicts of its own
    assert named == [every, {"torch"}, both, {"torch"}, both, {"torch"}, set(), set()]


def test_an_int8_runtime_decides_nothing(results: Results) -> None:
    """It detects something else than what the AP is of."""
    slower: dict[str, LatencyVerdict] = {"openvino_int8": "slower"}
    first, second = (findings(with_psa(results, speeds, verdict="better"), "psa")[0][-1] for speeds in ({}, slower))
    assert first == second


@pytest.mark.parametrize("verdict", ["better", "equivalent", "worse"])
def test_the_same_network_is_said_to_be_the_same(results: Results, verdict: Verdict) -> None:
    same: dict[str, LatencyVerdict] = dict.fromkeys(fake.RUNTIMES, "identical")
    last = findings(with_psa(results, same, verdict=verdict), "psa")[0][-1]
    assert "same network" in last
    assert "runtime" not in last


def test_an_arm_without_a_common_seed_has_states_and_no_number(results: Results) -> None:
    empty = {"mean": None, "low": None, "high": None, "verdict": None, "seeds": {}}
    lines = findings(with_psa(results, **empty), "psa")[0]
    assert "done" in lines[0]
    assert not re.search(r"[+−]\d", lines[0])


def test_every_comparison_has_one_outcome(results: Results) -> None:
    told = [text for arms in outcomes(results).values() for text in arms]
    compared = [arm.arm for arm in results.arms if not arm.is_baseline]
    assert len(told) == len(compared)
    for arm in compared:
        spec = results.plan.ablations[arm.ablation]
        assert any(text.startswith(f"{spec.title}, {arm.title} − {spec.title_of(spec.baseline)}: ") for text in told)


def test_a_mean_of_two_opposite_effects_is_said_to_be_one() -> None:
    scenes = collect(plan_of("scenes", ROOT), ROOT / "results/reference/scenes")
    as_long, outputs = (" ".join(lines) for lines in findings(scenes, "distillation"))
    note = "The trunks disagree, each by more than its seeds vary (default +0.29 in 5 seeds, plain −0.33 in 4 seeds)"
    teacher = "The teacher of all seeds started from trunk default."
    (outcome,) = [line for arms in outcomes(scenes).values() for line in arms if "outputs − no teacher" in line]
    (arm,) = [arm for arm in scenes.ablations["distillation"] if arm.arm.name == "outputs"]
    for passage in (outputs, outcome, " ".join(text.arm_notes(arm, scenes, 2))):
        assert note in passage
        assert teacher in passage
    assert "disagree" not in as_long


def test_a_network_against_itself_is_a_check_and_not_a_part_that_did_not_pay() -> None:
    scenes = collect(plan_of("scenes", ROOT), ROOT / "results/reference/scenes")
    (line,) = outcomes(scenes)[render("text/outcome_title.j2", payoff="control")]
    assert "another draw − one draw" in line
    assert "true difference is zero" in line
    others = [text for arms in outcomes(scenes).values() for text in arms if text != line]
    assert len(others) == len(scenes.comparison.differences) - 1
    assert not any("another draw" in text or "true difference" in text for text in others)


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({"verdict": "inconclusive", "low": -0.01, "seed_sd": 0.01, "image_se": 0.005}, ["0.5", "63", "168"]),
        ({"verdict": "inconclusive", "low": -0.01, "seed_sd": 0.1, "image_se": 0.005}, ["0.5", "999"]),
        # Its interval would be short enough with fewer seeds than the test can pass with.
        ({"verdict": "inconclusive", "low": -0.01, "seed_sd": 0.002, "image_se": 0.0001}, ["0.5", "4", "10", "8"]),
        # What is at hand would detect 0.5 points, and the interval reaches beyond them all the same.
        ({"verdict": "inconclusive", "low": -0.01, "seed_sd": 0.0001, "image_se": 0.0001}, ["0.5", "8"]),
        # The interval excludes zero: no size is known at which the test would agree.
        ({"verdict": "inconclusive", "low": 0.004, "seed_sd": 0.01, "image_se": 0.005}, []),
        ({"verdict": "untestable", "seed_sd": 0.01, "image_se": 0.005}, ["8"]),
    ],
)
def test_an_undecided_outcome_says_what_a_verdict_would_take(
    results: Results, fields: dict[str, object], numbers: list[str]
) -> None:
    some = replace(results, comparison=results.comparison.model_copy(update={"family": 6}))
    texts = [text for arms in outcomes(with_psa(some, **fields)).values() for text in arms]
    (line,) = [text for text in texts if text.startswith("Attention_{psa} & none, psa − none: ")]
    assert re.findall(r"\d[\d.]*\b", line.split("points. ")[1]) == numbers


def test_the_passage_of_a_reference_names_every_comparison(root: Path, results: Results) -> None:
    passage = PASSAGES["scenes"].render(root / "results/reference")
    for arm in results.arms:
        if not arm.is_baseline:
            assert arm.arm.title in passage
    assert "| ablation | comparison |" in passage


TEMPLATES = sorted(
    path.name
    for path in (Path(text.__file__).parent / "templates/text").glob("*.j2")
    if "{% macro" not in path.read_text(encoding="utf-8")  # whose values are arguments of other templates
)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_value_that_a_template_lacks_is_an_error(name: str) -> None:
    source = (Path(text.__file__).parent / "templates/text" / name).read_text(encoding="utf-8")
    if meta.find_undeclared_variables(Environment().parse(re.sub(r"\| *\w+(\([^)]*\))?", "", source))):
        with pytest.raises(UndefinedError):
            render(f"text/{name}")
